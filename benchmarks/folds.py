"""What pruning between folds saves and what it costs, on cross-validation of real fits.

For each of five data sets and 3, 5 and 10 folds: 150 random settings of five kinds of model, and
the score of each on each fold. A study picks 60 of them and runs them in slots, a fold a tick, as
`manyfit.tune` would, with a pruner and without.

    python benchmarks/folds.py [--seeds 20] [--folds 3 5 10] [--slots 4] [--order drawn]
        [--each] [--made-up]

Order is how the settings come: drawn at random; kind by kind, as in a grid; or near, in which after
12 drawn ones three in four are among the ten most similar to the best so far, as a sampler has it.
The data is in `$MANYFIT_DATA`, by default `../shared/data`; the tables are kept in `--tables`, and
it takes a core half an hour to make them. With --made-up they are drawn from formulas instead.
"""

import argparse
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pruning import Drawn, Outcome, Pool, Study
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR

from manyfit.metric import Metric
from manyfit.pruners.auto import AutoPruner, NoPruner
from manyfit.pruners.base import Pruner, PrunerSettings
from manyfit.pruners.folds import FoldPruner
from manyfit.pruners.median import MedianPruner
from manyfit.trial import State, Trial

TRIALS = 60
KINDS, EACH, ROWS = 5, 30, 1200
# File, target, and scikit-learn's name of the score, whose negative is the loss.
DATA = {
    "ames": ("ames.csv.gz", "Sale_Price", "neg_root_mean_squared_error"),
    "california": ("california_houses.tsv.gz", "target", "neg_root_mean_squared_error"),
    "credit": ("credit_data.csv.gz", "Status", "roc_auc"),
    "phoneme": ("phoneme.tsv.gz", "target", "accuracy"),
    "satimage": ("satimage.tsv.gz", "target", "neg_log_loss"),
}


class Greedy:
    """Ends a trial whose mean is worse than that of the best so far on the same folds."""

    def bind(self, metric: Metric) -> Pruner:
        """Return a new one."""
        return _Greedy(metric)


class _Greedy:
    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._best: list[float] = []

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        own = self._losses(trial)
        return "worse" if np.sum(own) > np.sum(self._best[: len(own)] or [np.inf]) else None

    def end(self, trial: Trial) -> None:
        if trial.state is State.COMPLETE:
            self._best = min([self._losses(trial), self._best or [np.inf]], key=np.mean)

    def _losses(self, trial: Trial) -> list[float]:
        return [self._metric.loss(m.metrics[self._metric.name]) for m in trial.measurements]


class Listed(Drawn):
    """Picks trials in a given order."""

    def __init__(self, order: np.ndarray) -> None:
        self._order = order


def by_kind(losses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order in which one kind of model comes after the other."""
    kinds = np.arange(len(losses)).reshape(KINDS, -1)[rng.permutation(KINDS)]
    return np.concatenate([rng.permutation(kind)[: TRIALS // KINDS] for kind in kinds])


def near(losses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order in which most are similar to the best before them."""
    left = list(rng.permutation(len(losses)))
    order = [left.pop() for _ in range(12)]
    while len(order) < TRIALS:
        best = losses[order[int(losses[order].mean(axis=1).argmin())]]
        close = np.argsort(((losses[left] - best) ** 2).sum(axis=1))[:10]
        order.append(left.pop(rng.choice(close) if rng.random() < 0.75 else -1))
    return np.array(order)


def drawn(losses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order at random."""
    return rng.permutation(len(losses))[:TRIALS]


ORDERS = {"drawn": drawn, "kinds": by_kind, "near": near}


@dataclass(frozen=True)
class Row:
    """One study: the share of the fold evaluations done, and the regret relative to the spread."""

    share: float
    regret: float
    completed: int


def measure(losses: np.ndarray, order: np.ndarray, pruner: PrunerSettings, slots: int) -> Row:
    """Run a study; the spread is the way from the best of its trials to the median."""
    values, every = losses[order].mean(axis=1), len(order) * losses.shape[1]
    study = Study(Pool(losses, np.empty(0)), Listed(order), pruner, slots, np.mean)
    outcome: Outcome = study.run(len(order), every)
    spread = np.median(values) - values.min()
    return Row(outcome.epochs / every, (outcome.best - values.min()) / spread, outcome.completed)


def dataset(name: str, root: Path) -> tuple[np.ndarray, np.ndarray, str]:
    """Return features, target and score; the logarithm of a price."""
    file, target, score = DATA[name]
    separator = "\t" if ".tsv" in file else ","
    frame = pd.read_csv(root / file, sep=separator, keep_default_na=name != "ames")
    frame = frame.sample(ROWS, random_state=0)
    y = frame.pop(target)
    x = pd.get_dummies(frame).astype(float)
    x = x.fillna(x.median())
    x = (x - x.mean()) / (x.std() + 1e-9)
    return x.to_numpy(), (np.log(y) if "error" in score else y).to_numpy(), score


def model(kind: int, rng: np.random.Generator, score: str) -> Any:
    """Return a model of one of five kinds, with random settings over a wide range."""
    classify = "error" not in score

    def log(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    if kind == 0:
        alpha = log(1e-3, 1e4)
        return LogisticRegression(C=1 / alpha) if classify else Ridge(alpha)
    if kind == 1:
        count, weights = int(log(1, 100)), str(rng.choice(["uniform", "distance"]))
        neighbours = KNeighborsClassifier if classify else KNeighborsRegressor
        return neighbours(count, weights=weights)
    if kind == 2:
        forest = RandomForestClassifier if classify else RandomForestRegressor
        return forest(
            30,
            max_depth=int(rng.integers(2, 15)),
            max_features=float(rng.uniform(0.1, 1)),
            min_samples_leaf=int(log(1, 30)),
            random_state=int(rng.integers(1000)),
        )
    if kind == 3:
        boosting = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
        return boosting(
            learning_rate=log(0.005, 0.5),
            max_iter=40,
            max_leaf_nodes=int(log(2, 31)),
            min_samples_leaf=int(log(2, 60)),
            l2_regularization=log(1e-3, 10),
        )
    width = {"C": log(1e-2, 1e3), "gamma": log(1e-4, 1)}
    return SVC(**width, probability=score == "neg_log_loss") if classify else SVR(**width)


def fit(name: str, folds: int, root: Path) -> np.ndarray:
    """Return the loss of each model on each fold."""
    x, y, score = dataset(name, root)
    splitter = KFold if "error" in score else StratifiedKFold
    split = splitter(folds, shuffle=True, random_state=1)
    rng = np.random.default_rng(5)
    models = [model(kind, rng, score) for kind in range(KINDS) for _ in range(EACH)]
    return np.array([-cross_val_score(one, x, y, cv=split, scoring=score) for one in models])


def fitted(folds: int, kept: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the table of each data set that is there, made now or kept from before."""
    root = Path(os.environ.get("MANYFIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    for name, (file, *_) in DATA.items():
        path = kept / f"{name}-{folds}.npy"
        if not path.exists() and (root / file).exists():
            kept.mkdir(parents=True, exist_ok=True)
            np.save(path, fit(name, folds, root))
        if path.exists():
            yield name, np.load(path)


def made_up(folds: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield tables in which trials, folds and the rest have known parts."""
    rng = np.random.default_rng(folds)
    count = KINDS * EACH
    fold, noise = rng.normal(0, 1, folds), rng.normal(0, 1, (count, folds))
    trial = rng.gamma(2, 1, (count, 1))
    kinds = np.repeat(rng.normal(0, 0.5, (KINDS, folds)), EACH, axis=0)
    yield "little noise", trial + fold + 0.15 * noise
    yield "noise", trial + fold + 0.5 * noise
    yield "mostly noise", trial + fold + 2 * noise
    yield "the worse, the noisier", trial + fold + (0.05 + 0.3 * trial) * noise
    yield "folds multiply", trial * np.exp(0.3 * fold + 0.1 * noise)
    yield "kinds differ", trial + fold + kinds + 0.05 * noise
    yield "heavy tails", trial + fold + 0.2 * rng.standard_t(2, (count, folds))


def show(name: str, rows: list[Row]) -> None:
    """Print the means of some studies as a line of a table."""
    regret = np.array([row.regret for row in rows])
    share, completed = np.mean([[row.share, row.completed] for row in rows], axis=0)
    lost = np.mean(regret > 1e-9)
    print(
        f"| {name} | {share:.1%} | {lost:.1%} | {regret.mean():.2%} | {regret.max():.1%} "
        f"| {completed:.1f} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--folds", type=int, nargs="*", default=[3, 5, 10])
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--order", choices=ORDERS, default="drawn")
    parser.add_argument("--each", action="store_true", help="FoldPruner alone, table by table")
    parser.add_argument("--made-up", action="store_true")
    parser.add_argument("--tables", type=Path, default=Path("/tmp/manyfit-folds"))
    asked = parser.parse_args()
    print(f"{TRIALS} trials in {asked.slots} slots, {asked.order}; {asked.seeds} seeds each.\n")
    print("| pruner, folds | evaluations | best lost | regret | at most | completed |")
    print("|---|---|---|---|---|---|")
    rows: dict[str, list[Row]] = {}
    for folds in asked.folds:
        tables = made_up(folds) if asked.made_up else fitted(folds, asked.tables)
        pruners: Mapping[str, PrunerSettings] = {
            "none": NoPruner(),
            "FoldPruner": FoldPruner(folds),
            "greedy": Greedy(),
            "median": MedianPruner(),
            "auto": AutoPruner(),
        }
        for table, losses in tables:
            for name in ["FoldPruner"] if asked.each else pruners:
                for seed in range(asked.seeds):
                    order = ORDERS[asked.order](losses, np.random.default_rng(seed))
                    row = measure(losses, order, pruners[name], asked.slots)
                    of = f"{table}, {folds}" if asked.each else f"{name}, {folds}"
                    rows.setdefault(of, []).append(row)
                    rows.setdefault(f"{name}, all", []).append(row)
    for name in sorted(rows):
        show(name, rows[name])


if __name__ == "__main__":
    main()
