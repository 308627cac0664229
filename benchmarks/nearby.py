"""The sampler of small studies, "nearby", beside others: regret after 10, 20 and 30 trials.

    python -m benchmarks.nearby [--half tuned|held-out|all|groups] [--seeds 20] [--contenders ...]

Tasks are the tables and formulas of `benchmarks/search`, and formulas like what is tuned by group:
few params, whose best values differ from seed to seed. Regret is the loss of the best trial so far,
less the best there is, as a share of the way to the median random trial. The sampler's constants
were chosen on every second task, "tuned"; the others are "held-out". "groups" are the formulas and
those of `benchmarks/portfolio_surfaces.py`, where each seed is another group.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from benchmarks.portfolio_surfaces import SURFACES, Surfaces
from benchmarks.search import functions, tables
from benchmarks.search.contenders import Contender, Manyfit, Optuna
from benchmarks.search.tasks import DRAWS, Scale, draws

from manyfit import Choice, Float, Int, Space
from manyfit.metric import Metric
from manyfit.samplers.auto import make_sampler
from manyfit.samplers.distinct import distinct_params
from manyfit.testing.samplers import finished, trial
from manyfit.trial import Params

CHECKPOINTS = (10, 20, 30)
CONTENDERS: Mapping[str, Callable[[Space, int, int], Contender]] = {
    "nearby": partial(Manyfit, "nearby"),
    "random": partial(Manyfit, "random"),
    "quasirandom": partial(Manyfit, "quasirandom"),
    "tpe": partial(Optuna, "TPESampler"),
    "gp": partial(Manyfit, "gp"),
}


@dataclass(frozen=True)
class Small:
    """A group to tune: a space, a loss, and what it is measured by."""

    space: Space
    loss: Callable[[Params], float]
    scale: Scale


# ── formulas like what is tuned by group; each seed is another group ────────────────────────────


def _within(space: Space, seed: int) -> list[float]:
    """Return where the best values of a group are, in the unit cube: also on its edges."""
    places = np.random.default_rng((seed, 0xBE57)).uniform(-0.15, 1.15, len(space.params))
    return [min(max(float(place), 0.0), 1.0) for place in places]


def _ridge(space: Space, best: list[float], params: Params) -> float:
    """Underfit and overfit by one param: flat at one side, steep at the other."""
    distance = 6.0 * (space.params["alpha"].encode(params["alpha"]) - best[0])
    return math.log1p(math.exp(2.0 * distance)) - math.log(2.0) - distance + distance**2 / 40


def _two(space: Space, best: list[float], params: Params) -> float:
    units = [d.encode(params[name]) for name, d in space.params.items()]
    x, y = units[0] - best[0], units[1] - best[1]
    return math.sqrt(1e-4 + x * x + 0.5 * y * y + 0.8 * x * y) - 0.01


def _boosting(space: Space, best: list[float], params: Params) -> float:
    """A rate and rounds that make up for each other, a depth, and a share that hardly matters."""
    rate, rounds, depth, share = (d.encode(params[name]) for name, d in space.params.items())
    effort = rate + rounds - (0.4 + 0.9 * best[0])
    steps = max(0.0, effort) * 1.0 + max(0.0, -effort) * 2.5
    return steps + 0.3 * rate**2 + (depth - best[2]) ** 2 + 0.1 * (share - best[3]) ** 2


def _family(space: Space, best: list[float], params: Params) -> float:
    """Two families of models with params of their own, and preparation of the data."""
    scaled = 0.0 if (params["scale"] == "yes") == (best[0] > 0.4) else 0.3
    if params["model"] == "linear":
        own = 2.0 * (space.params["alpha"].encode(params["alpha"]) - best[2]) ** 2
        return scaled + own + (0.0 if best[1] < 0.5 else 0.25)
    depth, leaf = (space.params[name].encode(params[name]) for name in ("depth", "leaf"))
    own = 1.5 * (depth - best[3]) ** 2 + (leaf - best[4]) ** 2 + abs(depth - leaf) * 0.2
    floor = 0.2 * abs(best[3] - best[4])
    return scaled + max(own - floor, 0.0) + (0.0 if best[1] >= 0.5 else 0.25)


_ALPHA = Float(1e-4, 1e4, log=True)
_GROUPS: Mapping[str, tuple[Space, Callable[[Space, list[float], Params], float]]] = {
    "group-ridge": (Space({"alpha": _ALPHA}), _ridge),
    "group-two": (Space({"alpha": _ALPHA, "power": Float(0.5, 2)}), _two),
    "group-boosting": (
        Space(
            {
                "rate": Float(0.01, 0.5, log=True),
                "rounds": Int(10, 500, log=True),
                "depth": Int(2, 10),
                "share": Float(0.5, 1.0, step=0.1),
            }
        ),
        _boosting,
    ),
    "group-family": (
        Space(
            {
                "scale": Choice(["yes", "no"]),
                "model": Choice(
                    {
                        "linear": {"alpha": _ALPHA},
                        "tree": {"depth": Int(1, 12), "leaf": Int(1, 64, log=True)},
                    }
                ),
            }
        ),
        _family,
    ),
}


def _group(name: str, seed: int) -> Small:
    space, formula = _GROUPS[name]
    best = _within(space, seed)
    loss = partial(formula, space, best)
    losses = np.array([loss(params) for params in draws(space, DRAWS)])
    lowest = min(0.0, losses.min()) if name != "group-boosting" else min(losses.min(), 0.0)
    return Small(space, loss, Scale(float(lowest), float(np.median(losses))))


def _of_surfaces(name: str, seed: int) -> Small:
    surfaces = _surfaces(name)
    loss = surfaces.losses[np.random.default_rng((seed, 0x5E7)).integers(len(surfaces.losses))]
    losses = np.array([loss(params) for params in draws(surfaces.space, 2000)])
    return Small(surfaces.space, loss, Scale(float(losses.min()), float(np.median(losses))))


@cache
def _surfaces(name: str) -> Surfaces:
    return SURFACES[name]()


@cache
def _of_search(name: str) -> Small:
    task = {**tables.makers(), **functions.makers()}[name]()
    return Small(task.space, task.loss, task.scale())


def names(half: str) -> list[str]:
    """Return the tasks of a half, or all of them."""
    every = [*tables.makers(), *functions.makers(), *_GROUPS]
    alike = [*(name for name in SURFACES if name != "m4-hourly"), *_GROUPS]  # that takes minutes
    return {"tuned": every[::2], "held-out": every[1::2], "all": every, "groups": alike}[half]


def make(name: str, seed: int) -> Small:
    """Return a task; those of groups differ from seed to seed."""
    if name in SURFACES:
        return _of_surfaces(name, seed)
    return _group(name, seed) if name in _GROUPS else _of_search(name)


# ── studies ───────────────────────────────────────────────────────────────────────────────────────


def regrets(name: str, contender: str, seed: int) -> list[float]:
    """Return the regret after each checkpoint of one study."""
    task = make(name, seed)
    sampler = CONTENDERS[contender](task.space, seed, CHECKPOINTS[-1])
    best, curve = math.inf, []
    for number in range(CHECKPOINTS[-1]):
        try:
            params = sampler.ask(number)
        except LookupError:
            break
        loss = task.loss(params)
        best = min(best, loss)
        curve.append(best)
        sampler.tell(number, params, loss if math.isfinite(loss) else None)
    curve += [best] * (CHECKPOINTS[-1] - len(curve))
    return [task.scale.regret(curve[count - 1]) for count in CHECKPOINTS]


def microseconds(word: str, space: Space, trials: int = 30, rounds: int = 100) -> float:
    """Return what asking (and the check that it is new) and telling take, a trial."""
    loss = Metric("loss")
    spent = 0.0
    for seed in range(rounds):
        sampler, _ = make_sampler(word, space, loss, seed)
        seen: set[str] = set()
        for number in range(trials):
            began = time.perf_counter()
            params = distinct_params(sampler, space, number, seen, seed)
            spent += time.perf_counter() - began
            if params is None:
                break
            seen.add(space.key(params))
            value = sum(u * u for u in space.encode(params) if not math.isnan(u))
            pending, ended = trial(number, params), finished(number, params, value)
            began = time.perf_counter()
            sampler.tell(pending)
            sampler.tell(ended)
            spent += time.perf_counter() - began
    return 1e6 * spent / rounds / trials


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--half", choices=["tuned", "held-out", "all", "groups"], default="held-out"
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options = parser.parse_args()
    tasks, words = names(options.half), options.contenders
    found = {
        word: np.array([[regrets(t, word, s) for s in range(options.seeds)] for t in tasks])
        for word in words
    }
    for place, task in enumerate(tasks):
        for row in words:
            print(task, row, found[row][place].mean(axis=0).round(3), flush=True)
    print(f"\nMean regret (mean of medians), {len(tasks)} tasks, {options.seeds} seeds\n")
    print(f"| | {' | '.join(map(str, CHECKPOINTS))} | tasks won by nearby | µs a trial |")
    print("|---|---|---|---|---|---|")
    space = Space({"x": Float(0, 1), "rate": Float(1e-4, 1, log=True), "n": Int(1, 9)})
    for word in words:
        means = found[word].mean(axis=(0, 1))
        middles = np.median(found[word], axis=1).mean(axis=0)
        both = [f"{m:.3f} ({each:.3f})" for m, each in zip(means, middles, strict=True)]
        wins = "" if word == "nearby" or "nearby" not in found else _wins(found, word)
        rounds = 3 if word in {"gp", "tpe"} else 100
        cost = f"{microseconds(word, space, rounds=rounds):,.0f}"
        print(f"| {word} | {' | '.join(both)} | {wins} | {cost} |")


def _wins(found: Mapping[str, np.ndarray], other: str) -> str:
    ours, theirs = (found[word][:, :, -1].mean(axis=1) for word in ("nearby", other))
    return f"{(ours < theirs).sum()} of {len(ours)}"


if __name__ == "__main__":
    main()
