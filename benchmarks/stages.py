"""What pruning within the first fold saves and what it costs, on real fits of models that grow.

For each of three data sets: 25 random settings each of gradient boosting and of random forests, the
score of each on five folds, and on the first fold also after 1/16, 1/8, 1/4 and 1/2 of its rounds.
Studies try them in random orders, one at a time, as `SearchCV` would: with stages
(`FoldPruner(5, stages=4)`), with folds only (`FoldPruner(5)`), and without a pruner. The cost is
the share of all rounds that is fitted.

    python benchmarks/stages.py [--seeds 20]

The data is in `$MANYFIT_DATA`, by default `../shared/data`; the fits take a core some minutes.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from folds import DATA, dataset
from sklearn.base import is_classifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold, StratifiedKFold

from manyfit.metric import Metric
from manyfit.pruners.folds import FoldPruner
from manyfit.sklearn.growth import STAGES, fit_in_stages
from manyfit.testing.pruners import PrunerStory

FOLDS, EACH, ROWS = 5, 25, 600
SETS = ("california", "credit", "phoneme")
SHARES = [0.5**stage for stage in range(STAGES, 0, -1)]
METRIC = Metric("loss", "minimize")


def models(is_class: bool, rng: np.random.Generator) -> Iterator[Any]:
    """Yield random settings."""
    boosting = GradientBoostingClassifier if is_class else GradientBoostingRegressor
    forest = RandomForestClassifier if is_class else RandomForestRegressor
    for _ in range(EACH):
        yield boosting(
            n_estimators=int(np.exp(rng.uniform(np.log(32), np.log(256)))),
            learning_rate=float(np.exp(rng.uniform(np.log(0.003), np.log(0.6)))),
            max_depth=int(rng.integers(1, 6)),
            subsample=float(rng.uniform(0.5, 1)),
            max_features=float(rng.uniform(0.1, 1)),
            random_state=0,
        )
        yield forest(
            n_estimators=int(np.exp(rng.uniform(np.log(32), np.log(128)))),
            max_features=float(rng.uniform(0.05, 1)),
            min_samples_leaf=int(np.exp(rng.uniform(0, np.log(60)))),
            random_state=0,
        )


def losses_of(model: Any, data: tuple[np.ndarray, np.ndarray, str]) -> list[float]:
    """Return the losses of the stages on the first fold, and of all folds."""
    x, y, score = data
    scorer = get_scorer(score)
    splitter = (StratifiedKFold if is_classifier(model) else KFold)(
        FOLDS, shuffle=True, random_state=0
    )
    found: list[float] = []
    for fold, (train, test) in enumerate(splitter.split(x, y)):

        def look(stage: int = 0, test: np.ndarray = test) -> None:
            found.append(-scorer(model, x[test], y[test]))

        if fold == 0:
            fit_in_stages(model, x[train], y[train], {}, stages=STAGES, look=look)
        else:
            model.fit(x[train], y[train])
        look()
    return found


def run(
    table: np.ndarray, sizes: np.ndarray, order: np.ndarray, pruner: Any, stages: bool
) -> tuple:
    """Return the share of the rounds that a study fits, and its best mean loss."""
    story = PrunerStory(pruner.bind(METRIC), METRIC) if pruner else None
    done, best = 0.0, np.inf
    for number, row in enumerate(order):
        losses = table[row] if stages else table[row, STAGES:]
        shares = [*SHARES, 1.0] if stages else [1.0]
        costs = [*shares, *range(2, FOLDS + 1)]
        for step, (loss, cost) in enumerate(zip(losses, costs, strict=True)):
            if story and story.report(number, step, loss) is not None:
                done += sizes[row] * cost
                break
        else:
            done += sizes[row] * FOLDS
            best = min(best, losses[-FOLDS:].mean())
            if story:
                story.finish(number, losses[-FOLDS:].mean())
    return done / (sizes[order].sum() * FOLDS), best


def main() -> None:
    """Print a line for each data set and pruner."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    root = Path(os.environ.get("MANYFIT_DATA", "../shared/data"))
    pruners = {
        "stages": (FoldPruner(FOLDS, STAGES), True),
        "folds": (FoldPruner(FOLDS), False),
        "none": (None, False),
    }
    for name in SETS:
        x, y, score = dataset(name, root)
        data = x[:ROWS], y[:ROWS], score
        is_class = not DATA[name][2].endswith("squared_error")
        made = list(models(is_class, np.random.default_rng(0)))
        table = np.array([losses_of(model, data) for model in made])
        sizes = np.array([float(model.n_estimators) for model in made])
        means = table[:, STAGES:].mean(axis=1)
        spread = np.median(means) - means.min()
        for shown, (pruner, stages) in pruners.items():
            rows = [
                run(
                    table,
                    sizes,
                    np.random.default_rng(seed).permutation(len(table)),
                    pruner,
                    stages,
                )
                for seed in range(asked.seeds)
            ]
            shares, bests = np.array(rows).T
            regret = (bests - means.min()) / spread
            print(
                f"{name:<10} {shown:<7} rounds {shares.mean():6.1%}  regret {regret.mean():.2%} of "
                f"the spread, at most {regret.max():.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
