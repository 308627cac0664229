"""What earlier studies are worth: related ones, unrelated ones, and ones that mislead.

Each of the four neural networks of one benchmark (one space, four data sets) is tuned cold, and
with `prior_from` three studies of 50 random trials each. Related: of the other three data sets.
Unrelated: the same, their losses shuffled. Misleading: the same, their losses negated, so that the
best was the worst. One trial at a time. Run with: python -m benchmarks.search.warm [seeds]
"""

import sys
from collections.abc import Sequence

import numpy as np
from benchmarks.search.catalogue import make
from benchmarks.search.tasks import Task

from manyfit.metric import Metric
from manyfit.samplers.auto import make_sampler
from manyfit.samplers.distinct import distinct_params
from manyfit.samplers.earlier import Earlier
from manyfit.testing.samplers import finished, trial

NAMES = [f"hpobench-{name}" for name in ("australian", "blood_transfusion", "credit_g", "phoneme")]
COUNTS = (1, 2, 3, 5, 10, 15, 20, 30)
TRIALS = 50


def earlier_study(task: Task, rng: np.random.Generator, kind: str) -> Earlier:
    """Return a study of random trials, as it was or with its losses spoilt."""
    params = [task.space.sample(rng) for _ in range(TRIALS)]
    losses = np.array([task.loss(each) for each in params])
    if kind == "unrelated":
        losses = rng.permutation(losses)
    return Earlier(params, (-losses if kind == "misleading" else losses).tolist())


def regrets(task: Task, earlier: Sequence[Earlier], seed: int) -> list[float]:
    """Return the lowest regret after each trial."""
    metric = Metric("loss")
    sampler, _ = make_sampler("gp", task.space, metric, seed, earlier)
    seen: set[str] = set()
    losses = []
    for number in range(COUNTS[-1]):
        params = distinct_params(sampler, task.space, number, seen, seed)
        assert params is not None
        seen.add(task.space.key(params))
        sampler.tell(trial(number, params))
        losses.append(task.loss(params))
        sampler.tell(finished(number, params, losses[-1]))
    return [task.scale().regret(low) for low in np.minimum.accumulate(losses)]


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    tasks = [make(name) for name in NAMES]
    print("| | " + " | ".join(map(str, COUNTS)) + " |\n|---|" + "---|" * len(COUNTS))
    for kind in ("cold", "related", "unrelated", "misleading"):
        curves = []
        for seed in range(seeds):
            for task in tasks:
                rng = np.random.default_rng((seed, 7))
                others = [each for each in tasks if each is not task and kind != "cold"]
                curves.append(regrets(task, [earlier_study(o, rng, kind) for o in others], seed))
        means = np.mean(curves, axis=0)
        print(f"| {kind} | " + " | ".join(f"{means[n - 1]:.3f}" for n in COUNTS) + " |", flush=True)


if __name__ == "__main__":
    main()
