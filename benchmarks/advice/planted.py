"""Twenty studies, each with a mistake that an expert would see in its trials."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from benchmarks.advice.simulated import Plan, Training, run

from manyfit import Choice, Float, Int, MedianPruner, Space
from manyfit.advice.after import Findings
from manyfit.trial import Params


@dataclass(frozen=True)
class Planted:
    """A study and the advice that it calls for.

    Args:
        name: The mistake, in words.
        code: The code of the advice.
        params: The params of the advice; empty for the study as a whole.
        plan: The study.
    """

    name: str
    code: str
    params: tuple[str, ...]
    plan: Plan


_RATE = Float(1e-4, 1.0, log=True)
_UNITS = Int(8, 1024, log=True)
_DROPOUT = Float(0.0, 0.9)
_BATCH = Int(16, 1024, log=True)
_WHOLE: Mapping[str, object] = {
    "rate": _RATE,
    "units": _UNITS,
    "dropout": _DROPOUT,
    "batch": _BATCH,
}


def space(**changes: object) -> Space:
    """Return the space of the trainings, with some ranges replaced."""
    return Space({**_WHOLE, **changes})


def loss(params: Params) -> float:
    """Return the loss of a training: lowest, 0.1, at rate 0.02, 128 units and dropout 0.3."""
    rate = math.log10(params["rate"] / 0.02)
    units = math.log2(params["units"] / 128) / 3
    dropout = params["dropout"] - 0.3
    batch = math.log2(params["batch"] / 128) / 3
    return 0.1 + 0.3 * rate**2 + 0.15 * units**2 + 0.6 * dropout**2 + 0.1 * batch**2


def plainly(of: Callable[[Params], float] = loss) -> Callable[[Params, int, int], Training]:
    """Return a training that only returns a loss."""
    return lambda params, seed, number: Training({"val_loss": of(params)})


def draw(seed: int, number: int) -> np.random.Generator:
    """Return the randomness of a trial."""
    return np.random.default_rng((seed, number, 0xADCE))


# ── params that do nothing, or something together ─────────────────────────────────────────────────


def ratio_loss(params: Params) -> float:
    """Return a loss that depends on the rate for a batch, as with stochastic gradient descent."""
    rate = math.log10(params["rate"] / params["batch"] / 1e-4)
    return 0.1 + 0.2 * rate**2 + 0.1 * abs(params["dropout"] - 0.3) + 0.02 * params["units"] / 1024


def product_loss(params: Params) -> float:
    """Return a loss that depends on the product of two params, each in (-1, 1)."""
    return 1.0 + params["x"] * params["y"] + 0.1 * params["z"]


# ── metrics, noise and curves ─────────────────────────────────────────────────────────────────────


def two_metrics(params: Params, seed: int, number: int) -> Training:
    """Return an accuracy that wants another rate than the loss."""
    value = loss(params)
    accuracy = 0.95 - 0.1 * math.log10(params["rate"] / 0.0004) ** 2 - 0.05 * value
    return Training({"val_loss": value, "test_accuracy": accuracy})


def overfitted(params: Params, seed: int, number: int) -> Training:
    """Return a training loss that falls with units, whatever the validation loss does."""
    value = loss(params)
    return Training({"val_loss": value, "loss": value / (2 + params["units"] / 64)})


def noisy(deviation: float) -> Callable[[Params, int, int], Training]:
    """Return a training whose loss is mostly noise near the best."""

    def train(params: Params, seed: int, number: int) -> Training:
        return Training({"val_loss": loss(params) + deviation * draw(seed, number).normal()})

    return train


def late_bloomers(params: Params, seed: int, number: int) -> Training:
    """Return curves that say nothing until half of the steps are done."""
    final, rng = loss(params), draw(seed, number)
    start = 2.0 + rng.random()
    curve = tuple(start - 0.001 * step if step < 20 else final for step in range(40))
    return Training({"val_loss": final}, curve)


def clear_curves(params: Params, seed: int, number: int) -> Training:
    """Return curves that show early which trial is good."""
    final = loss(params)
    curve = tuple(final + 1.5 * final * math.exp(-step / 5) for step in range(30))
    return Training({"val_loss": curve[-1]}, curve)


# ── failures and time ─────────────────────────────────────────────────────────────────────────────


def out_of_memory(params: Params, seed: int, number: int) -> Training:
    """Fail with large batches."""
    if params["batch"] > 256:
        return Training(reason=f"OutOfMemoryError: tried to allocate {params['batch']} MiB")
    return Training({"val_loss": loss(params)})


def bad_option(params: Params, seed: int, number: int) -> Training:
    """Fail with one of three optimizers."""
    if params["optimizer"] == "lbfgs":
        return Training(reason="TypeError: lbfgs takes no momentum")
    worse = 0.1 if params["optimizer"] == "sgd" else 0.0
    return Training({"val_loss": loss(params) + worse})


def slow_large(params: Params, seed: int, number: int) -> Training:
    """Take long with many units, which don't help."""
    worse = 0.4 * max(0.0, math.log2(params["units"] / 128))
    return Training({"val_loss": loss(params) + worse}, seconds=5 + params["units"] / 4)


def gaining(params: Params) -> float:
    """Return the distance from a point in ten dimensions, which takes long to find."""
    return sum(abs(params[f"x{i}"] - 0.15 - 0.07 * i) for i in range(10))


def easy(params: Params) -> float:
    """Return a loss that few trials suffice for: four good options of sixteen, all alike."""
    return 0.1 if params["kind"] in "abcd" else 0.5


def narrow(params: Params) -> float:
    """Return a loss with a narrow hole, which only experience knows."""
    far = sum((params[f"x{i}"] - 0.83) ** 2 for i in range(6))
    return 1.0 - 0.9 * math.exp(-far / 0.005) + 0.1 * params["x0"]


def _study(code: str) -> tuple[str, tuple[str, ...]]:
    return code, ()


def cases() -> list[Planted]:
    """Return the twenty cases."""
    return [*_edges(), *_effects(), *_values(), *_regions(), *_ends()]


def _edges() -> list[Planted]:
    branches = {"net": {"rate": Float(1e-4, 3e-3, log=True)}, "mean": {}}

    def of_model(params: Params) -> float:
        if params["model"] == "mean":
            return 2.0
        return loss({"dropout": 0.3, "batch": 128, **params})

    model = Space({"model": Choice(branches), "units": _UNITS})
    return [
        Planted(
            "highest learning rate too low",
            "edge",
            ("rate",),
            Plan(space(rate=Float(1e-5, 3e-3, log=True)), plainly()),
        ),
        Planted(
            "lowest learning rate too high",
            "edge",
            ("rate",),
            Plan(space(rate=Float(0.1, 1.0, log=True)), plainly()),
        ),
        Planted("too few units", "edge", ("units",), Plan(space(units=Int(4, 48)), plainly())),
        Planted(
            "learning rate of a branch too low", "edge", ("rate",), Plan(model, plainly(of_model))
        ),
    ]


def _effects() -> list[Planted]:
    ratio = Plan(space(), plainly(ratio_loss), n_trials=50)
    product = Plan(Space({name: Float(-1, 1) for name in "xyz"}), plainly(product_loss))
    return [
        Planted(
            "a number that does nothing",
            "no-effect",
            ("warmup",),
            Plan(space(warmup=Float(0.0, 0.2)), plainly()),
        ),
        Planted(
            "an option that does nothing",
            "no-effect",
            ("shuffle",),
            Plan(space(shuffle=Choice(["once", "always"])), plainly()),
        ),
        Planted("rate and batch must be tuned together", "interaction", ("rate", "batch"), ratio),
        Planted("a product", "interaction", ("x", "y"), product),
    ]


def _values() -> list[Planted]:
    early = MedianPruner(n_startup=10, min_steps=1)
    return [
        Planted("the accuracy disagrees", *_study("metrics-disagree"), Plan(space(), two_metrics)),
        Planted("the leaders overfit", *_study("overfitting"), Plan(space(), overfitted)),
        Planted("noise", *_study("noise"), Plan(space(), noisy(0.1), n_trials=60)),
        Planted("much noise", *_study("noise"), Plan(space(), noisy(0.3), n_trials=80)),
        Planted(
            "pruned before curves say anything",
            *_study("pruned-too-early"),
            Plan(space(), late_bloomers, n_trials=60, pruner=early),
        ),
        Planted("never pruned", *_study("never-pruned"), Plan(space(), clear_curves)),
    ]


def _regions() -> list[Planted]:
    optimizer = Choice(["adam", "sgd", "lbfgs"])
    at_random = Plan(space(), slow_large, n_trials=60, sampler="random")
    return [
        Planted("out of memory", "failures", ("batch",), Plan(space(), out_of_memory)),
        Planted(
            "an option that fails",
            "failures",
            ("optimizer",),
            Plan(space(optimizer=optimizer), bad_option, sampler="tpe"),
        ),
        Planted("slow and no better", "slow", ("units",), at_random),
    ]


def _ends() -> list[Planted]:
    numbers = Space({f"x{i}": Float(0, 1) for i in range(10)})
    easily = Space({"kind": Choice(list("abcdefghijklmnop")), "other": Float(0, 1)})
    hole = Space({f"x{i}": Float(0, 1) for i in range(6)})
    known = {f"x{i}": 0.83 for i in range(6)}
    return [
        Planted(
            "ended while it gained", *_study("ended-early"), Plan(numbers, plainly(gaining), 30)
        ),
        Planted("went on for nothing", *_study("flat"), Plan(easily, plainly(easy), n_trials=100)),
        Planted(
            "the known params won",
            *_study("baseline-won"),
            Plan(hole, plainly(narrow), start_with=(known,)),
        ),
    ]


def main(seeds: int) -> None:
    """Print what is said about each case, and whether the mistake is found."""
    for seed in range(seeds):
        found = 0
        for case in cases():
            said = Findings(run(case.plan, seed)).advice
            hit = any(
                each.code == case.code and set(each.params) == set(case.params) for each in said
            )
            found += hit
            print(f"{'found ' if hit else 'MISSED'} {case.name} ({case.code})")
            for each in said:
                print(f"       {each.code}: {each.message}")
        print(f"seed {seed}: {found} of {len(cases())} found", flush=True)
