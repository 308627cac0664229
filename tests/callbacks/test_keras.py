"""What is particular to Keras; `test_callbacks` runs this in a process of its own."""

import keras
import numpy as np

from manyfit.callbacks import KerasCallback

X = np.random.default_rng(0).normal(size=(96, 3)).astype("float32")
TRAIN, VAL = (X[:64], X[:64, 0]), (X[64:], X[64:, 0])


def test_keras_reports_epochs_that_have_a_validation(run_trial):
    """With the `validation_freq` of `fit`; without it, the first epoch is refused."""

    def objective(**options):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        callback = KerasCallback(**options)
        fit = {"validation_data": VAL, "validation_freq": 2, "epochs": 4, "verbose": 0}
        return model.fit(*TRAIN, **fit, callbacks=[callback]).history["val_loss"][-1]

    trial = run_trial(lambda: objective(validation_freq=2), "val_loss")
    assert (trial.how, trial.steps) == ("AttemptFinished", [1, 3])

    refused = run_trial(objective, "val_loss")
    assert (refused.how, refused.steps) == ("AttemptFailed", [])
    assert "validation_freq" in refused.ending.traceback


def test_a_stopped_keras_calls_the_other_callbacks_to_their_end(run_trial):
    """So that they can close files and remove backups."""
    ended = []

    def objective():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        other = keras.callbacks.LambdaCallback(on_train_end=lambda logs: ended.append(1))
        model.fit(*TRAIN, epochs=4, verbose=0, callbacks=[other, KerasCallback()])

    trial = run_trial(objective, "loss", stop_after=2)

    assert (trial.how, trial.steps, ended) == ("AttemptPruned", [0, 1], [1])
