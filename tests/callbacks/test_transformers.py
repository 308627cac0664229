"""What is particular to Transformers; `test_callbacks` runs this in a process of its own."""

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from manyfit.callbacks import TransformersCallback

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
ROWS = [{"x": x, "labels": x[0]} for x in X]


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    """Trainers make folders."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "tuned", "steps"),
    [
        ({"eval_strategy": "steps", "eval_steps": 2, "logging_steps": 1}, "eval_loss", [2, 4, 6]),
        ({"eval_strategy": "no", "logging_steps": 3}, "loss", [3, 6]),
        ({"eval_strategy": "epoch"}, "eval_loss", [1, 2, 3]),
    ],
)
def test_rounds_of_transformers(run_trial, options, tuned, steps):
    """They are evaluations, or without these what is logged; an evaluation later is none."""

    class Line(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.line = torch.nn.Linear(3, 1)

        def forward(self, x, labels):
            return {"loss": (self.line(x)[:, 0] - labels).square().mean()}

    def objective():
        arguments = TrainingArguments(
            "out",
            num_train_epochs=3,
            per_device_train_batch_size=32,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            **options,
        )
        callback = TransformersCallback()
        trainer = Trainer(
            Line(), arguments, train_dataset=ROWS, eval_dataset=ROWS, callbacks=[callback]
        )
        trainer.train()
        return {**trainer.evaluate(), "loss": 0.0}

    trial = run_trial(objective, tuned)
    assert (trial.how, trial.steps) == ("AttemptFinished", steps), trial.ending

    stopped = run_trial(objective, tuned, stop_after=1)
    assert (stopped.how, stopped.steps) == ("AttemptPruned", steps[:1])
