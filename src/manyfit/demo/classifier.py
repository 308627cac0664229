"""The training function: ordinary Keras, which runs and is tested without Manyfit."""

import os
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")  # Keras reads this when it is imported

import keras

from manyfit.callbacks.keras import KerasCallback
from manyfit.demo.data import Dataset

LAYERS = {"small": [32], "medium": [128], "large": [512, 256]}
MAX_EPOCHS = 60  # an upper limit; early stopping decides


def train(params: Mapping[str, Any], data: Dataset) -> dict[str, float]:
    """Train a classifier: hyperparameters in, metrics out."""
    model = build(params["structure"], data.train.images.shape[1:])
    model.compile(
        optimizer=keras.optimizers.Adam(params["learning_rate"]),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(
        data.train.images,
        data.train.labels,
        validation_data=(data.validation.images, data.validation.labels),
        batch_size=params["batch_size"],
        validation_batch_size=500,
        epochs=MAX_EPOCHS,
        callbacks=[
            keras.callbacks.EarlyStopping("val_loss", patience=4, restore_best_weights=True),
            KerasCallback(),
        ],
        verbose=2,
    )
    metrics = {"epochs": len(history.epoch), "n_parameters": model.count_params()}
    parts = {"": data.train, "val_": data.validation, "test_": data.test}  # as Keras names them
    for name, part in parts.items():
        loss, accuracy = model.evaluate(part.images, part.labels, batch_size=500, verbose=0)
        metrics |= {f"{name}loss": loss, f"{name}accuracy": accuracy}
    return metrics


def build(structure: str, shape: tuple[int, ...]) -> keras.Model:
    """Return a network that is small, medium or large."""
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten()])
    for units in LAYERS[structure]:
        model.add(keras.layers.Dense(units, activation="relu"))
        model.add(keras.layers.Dropout(0.2))
    model.add(keras.layers.Dense(10))
    return model
