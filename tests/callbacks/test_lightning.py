"""What is particular to Lightning; `test_callbacks` runs this in a process of its own."""

import subprocess
import sys

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from manyfit.callbacks import LightningCallback


def test_min_epochs_do_not_keep_a_stopped_trial(run_trial):
    """Lightning would train on."""

    class Model(BoringModel):
        def training_step(self, batch, index):
            self.log("loss", self.step(batch))
            return self.step(batch)

    trainer = Trainer(
        min_epochs=5,
        max_epochs=9,
        limit_val_batches=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=[LightningCallback()],
    )
    trial = run_trial(lambda: trainer.fit(Model()), "loss", stop_after=2)

    assert (trial.how, trial.steps, trainer.current_epoch) == ("AttemptPruned", [0, 1], 2)


@pytest.mark.parametrize("first", ["pytorch_lightning", "manyfit"])
def test_lightning_under_its_other_name(first):
    """It is found if it is imported before; otherwise its trainer is refused."""
    code = f"""
import {first}
from manyfit.callbacks import LightningCallback
callback = LightningCallback()
import pytorch_lightning
options = dict(logger=False, enable_checkpointing=False, accelerator="cpu", max_epochs=1)
trainer = pytorch_lightning.Trainer(callbacks=[callback], **options)
from pytorch_lightning.demos.boring_classes import BoringModel
trainer.fit(BoringModel())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode == 0) == (first == "pytorch_lightning"), done.stderr
    assert ("LightningCallback is for a Trainer of lightning" in done.stderr) == (
        first == "manyfit"
    )
