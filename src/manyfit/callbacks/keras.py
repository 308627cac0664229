"""Reports epochs of Keras 3, on any backend."""

from collections.abc import Mapping
from typing import Any

import keras

from manyfit._checks import check_number
from manyfit.callbacks.rounds import Rounds
from manyfit.worker.context import raise_if_stopped


class KerasCallback(keras.callbacks.Callback):  # type: ignore[misc] # it has no types
    """Reports each epoch of `fit` under Keras's own names, such as `loss` and `val_accuracy`.

    A trial that is pruned sets `stop_training`, as `EarlyStopping` does, so that the callbacks
    before this one end as usual; `fit` then raises `TrialStopped`. Outside of a trial, nothing
    happens.

    Args:
        validation_freq: The same as that of `fit`. Epochs without a validation aren't reported.
        first_step: The step of epoch 0. A second `fit` in the same trial continues with
            `initial_epoch=` or `first_step=`; otherwise it is refused.

    Raises:
        ArgumentError: An argument isn't a whole number, or is too small.
        MetricError: In `fit`, after the first epoch: Keras doesn't compute the tuned metric, or
            the step was reported before.

    Example:
        >>> import keras, numpy as np
        >>> from manyfit.callbacks import KerasCallback
        >>> def train(params):
        ...     x = np.linspace(-1, 1, 64)[:, None]
        ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        ...     model.compile(keras.optimizers.SGD(params["learning_rate"]), "mse")
        ...     early = keras.callbacks.EarlyStopping("val_loss", patience=3)
        ...     history = model.fit(x, 2 * x, epochs=20, validation_split=0.25, verbose=0,
        ...                         callbacks=[early, KerasCallback()])
        ...     return {"val_loss": min(history.history["val_loss"])}
        >>> train({"learning_rate": 0.1})["val_loss"] < 1
        True
    """

    def __init__(self, *, validation_freq: int = 1, first_step: int = 0) -> None:
        super().__init__()
        self._every = check_number("validation_freq", validation_freq, least=1, whole=True)
        self._rounds = Rounds(
            "KerasCallback",
            "give compile() its metric and fit() its validation_data. If fit() has a "
            "validation_freq, give it to the callback too",
            first_step,
        )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report the epoch, and have Keras stop if the trial must end."""
        if (epoch + 1) % self._every == 0 and self._rounds.stops(epoch, (logs or {}).items()):
            self.model.stop_training = True

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """End the trial if it was told to stop."""
        raise_if_stopped()
