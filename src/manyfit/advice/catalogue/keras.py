"""The parameters of Keras: optimizers, layers and `fit`; see https://keras.io/api/."""

from manyfit.advice.catalogue.family import Family
from manyfit.space import Choice, Float, Int

_RATE = Float(1e-5, 0.1, log=True)
_DECAY = Float(1e-6, 0.1, log=True)

FAMILIES = (
    Family(
        "keras.optimizers",
        ("Adam", "AdamW", "Nadam"),
        {"learning_rate": _RATE, "weight_decay": _DECAY},
        {"beta_1": Float(0.5, 0.99), "beta_2": Float(0.9, 0.9999)},
    ),
    Family(
        "keras.optimizers",
        ("SGD", "RMSprop"),
        {"learning_rate": Float(1e-4, 1.0, log=True), "momentum": Float(0.0, 0.99)},
        {"weight_decay": _DECAY},
    ),
    Family(
        "keras.layers",
        ("Dense",),
        {"units": Int(8, 1024, log=True), "activation": Choice(["relu", "gelu", "tanh"])},
    ),
    Family("keras.layers", ("Dropout",), {"rate": Float(0.0, 0.6)}),
    Family(
        "keras.Model",
        ("fit",),
        {"batch_size": Int(16, 512, log=True)},
        length="epochs",
        speed=("verbose",),
        problem=("validation_split",),
    ),
    Family("keras.Model", ("compile",), speed=("jit_compile", "steps_per_execution")),
)
