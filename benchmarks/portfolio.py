"""What the first groups teach the others: 10 trials from a portfolio beside 30 on their own.

    python -m benchmarks.portfolio [--surfaces m4-hourly boosting] [--seeds 3]

As `tune_groups(mode="transfer")` does it: a tenth of the groups (12 to 60) are tuned with 30
trials, what was best for some of them is tried on all of these, and the others get 10 trials.
Regret is measured on those others: the best loss found less the best there is, as a share of the
way to the median random trial. The constants were chosen with seeds 0 and 1, which are not shown.
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from benchmarks.portfolio_surfaces import SURFACES, Surfaces
from benchmarks.search.tasks import draws

from manyfit.groups.search.portfolio import Tuned, learn, worth_sharing
from manyfit.metric import Metric
from manyfit.samplers.base import Sampler
from manyfit.samplers.distinct import distinct_params
from manyfit.samplers.nearby import NearbySampler
from manyfit.samplers.random import RandomSampler
from manyfit.testing.samplers import finished
from manyfit.trial import Params

LOSS = Metric("loss")
FULL, SHORT = 30, 10
_REFERENCE = 500  # random params that a group's best and median are taken from

Trials = list[tuple[Params, float]]


def study(  # noqa: PLR0917
    surfaces: Surfaces,
    group: int,
    sampler: Sampler,
    seed: int,
    trials: int,
    first: Sequence[Params],
) -> Trials:
    """Tune a group as the engine does."""
    found: Trials = []
    seen: set[str] = set()
    for number in range(trials):
        params: Any = first[number] if number < len(first) else None
        if params is None:
            params = distinct_params(sampler, surfaces.space, number, seen, seed)
        if params is None:
            break
        seen.add(surfaces.space.key(params))
        found.append((params, surfaces.losses[group](params)))
        sampler.tell(finished(number, *found[-1]))
    return found


def history(trials: Trials) -> str:
    """Return trials as rows of a group record them."""
    return json.dumps([[params, loss, "COMPLETE"] for params, loss in trials])


def best(trials: Trials) -> tuple[Params, float]:
    """Return the trial with the lowest loss."""
    return min(trials, key=lambda each: each[1])


def compare(surfaces: Surfaces, seed: int, *, starts: bool) -> tuple[dict[str, np.ndarray], str]:
    """Return the best losses of the groups that came later, by how they were tuned."""
    space, count = surfaces.space, len(surfaces.losses)
    first = [surfaces.default] if starts else []
    order = np.random.default_rng((seed, 5)).permutation(count)
    wave = min(max(count // 10, 12), 60)
    early, late = order[:wave].tolist(), order[wave:].tolist()

    def alone(group: int, trials: int, kind: Any = NearbySampler) -> Trials:
        own = seed * count + group
        sampler = kind(space, LOSS, own) if kind is NearbySampler else kind(space, own)
        return study(surfaces, group, sampler, own, trials, first)

    full = {group: alone(group, FULL) for group in early}
    tuned = [Tuned.of([history(full[group])], space, LOSS) for group in early]
    more = worth_sharing(tuned)
    cross = {group: [(p, surfaces.losses[group](p)) for p in more] for group in early}
    both = [Tuned.of([history(full[g]), history(cross[g])], space, LOSS) for g in early]
    settings = learn(both)
    if settings is None:
        raise ValueError("the first groups have nothing in common")
    found: dict[str, list[Trials]] = {"random 30": [], "alone 10": [], "alone 30": []}
    found |= {f"portfolio {n}": [] for n in (5, 8, 10, 15)}
    for group in late:
        found["random 30"].append(alone(group, FULL, RandomSampler))
        trials = alone(group, FULL)
        found["alone 10"].append(trials[:SHORT])
        found["alone 30"].append(trials)
        sampler = settings.bind(space, LOSS, seed * count + group)
        trials = study(surfaces, group, sampler, seed * count + group, 15, first)
        for n in (5, 8, 10, 15):
            found[f"portfolio {n}"].append(trials[:n])
    losses = np.array([[best(trials)[1] for trials in each] for each in found.values()])
    lowest, median = _reference(surfaces, late)
    lowest = np.minimum(lowest, losses.min(axis=0))
    regrets = (losses - lowest) / np.maximum(median - lowest, 1e-12)
    judges = surfaces.unseen or surfaces.losses
    unseen = np.array(
        [
            [judges[group](best(trials)[0]) for group, trials in zip(late, each, strict=True)]
            for each in found.values()
        ]
    )
    line = f"pool {len(settings.pool)}, {_microseconds(settings, surfaces, late[0]):.0f} µs an ask"
    return dict(zip(found, np.stack([regrets, losses, unseen], axis=1), strict=True)), line


def _microseconds(settings: Any, surfaces: Surfaces, group: int) -> float:
    """Return what asking and telling take in trials 0 to 9, binding included; the best of three."""
    found = []
    for _ in range(3):
        spent, seen = -time.perf_counter(), set[str]()
        for seed in range(30):
            sampler = settings.bind(surfaces.space, LOSS, seed)
            for number in range(SHORT):
                params = distinct_params(sampler, surfaces.space, number, seen, seed)
                assert params is not None
                spent += time.perf_counter()
                ended = finished(number, params, surfaces.losses[group](params))
                spent -= time.perf_counter()
                sampler.tell(ended)
        found.append((spent + time.perf_counter()) / 30 / SHORT)
    return 1e6 * min(found)


def _reference(surfaces: Surfaces, groups: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    points = list(draws(surfaces.space, _REFERENCE))
    losses = np.array([[surfaces.losses[group](p) for p in points] for group in groups])
    return losses.min(axis=1), np.median(losses, axis=1)


def main() -> None:
    """Print a table for each set of groups."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--surfaces", nargs="+", choices=SURFACES, default=list(SURFACES))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for name in options.surfaces:
        surfaces = SURFACES[name]()
        for starts in (True, False):
            results, lines = zip(
                *(compare(surfaces, seed, starts=starts) for seed in range(1, options.seeds + 1)),
                strict=True,
            )
            how = "from the default" if starts else "no common first trial"
            print(f"\n{name}, {len(surfaces.losses)} groups, {how} ({lines[0]})")
            for label in results[0]:
                columns = np.concatenate([r[label] for r in results], axis=1)
                regret, loss, unseen = columns.mean(axis=1)
                last = f"   on unseen rows {unseen:.4f}" if surfaces.unseen else ""
                print(f"  {label:<14} regret {regret:.4f}   mean loss {loss:.4f}{last}", flush=True)


if __name__ == "__main__":
    main()
