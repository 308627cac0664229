"""Reports epochs of PyTorch Lightning."""

import sys
from importlib.util import find_spec
from typing import Any

from manyfit._optional import load
from manyfit.callbacks.rounds import Rounds
from manyfit.worker.context import raise_if_stopped

# Lightning is installed under two names, whose classes don't know each other. The older is meant if
# only it was imported, or only it is there.
_installed = [name for name in ("lightning", "pytorch_lightning") if find_spec(name)]
_older = "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules
_lightning: Any = load(
    "pytorch_lightning" if _older or _installed == ["pytorch_lightning"] else "lightning.pytorch"
)
_EarlyStopping: Any = _lightning.callbacks.EarlyStopping


class LightningCallback(_EarlyStopping):  # type: ignore[misc] # it has no types
    """Reports each epoch of `Trainer.fit` under the names given to `self.log`.

    A character of a name other than a letter, a digit or _ becomes _: `val/loss` is `val_loss`. If
    the trainer validates, only epochs in which it did are reported, once, with the latest values. A
    trial that is pruned ends the training as `EarlyStopping` does, and `fit` then raises
    `TrialStopped`; `min_epochs` doesn't delay this. Outside of a trial, nothing happens.

    It is an `EarlyStopping` because of these callbacks Lightning calls `on_train_epoch_end` last,
    when all metrics of the epoch are there.

    Args:
        first_step: The step of epoch 0. With `ckpt_path`, Lightning counts on.

    Raises:
        ArgumentError: `first_step` isn't a whole number of at least 0.
        MetricError: In `fit`, after the first epoch: the tuned metric isn't logged, or the step was
            reported before.
        TypeError: The trainer is of `pytorch_lightning`, and this of `lightning`, or the reverse.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lightning.pytorch.demos.boring_classes import BoringModel
        >>> from manyfit.callbacks import LightningCallback
        >>> class Model(BoringModel):
        ...     def validation_step(self, batch, index):
        ...         self.log("val_loss", self.step(batch))
        >>> def train(params):
        ...     trainer = Trainer(max_epochs=5, logger=False, enable_checkpointing=False,
        ...                       callbacks=[LightningCallback()], **params)
        ...     trainer.fit(Model())
        ...     return {"val_loss": trainer.callback_metrics["val_loss"]}
        >>> train({"gradient_clip_val": 0.5})["val_loss"] < 10
        tensor(True)
    """

    def __init__(self, *, first_step: int = 0) -> None:
        super().__init__(monitor="manyfit", strict=False)
        self._validated = False
        self._rounds = Rounds(
            "LightningCallback",
            "self.log() it, and give the trainer a validation loader",
            first_step,
        )

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Refuse a trainer that is of the other package."""
        if not isinstance(trainer, _lightning.Trainer):
            raise TypeError(
                f"LightningCallback is for a Trainer of {_lightning.__name__}, but got one of "
                f"{type(trainer).__module__.partition('.')[0]}. Import only that package, before "
                "LightningCallback"
            )

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """End the trial if Lightning went on in spite of a stop, as `min_epochs` makes it do."""
        raise_if_stopped()
        self._validated = False

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Note a validation; the end of the epoch reports it."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Report the epoch, and have Lightning stop if the trial must end."""
        stops = False
        if self._validated or not trainer.enable_validation:
            metrics = trainer.callback_metrics
            stops = self._rounds.stops(trainer.current_epoch, metrics.items())
        # If Lightning trains in several processes, only one of them has a trial.
        stops = trainer.strategy.reduce_boolean_decision(stops, all=False)
        trainer.should_stop = trainer.should_stop or stops

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the trial if it was told to stop."""
        raise_if_stopped()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """There is nothing to load: the trial knows its steps."""
