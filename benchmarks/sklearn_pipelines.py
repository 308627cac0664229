"""Times `SearchCV` against `GridSearchCV` on pipelines: 27 settings, 5 folds, two processes each.

Shared: credit data, one-hot columns and bins with all their interactions of up to three (over four
fifths of a fit), then the best 100, 200 or 400 of them, then a ridge classifier with nine
penalties. GridSearchCV fits all of it 135 times, or with `Pipeline(memory=...)` what differs.
Nothing shared: the first step differs in all 27 settings.

    python benchmarks/sklearn_pipelines.py [--rounds 3]

The searches take turns. Each begins without workers, and ends without: what starting them costs
counts. CPU is the user and system time of all processes. The data is in `$MANYFIT_DATA`, by default
`../shared/data`.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, PolynomialFeatures

from manyfit.sklearn import SearchCV

PROCESSES, FOLDS = 2, 5


def binned(bins: int = 12) -> Any:
    """Return a pipeline that makes all columns categories."""
    text = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    numbers = make_pipeline(
        SimpleImputer(),
        KBinsDiscretizer(bins, quantile_method="averaged_inverted_cdf", random_state=0),
    )
    return make_column_transformer(
        (text, make_column_selector(dtype_exclude=np.number)),
        (numbers, make_column_selector(dtype_include=np.number)),
    )


def cases() -> dict[str, tuple[Pipeline, dict[str, list[Any]]]]:
    """Return a pipeline and a grid of 27 settings, with something to share and without."""
    shared = Pipeline(
        [
            ("binned", binned()),
            ("interactions", PolynomialFeatures(3, interaction_only=True, include_bias=False)),
            ("best", SelectKBest(chi2)),
            ("model", RidgeClassifier()),
        ]
    )
    alone = Pipeline([("binned", binned()), *shared.steps[1:]])
    alone.set_params(best__k=200)
    bins = [binned(number) for number in range(4, 31)]
    return {
        "shared": (
            shared,
            {"best__k": [100, 200, 400], "model__alpha": np.geomspace(0.1, 1000, 9).tolist()},
        ),
        "alone": (alone, {"binned": bins}),
    }


def searches(pipeline: Pipeline, grid: dict[str, list[Any]]) -> dict[str, Callable[[], Any]]:
    """Return functions that make each kind of search."""
    plain = {"cv": FOLDS, "n_jobs": PROCESSES, "refit": False}

    def remembering() -> Any:
        folder = tempfile.TemporaryDirectory()
        pipeline_ = Pipeline(pipeline.steps, memory=folder.name)
        search = GridSearchCV(pipeline_, grid, **plain)
        search.folder = folder  # removed with it
        return search

    return {
        "SearchCV": lambda: SearchCV(
            pipeline,
            grid,
            n_trials=None,
            sampler="grid",
            pruner=None,
            cv=FOLDS,
            parallelism=PROCESSES,
            refit=False,
        ),
        "GridSearchCV": lambda: GridSearchCV(pipeline, grid, **plain),
        "GridSearchCV, memory": remembering,
    }


def timed(search: Any, data: tuple[Any, Any]) -> tuple[float, float]:
    """Return the seconds that a search takes, and those of all CPUs."""
    before, started = cpu(), time.perf_counter()
    search.fit(*data)
    if isinstance(search, GridSearchCV):
        get_reusable_executor().shutdown(wait=True)
    return time.perf_counter() - started, cpu() - before


def cpu() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Print a line for each search, and the ratios of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=["shared", "alone"])
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    frame = pd.read_csv(
        Path(os.environ.get("MANYFIT_DATA", "../shared/data")) / "credit_data.csv.gz"
    )
    y = frame.pop("Status")
    for case in asked.cases:
        pipeline, grid = cases()[case]
        kinds = searches(pipeline, grid)
        if case == "alone":
            del kinds["GridSearchCV, memory"]
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        best = {}
        for _ in range(asked.rounds):
            for name, make in kinds.items():
                search = make()
                found[name].append(timed(search, (frame, y)))
                best[name] = search.cv_results_["mean_test_score"]
        medians = {
            name: tuple(map(statistics.median, zip(*rows, strict=True)))
            for name, rows in found.items()
        }
        for name, (wall, used) in medians.items():
            own = medians["SearchCV"]
            equal = np.array_equal(best[name], best["SearchCV"])
            print(
                f"{case:<7} {name:<21} wall {wall:6.1f} s ({wall / own[0]:.2f}x)  "
                f"CPU {used:6.1f} s ({used / own[1]:.2f}x)  scores equal: {equal}",
                flush=True,
            )


if __name__ == "__main__":
    main()
