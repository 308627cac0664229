"""Groups to learn from one another: response surfaces, real and made up, looked up in a moment.

The real ones are those of the example with hourly series: for each series, ridge regressions on
lags for all choices and 25 penalties, judged on the 48 hours before the last. Between penalties the
logarithm of the error is interpolated.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from manyfit import Choice, Float, Int, Space
from manyfit.trial import Params

_ROOT = Path(__file__).parents[1]
_PENALTIES = np.linspace(np.log(1e-2), np.log(1e4), 25)


@dataclass(frozen=True)
class Surfaces:
    """Groups of one space.

    Args:
        space: Where params come from.
        losses: What a trial returns, a function for each group.
        default: The baseline's params.
        unseen: Losses on rows that no trial has seen; None where there are none.
    """

    space: Space
    losses: list[Callable[[Params], float]]
    default: Params
    unseen: list[Callable[[Params], float]] | None = None


# ── made up ───────────────────────────────────────────────────────────────────────────────────────


def ridge(count: int = 300, seed: int = 0) -> Surfaces:
    """Return groups with a penalty and a power, whose best values hang together; losses over four
    orders of magnitude."""
    space = Space({"alpha": Float(1e-4, 1e4, log=True), "power": Float(0.5, 2)})
    rng = np.random.default_rng(seed)
    kinds = rng.integers(3, size=count)
    best = np.array([[0.2, 0.3], [0.55, 0.7], [0.8, 0.2]])[kinds] + rng.normal(0, 0.08, (count, 2))
    levels, gains = rng.lognormal(0, 2, count), rng.uniform(0.2, 2, count)

    def loss(g: int, params: Params) -> float:
        x, y = (d.encode(params[n]) - best[g, i] for i, (n, d) in enumerate(space.params.items()))
        return float(levels[g] * np.exp(gains[g] * (np.logaddexp(0, 8 * x) - 4 * x + 4 * y * y)))

    return _surfaces(space, loss, count)


def boosting(count: int = 300, seed: int = 0) -> Surfaces:
    """Return groups with the params of boosting, whose R2 is negative where it overfits."""
    space = Space(
        {
            "rate": Float(0.01, 0.5, log=True),
            "rounds": Int(10, 500, log=True),
            "depth": Int(2, 10),
            "leaf": Int(1, 64, log=True),
            "loss": Choice(["squared", "absolute"]),
        }
    )
    rng = np.random.default_rng((seed, 1))
    size = rng.normal(0, 1, count)  # what the best values hang on
    effort = np.clip(0.9 + 0.15 * size + rng.normal(0, 0.1, count), 0.3, 1.7)
    depth = np.clip(0.4 + 0.2 * size + rng.normal(0, 0.12, count), 0, 1)
    leaf = np.clip(0.4 - 0.2 * size + rng.normal(0, 0.12, count), 0, 1)
    robust = rng.random(count) < 0.35
    top, span = rng.uniform(0.3, 0.95, count), rng.uniform(0.1, 1, count)

    def loss(g: int, params: Params) -> float:
        rate, rounds, d, n = (
            space.params[name].encode(params[name]) for name in ("rate", "rounds", "depth", "leaf")
        )
        over = rate + rounds - effort[g]
        cost = 2.0 * max(-over, 0.0) ** 2 + max(over, 0.0) ** 2 + 0.1 * rate
        cost += 1.5 * (d - depth[g]) ** 2 + 0.7 * (n - leaf[g]) ** 2 + 0.5 * (d - depth[g]) * over
        return float(
            -top[g] + span[g] * (cost + 0.15 * ((params["loss"] == "absolute") ^ robust[g]))
        )

    return _surfaces(space, loss, count)


def unrelated(count: int = 300, seed: int = 0) -> Surfaces:
    """Return groups that have nothing in common: nothing can be learned, nor should harm."""
    space = Space({name: Float(0, 1) for name in "xyz"})
    best = np.random.default_rng((seed, 2)).random((count, 3))

    def loss(g: int, params: Params) -> float:
        return float(0.1 + ((np.array([params[n] for n in "xyz"]) - best[g]) ** 2).sum())

    return _surfaces(space, loss, count)


def _surfaces(space: Space, loss: Callable[[int, Params], float], count: int) -> Surfaces:
    losses = [lambda params, g=g: loss(g, params) for g in range(count)]
    return Surfaces(space, losses, space.decode([0.5] * len(space.params)))


# ── real ──────────────────────────────────────────────────────────────────────────────────────────


def hourly(count: int = 414) -> Surfaces:
    """Return the series of the M4 competition; the tables are kept in the temporary folder."""
    sys.path.insert(0, str(_ROOT / "examples"))
    import m4_hourly as example

    kept = Path(tempfile.gettempdir()) / "manyfit-m4-surfaces.npz"
    if not kept.exists():
        valid, test = _tables(example, _ROOT.parent / "shared" / "data")
        np.savez(kept, valid=valid, test=test)
    tables = np.load(kept)
    space = Space(example.SPACE)
    choices = [name for name in space.params if name != "alpha"]

    def loss(table: np.ndarray, params: Params) -> float:
        at = tuple(space.params[name].place(params[name]) for name in choices)
        return float(np.exp(np.interp(np.log(params["alpha"]), _PENALTIES, table[at])))

    default = {"lags": "days", "alpha": 10.0, "history": "all", "log": False, "weekdays": False}
    valid, test = (
        [partial(loss, table) for table in np.log(tables[name][:count])] for name in tables.files
    )
    return Surfaces(space, valid, default, test)


def _tables(example, folder):
    """Return the errors of each series, by the choices in order, and by the penalty.

    Those on the 48 hours before the last 48, and on the last, forecast from all before them.
    """
    train, test = example.read(folder)
    ahead = test.groupby("series")
    found = []
    for series, rows in train.groupby("series", sort=True):
        y, last = rows["y"].to_numpy(), ahead.get_group(series)["y"].to_numpy()
        parts = ((y[: -example.HOURS], y[-example.HOURS :]), (y, last))
        found.append([_table(example, *part) for part in parts])
    return np.moveaxis(np.array(found), 1, 0)


def _table(example, y, hours):
    names = ("lags", "history", "log", "weekdays")
    combos = product(example.LAGS, example.HISTORY, [False, True], [False, True])
    errors = [_errors(example, y, hours, dict(zip(names, c, strict=True))) for c in combos]
    return np.reshape(errors, (len(example.LAGS), len(example.HISTORY), 2, 2, len(_PENALTIES)))


def _errors(example, y, valid, params):
    """Return the errors for all penalties: those of `example.forecast`, by one decomposition."""
    shift = 1.0 - min(y.min(), 0.0)
    known = np.log(y + shift) if params["log"] else y
    level, scale = known.mean(), known.std() or 1.0
    z = (known - level) / scale
    lags = example.LAGS[params["lags"]]
    first = max(*lags, example.HOURS + 24, len(z) - example.HISTORY[params["history"]])
    times = np.arange(first, len(z))
    x, target = example.features(z, times, params), z[times]
    ahead = np.arange(len(z), len(z) + example.HOURS)
    padded = np.concatenate([z, np.full(example.HOURS, np.nan)])
    new = example.features(padded, ahead, params) - x.mean(axis=0)
    u, s, v = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    along = u.T @ (target - target.mean())
    found = []
    for penalty in np.exp(_PENALTIES):
        made = new @ (v.T @ (s / (s * s + penalty) * along)) + target.mean()
        made = made * scale + level
        if params["log"]:
            made = np.exp(np.minimum(made, known.max() + 2.0)) - shift
        made = np.maximum(made, 0.0) if y.min() >= 0 else made
        found.append(example.errors(y, valid, made)["mase"])
    return found


SURFACES: dict[str, Callable[[], Surfaces]] = {
    "ridge": ridge,
    "boosting": boosting,
    "unrelated": unrelated,
    "m4-hourly": hourly,
}
