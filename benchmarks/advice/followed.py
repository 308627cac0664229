"""Ten studies with a mistake: is the next one better if it follows the advice?

Each study is followed by another of half as many trials, in the space that the advice suggests, and
by one in the same space as before. Both learn from the first (`prior_from`), and have another seed.
Unless a range is too narrow, the first study is at random: with a model, it would have found the
lowest loss, and nothing would be left to gain in any space.
"""

from dataclasses import replace

import numpy as np
from benchmarks.advice.planted import Planted, cases, plainly, space
from benchmarks.advice.simulated import Plan, run

from manyfit import Choice, Float
from manyfit.advice.after import Findings
from manyfit.advice.record import Record
from manyfit.prior import fitting
from manyfit.samplers.earlier import Earlier
from manyfit.space import Space

_CODES = ("edge", "failures", "slow", "no-effect")
# A smaller excess is as good as none.
_LEAST = 1e-9
_IDLE = {f"idle{i}": Float(0.0, 1.0) for i in range(6)}


def followed_cases() -> list[Planted]:
    """Return the ten cases: those planted whose advice changes the space, and two more."""
    changing = [case for case in cases() if case.code in _CODES and case.params != ("shuffle",)]
    low = {"rate": Float(1e-5, 3e-3, log=True), "dropout": Float(0.5, 0.9)}
    many = {**_IDLE, "kind": Choice(["a", "b", "c"])}
    return [
        *changing,
        Planted("two ranges too narrow", "edge", ("rate",), Plan(space(**low), plainly())),
        Planted("seven idle params", "no-effect", (), Plan(space(**many), plainly(), 80)),
    ]


def earlier(record: Record, next_one: Space) -> Earlier:
    """Return a study as another one in a space learns from it."""
    pairs = [(trial.params, trial.value or 0.0) for trial in record.completed]
    return fitting(pairs, next_one, record.metric)


def best_of_next(case: Planted, first: Record, next_one: Space, seed: int) -> float:
    """Return the best loss of a second study."""
    seconds = sum(trial.seconds or 0.0 for trial in first.trials) / 2
    plan = replace(case.plan, space=next_one, n_trials=case.plan.n_trials // 2, sampler="gp")
    if case.code == "slow":  # as long, not as many
        plan = replace(plan, n_trials=1000, most_seconds=seconds)
    second = run(plan, seed + 1000, [earlier(first, next_one)])
    return min((second.loss(trial) for trial in second.completed), default=np.inf)


def main(seeds: int) -> None:
    """Print the geometric mean of the excess over the lowest loss, 0.1, of following and not."""
    better = 0
    for case in followed_cases():
        plan = case.plan if case.code == "edge" else replace(case.plan, sampler="random")
        pairs = []
        for seed in range(seeds):
            first = run(plan, seed)
            spaces = Findings(first).next_space, case.plan.space
            pairs.append([best_of_next(case, first, each, seed) - 0.1 for each in spaces])
        followed, repeated = np.exp(np.log(np.maximum(pairs, _LEAST)).mean(axis=0))
        wins, losses = (sum(sign * one < sign * two for one, two in pairs) for sign in (1, -1))
        better += followed < repeated
        figures = f"{followed:.2g} {repeated:.2g}, better in {wins}, worse in {losses} of {seeds}"
        print(f"{case.name}: {figures}", flush=True)
    print(f"{better} of {len(followed_cases())} better")
