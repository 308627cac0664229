"""What pruning saves and what it costs, on stored learning curves of real trainings.

Each of eight tasks has 1,000 trainings of a text model with 51 evaluations (TaskSet). A study picks
trials from them and runs them in slots, an epoch a tick, as `manyfit.tune` would, with a pruner and
without; a trial's value is its lowest validation loss, or its last one.

    python benchmarks/pruning.py [--seeds 20] [--trials 64] [--slots 4] [--last]
        [--sampler random] [--only auto] [--shapes] [--pools FOLDER [--blind]]

A sampler other than random proposes a point, and gets the training nearest to it that it hasn't
had. With --shapes the curves are made up: such as a pruner may meet, many of them its worst case.
With --pools they are those of benchmarks/pruning_pools.py: of different lengths, with schedules.
The folder with the curves is `$MANYFIT_BENCH/learning-curves`, by default `../shared/bench`.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import optuna
from pruning_shapes import shapes

from manyfit.domain import Float
from manyfit.metric import Metric
from manyfit.pruners.asha import AshaPruner
from manyfit.pruners.auto import AutoPruner, NoPruner, make_pruner
from manyfit.pruners.base import Pruner, PrunerSettings
from manyfit.pruners.median import MedianPruner
from manyfit.pruners.optuna import OptunaPruner
from manyfit.samplers.auto import make_sampler
from manyfit.space import Space
from manyfit.trial import Attempt, End, Failed, Finished, Measurement, Params, Pruned, Trial

METRIC = Metric("valid_loss")
BUDGET = 16
PRUNERS: Mapping[str, PrunerSettings] = {
    "none": NoPruner(),
    "auto": AutoPruner(),
    "median": MedianPruner(),
    "median, min_steps=1": MedianPruner(min_steps=1),
    "Optuna's median": OptunaPruner(optuna.pruners.MedianPruner()),
    "asha": AshaPruner(),
    "asha, min_steps=1": AshaPruner(min_steps=1),
}


@dataclass(frozen=True)
class Pool:
    """The stored trainings of one task; those that diverged have values that are not finite.

    Attributes:
        curves: The losses of each training.
        params: The params of each training.
        names: The names of the params.
        steps: The steps of each training; by default all have 0, 1, 2 and so on.
    """

    curves: Sequence[np.ndarray]
    params: np.ndarray
    names: tuple[str, ...] = ()
    steps: Sequence[np.ndarray] = ()

    @property
    def epochs(self) -> int:
        """The number of epochs of all trainings."""
        return sum(map(len, self.curves))

    def steps_of(self, index: int) -> np.ndarray:
        """Return the steps at which a training reports."""
        return self.steps[index] if self.steps else np.arange(len(self.curves[index]))

    def params_of(self, index: int) -> Params:
        """Return the params of a training."""
        return dict(zip(self.names, self.params[index].tolist(), strict=True)) if self.names else {}

    def values(self, value: Callable[[np.ndarray], float]) -> np.ndarray:
        """Return what each training comes to; infinity where it diverges."""
        return np.array([value(c) if np.isfinite(c).all() else np.inf for c in self.curves])


class Drawn:
    """Picks trainings at random."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._pool = pool
        self._order = np.random.default_rng(seed).permutation(len(pool.curves))

    def pick(self, number: int) -> tuple[int, Params]:
        """Return the next training, and its params."""
        index = int(self._order[number])
        return index, self._pool.params_of(index)

    def tell(self, trial: Trial) -> None:
        """Take no notice."""


class Sampled:
    """Picks the trainings nearest to what a sampler proposes, each once."""

    def __init__(self, word: str, pool: Pool, seed: int) -> None:
        self._logs = np.log(pool.params)
        self._width = np.ptp(self._logs, axis=0)
        self._pool = pool
        self._left = np.ones(len(pool.params), dtype=bool)
        low, high = pool.params.min(axis=0), pool.params.max(axis=0)
        domains = {n: Float(a, b, log=True) for n, a, b in zip(pool.names, low, high, strict=True)}
        self._sampler, _ = make_sampler(word, Space(domains), METRIC, seed)
        self.tell = self._sampler.tell

    def pick(self, number: int) -> tuple[int, Params]:
        """Return a training, and its params."""
        proposed = self._sampler.ask(number)
        if proposed is None:
            raise RuntimeError("the sampler proposes nothing more")
        point = np.log([proposed[name] for name in self._pool.names])
        distance = (((self._logs - point) / self._width) ** 2).sum(axis=1)
        index = int(np.where(self._left, distance, np.inf).argmin())
        self._left[index] = False
        return index, self._pool.params_of(index)


@dataclass(frozen=True)
class Outcome:
    """One study: epochs it ran, the lowest value of completed trials, and how many those were."""

    epochs: int
    best: float
    completed: int


@dataclass
class Study:
    """A study over a pool of trainings, in slots that each run an epoch a tick."""

    pool: Pool
    picks: Drawn | Sampled
    pruner: PrunerSettings
    slots: int
    value: Callable[[np.ndarray], float]

    def run(self, trials: int, epochs: int) -> Outcome:
        """Run until the trials or the epochs are used up."""
        judge = make_pruner(self.pruner, METRIC)
        running: dict[int, tuple[int, Trial]] = {}
        values: list[float] = []
        used = begun = 0
        while used < epochs:
            while len(running) < self.slots and begun < trials:
                running[begun] = self._begin(begun)
                begun += 1
            if not running:
                break
            for number, (index, before) in list(running.items())[: epochs - used]:
                used += 1
                trial, end = self._epoch(judge, before, index)
                running[number] = index, trial
                if end is not None:
                    del running[number]
                    values += [end.value] if isinstance(end, Finished) else []
        return Outcome(used, min(values, default=np.inf), len(values))

    def _begin(self, number: int) -> tuple[int, Trial]:
        index, params = self.picks.pick(number)
        trial = Trial(number, params)
        self.picks.tell(trial)
        return index, replace(trial, attempts=(Attempt(1, "slot", 0.0),))

    def _epoch(self, judge: Pruner, trial: Trial, index: int) -> tuple[Trial, End | None]:
        """Have a trial report once more; return it, and how it ended, if it did."""
        curve, epoch = self.pool.curves[index], len(trial.measurements)
        step = int(self.pool.steps_of(index)[epoch])
        trial = trial.measured(Measurement(step, {METRIC.name: float(curve[epoch])}, 0.0))
        reason = judge.report(trial, step, float(curve[epoch]))
        end: End | None = None
        # What is asked to stop at its last step has nothing left to stop.
        if epoch + 1 == len(curve):
            low = self.value(curve) if np.isfinite(curve).all() else np.nan
            end = Failed("diverged") if np.isnan(low) else Finished(low, {METRIC.name: low})
        elif reason is not None:
            end = Pruned(reason)
        if end is not None:
            ended = replace(trial, attempts=(replace(trial.attempts[0], end=end),))
            judge.end(ended)
            self.picks.tell(ended)
        return trial, end


@dataclass(frozen=True)
class Row:
    """One study beside the same without a pruner: shares of its epochs, and of what it gained.

    Attributes:
        epochs: The share of the epochs that the study without a pruner ran.
        lost: How much worse its best value is, as a share of the way to the median training.
        completed: How many trials came to their own end.
        budget: The regret, on the same scale, after the epochs of 16 full trainings.
    """

    epochs: float
    lost: float
    completed: int
    budget: float


def measure(pool: Pool, seed: int, pruner: PrunerSettings, asked: argparse.Namespace) -> Row:
    """Run a study with a pruner and without."""
    value = (lambda curve: curve[-1]) if asked.last else np.min

    def run(pruner: PrunerSettings, trials: int, epochs: int) -> Outcome:
        drawn = asked.sampler == "random"
        picks = Drawn(pool, seed) if drawn else Sampled(asked.sampler, pool, seed)
        return Study(pool, picks, pruner, asked.slots, value).run(trials, epochs)

    size = len(pool.curves)
    plain = run(NoPruner(), asked.trials, pool.epochs)
    study = run(pruner, asked.trials, pool.epochs)
    budget = run(pruner, size, BUDGET * pool.epochs // size)
    values = np.sort(pool.values(value))
    best, median = values[0], values[np.isfinite(values).sum() // 2]

    def place(loss: float) -> float:
        return (min(loss, median) - best) / max(median - best, 1e-12)

    lost = (place(study.best) - place(plain.best)) / max(1 - place(plain.best), 1e-12)
    return Row(study.epochs / plain.epochs, lost, study.completed, place(budget.best))


def tasks() -> Iterator[tuple[str, Pool]]:
    """Yield the name and the trainings of each stored task."""
    root = Path(os.environ.get("MANYFIT_BENCH", Path(__file__).parents[2] / "shared" / "bench"))
    for path in sorted((root / "learning-curves").glob("*.npz")):
        stored = np.load(path)
        params, names = stored["params"].astype(float), tuple(map(str, stored["names"]))
        yield path.stem, Pool(stored["valid"].astype(float), params, names)


def scheduled(folder: Path, *, blind: bool) -> Iterator[tuple[str, Pool]]:
    """Yield the name and the trainings of each pool that benchmarks/pruning_pools.py made."""
    for path in sorted(folder.glob("*.npz")):
        stored = np.load(path)
        steps = [each[each >= 0] for each in stored["steps"]]
        curves = [row[: len(each)] for row, each in zip(stored["curves"], steps, strict=True)]
        names = () if blind else tuple(map(str, stored["names"]))
        kept = " (kept back)" if stored["kept"] else ""
        yield path.stem + kept, Pool(curves, stored["params"], names, steps)


def show(name: str, rows: Sequence[Row]) -> None:
    """Print the means of some studies as a line of a table."""
    lost = [row.lost for row in rows]
    means = [np.mean([getattr(row, f.name) for row in rows]) for f in fields(Row)]
    epochs, _, completed, budget = means
    kept = np.mean(np.array(lost) <= 0)
    error = np.std(lost) / np.sqrt(len(lost))
    print(
        f"| {name} | {epochs:.1%} | {np.mean(lost):.2%} ± {error:.2%} | {kept:.1%} "
        f"| {completed:.1f} | {budget:.3f} |",
        flush=True,
    )


def _asked_for(asked: argparse.Namespace) -> list[tuple[str, Pool]]:
    if asked.shapes:
        return [(name, Pool(curves, np.empty(0))) for name, curves in shapes()]
    return list(scheduled(asked.pools, blind=asked.blind) if asked.pools else tasks())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--sampler", default="random", help="a word that tune takes")
    parser.add_argument("--last", action="store_true", help="a trial's value is its last loss")
    parser.add_argument("--only", choices=PRUNERS, help="one pruner, and each task of its own")
    parser.add_argument("--shapes", action="store_true", help="made-up curves")
    parser.add_argument("--pools", type=Path, help="a folder that pruning_pools.py has filled")
    parser.add_argument("--blind", action="store_true", help="with --pools: no params are told")
    asked = parser.parse_args()
    if asked.sampler != "random" and (asked.shapes or asked.pools):
        parser.error("--sampler needs the stored tasks: leave out --shapes and --pools")
    pools = _asked_for(asked)
    if not pools:
        print("No learning curves: set MANYFIT_BENCH to the folder that holds learning-curves/.")
        return
    print(
        f"{asked.trials} trials ({asked.sampler}), {asked.slots} slots; {asked.seeds} seeds each."
    )
    print("Lost: 0 is the best without a pruner, 100 % the median training.\n")
    print("| | epochs | lost | best kept | completed | regret in 16 x the epochs of one |")
    print("|---|---|---|---|---|---|")
    for name in PRUNERS if asked.only is None else [asked.only]:
        studies = [
            (task, [measure(pool, seed, PRUNERS[name], asked) for seed in range(asked.seeds)])
            for task, pool in pools
        ]
        for task, rows in studies if asked.only or asked.shapes or asked.pools else []:
            show(f"{name}: {task}", rows)
        show(name, [row for _, rows in studies for row in rows])


if __name__ == "__main__":
    main()
