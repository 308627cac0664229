"""A pipeline that knows rows answers as a plain one would, whatever a scorer does with it."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from manyfit.sklearn.fold_pipeline import FoldPipeline

ROWS = [[1.0], [3.0], [8.0]]


def knowing() -> tuple[FoldPipeline, NDArray[np.float64]]:
    """Return a fitted pipeline that believes its rows become 100 after the first step."""
    rows = np.array(ROWS)
    plain = Pipeline([("a", StandardScaler()), ("b", StandardScaler())]).fit(rows)
    known = [(rows, np.full((3, 1), 100.0))]
    return FoldPipeline(plain.steps).knowing(plain[1:], known), rows


def as_plain(pipeline: Any, rows: NDArray[np.float64]) -> bool:
    """Return whether a pipeline transforms all rows by all of its steps."""
    expected = Pipeline(pipeline.steps).transform(rows.copy())
    return np.array_equal(pipeline.transform(rows), expected)


def test_known_rows_are_not_transformed_again() -> None:
    """Rows that are known skip the steps that have transformed them."""
    pipeline, rows = knowing()
    assert not as_plain(pipeline, rows)


@pytest.mark.parametrize(
    "derive",
    [
        lambda pipeline, _: pipeline[:-1],
        lambda pipeline, _: copy.deepcopy(pipeline),
        lambda pipeline, _: pickle.loads(pickle.dumps(pipeline)),
        lambda pipeline, rows: clone(pipeline).fit(rows),
        lambda pipeline, rows: pipeline.fit(rows),
        lambda pipeline, rows: pipeline.set_params(a=StandardScaler(with_mean=False).fit(rows)),
    ],
    ids=["slice", "copy", "pickle", "clone", "fit", "set_params"],
)
def test_what_a_scorer_derives_knows_no_rows(derive: Callable[[Any, Any], Any]) -> None:
    """Slices, copies, and pipelines that are fitted or set anew transform all rows."""
    pipeline, rows = knowing()
    assert as_plain(derive(pipeline, rows), rows)


def test_rows_that_a_scorer_has_changed_in_place_are_not_known() -> None:
    """A scorer that permutes a column in place gets the score of what it made."""
    pipeline, rows = knowing()
    rows[0] = 5.0
    assert as_plain(pipeline, rows)


def test_a_pickle_is_that_of_a_plain_pipeline() -> None:
    """A scorer that pickles the pipeline pickles no data of the search."""
    pipeline, _ = knowing()
    assert type(pickle.loads(pickle.dumps(pipeline))) is Pipeline
