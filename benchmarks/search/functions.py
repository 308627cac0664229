"""Tasks from formulas, so that nobody tunes to tables alone: mixed, conditional, noisy spaces.

The lowest loss of each is known, 0 unless said otherwise.
"""

import math
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from benchmarks.search.tasks import Scale, Task, median_of

from manyfit import Choice, Float, Int, Space
from manyfit.trial import Params

_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(params: Params) -> float:
    """Hartmann's function of six numbers, whose lowest value is -3.32237."""
    x = np.array([params[f"x{i}"] for i in range(6)])
    return -float(_ALPHA @ np.exp(-(_A * (x - _P) ** 2).sum(axis=1)))


def branin(params: Params) -> float:
    """Branin's function, whose lowest value is 0.397887; three further params do nothing."""
    x, y = params["x"], params["y"]
    valley = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def ackley5(params: Params) -> float:
    """Ackley's function of five numbers, its hole away from the middle."""
    x = np.array([params[f"x{i}"] for i in range(5)]) - np.array([1.3, -2.1, 0.4, 2.7, -0.9])
    waves = math.exp(np.cos(2 * math.pi * x).mean())
    return float(20 - 20 * math.exp(-0.2 * math.sqrt((x * x).mean())) + math.e - waves)


def rosenbrock4(params: Params) -> float:
    """Rosenbrock's function of the logarithms of four numbers, on a log scale itself."""
    x = np.log10([params[f"x{i}"] for i in range(4)])
    value = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    return float(np.log1p(value))


_RATES = {"sgd": -1.0, "adam": -3.0, "adagrad": -2.0}
_GAINS = {("sgd", "step"): 0.0, ("adam", "cosine"): 0.1, ("adagrad", "none"): 0.25}


def mixed(params: Params) -> float:
    """A rate whose best value depends on one option, which suits another option."""
    optimizer = params["optimizer"]
    rate = (math.log10(params["rate"]) - _RATES[optimizer]) / 1.5
    width = (params["layers"] - 4) / 4 + math.log2(params["units"] / 128) / 3
    units = math.log2(params["units"] / 128) / 5
    dropout = (params["dropout"] - 0.2) / 0.5
    gain = _GAINS.get((optimizer, params["schedule"]), 0.6)
    bias = 0.0 if params["bias"] == "yes" else 0.15
    return rate**2 + 0.5 * width**2 + units**2 + 0.3 * dropout**2 + gain + bias


def branches(params: Params) -> float:
    """Three branches of unequal merit; neighbours share a param that means the same in both."""
    smooth = (params["smooth"] - 0.3) ** 2
    match params["model"]:
        case "linear":
            return 0.5 + smooth + (math.log10(params["penalty"]) + 2) ** 2 / 8
        case "kernel":
            penalty, width = math.log10(params["penalty"]) + 1, math.log10(params["width"]) - 0.5
            return smooth + penalty**2 / 6 + width**2 / 2 + abs(penalty + width) / 4
        case _:
            depth = (params["depth"] - 7) / 6
            return 0.2 + smooth + depth**2 + (math.log10(params["width"]) - 1) ** 2 / 4


def bowl(params: Params) -> float:
    """A bowl with a bend, of two numbers and two whole numbers."""
    x, y = params["x"], math.log10(params["y"]) / 2
    n, m = (params["n"] - 6) / 10, (params["m"] - 40) / 60
    return (x - 0.2) ** 2 + (y + x * x - 0.3) ** 2 + n * n + (m - n) ** 2


def noisy_bowl(params: Params) -> float:
    """The bowl, with noise that stays the same for the same params."""
    text = repr(sorted(params.items()))
    return bowl(params) + 0.1 * float(np.random.default_rng(zlib.crc32(text.encode())).normal())


def _spaces() -> dict[str, Space]:
    penalty, width = Float(1e-4, 100, log=True), Float(1e-2, 100, log=True)
    models = {
        "linear": {"penalty": penalty},
        "kernel": {"penalty": penalty, "width": width},
        "tree": {"width": width, "depth": Int(1, 16)},
    }
    return {
        "hartmann6": Space({f"x{i}": Float(0, 1) for i in range(6)}),
        "branin": Space(
            {
                "x": Float(-5, 10),
                "y": Float(0, 15),
                "idle_rate": Float(1e-5, 1, log=True),
                "idle_kind": Choice(["a", "b", "c"]),
                "idle_size": Int(1, 20),
            }
        ),
        "ackley5": Space({f"x{i}": Float(-5, 5) for i in range(5)}),
        "rosenbrock4": Space({f"x{i}": Float(0.01, 100, log=True) for i in range(4)}),
        "mixed": Space(
            {
                "optimizer": Choice(list(_RATES)),
                "schedule": Choice(["none", "step", "cosine"]),
                "rate": Float(1e-5, 1, log=True),
                "layers": Int(1, 8),
                "units": Int(8, 512, log=True),
                "dropout": Float(0, 0.7),
                "bias": Choice(["no", "yes"]),
            }
        ),
        "branches": Space(
            {
                "smooth": Float(0, 1),
                "model": Choice(models),
            }
        ),
        "noisy-bowl": Space(
            {
                "x": Float(-2, 2),
                "y": Float(1e-3, 1e3, log=True),
                "n": Int(1, 20),
                "m": Int(4, 128, step=4),
            }
        ),
    }


def _task(name: str, loss: Callable[[Params], float], best: float) -> Task:
    space = _spaces()[name]

    def scale() -> Scale:
        return Scale(best, median_of(space, loss))

    if name == "noisy-bowl":
        return Task(name, space, noisy_bowl, scale, true=loss)
    return Task(name, space, loss, scale)


def makers() -> dict[str, Callable[[], Task]]:
    """Return what makes each function's task, by name."""
    lowest = {"hartmann6": (hartmann6, -3.32237), "branin": (branin, 0.397887)}
    others = {
        "ackley5": ackley5,
        "rosenbrock4": rosenbrock4,
        "mixed": mixed,
        "branches": branches,
        "noisy-bowl": bowl,
    }
    both = {**lowest, **{name: (loss, 0.0) for name, loss in others.items()}}
    return {name: partial(_task, name, loss, best) for name, (loss, best) in both.items()}
