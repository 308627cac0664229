"""Two transformers have equal keys if they would be equal once fitted; what is random has none."""

import functools

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest, f_classif, mutual_info_classif
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder

from manyfit.sklearn.fit_keys import NotShared, step_key


class Noise(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X + np.random.normal(size=X.shape)


def noisy(rows):
    return rows + np.random.normal(size=rows.shape)


def made(source):
    """A class, as a script defines it."""
    names = {"__name__": "__main__", "BaseEstimator": BaseEstimator}
    exec(source, names)
    return names["Own"]()


def test_what_counts():
    """Params, nested estimators, code and set_output count; identity and order of making don't."""
    different = [
        StandardScaler(),
        StandardScaler(with_std=False),
        StandardScaler().set_output(transform="pandas"),
        OneHotEncoder(categories=[["a", "b"]]),
        OneHotEncoder(categories=[["a", "c"]]),
        ColumnTransformer([("a", OneHotEncoder(), ["c"])]),
        ColumnTransformer([("a", OneHotEncoder(), ["d"])]),
        ColumnTransformer([("a", OneHotEncoder(min_frequency=2), ["c"])]),
        FunctionTransformer(np.log1p),
        FunctionTransformer(np.exp),
        FunctionTransformer(lambda rows: rows + 1),
        FunctionTransformer(lambda rows: rows + 2),
        SelectKBest(f_classif, k=3),
        SelectKBest(functools.partial(mutual_info_classif, random_state=0), k=3),
        SelectKBest(functools.partial(mutual_info_classif, random_state=1), k=3),
        TargetEncoder(cv=KFold(shuffle=True, random_state=0)),
        TargetEncoder(cv=KFold(shuffle=True, random_state=1)),
        PCA(random_state=0),
        PCA(random_state=np.random.RandomState(0)),
        PCA(random_state=np.random.RandomState(1)),
        make_pipeline(StandardScaler(), StandardScaler()),
        "passthrough",
        None,
        made("class Own(BaseEstimator):\n def fit(self, X): return 1"),
        made("class Own(BaseEstimator):\n def fit(self, X): return 2"),
    ]
    keys = [step_key(each) for each in different]

    assert len(set(keys)) == len(keys)
    assert step_key(StandardScaler(with_std=False)) == keys[1]
    assert step_key(OneHotEncoder(categories=[["a", "b"]])) == keys[3]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (PCA(2), "PCA is random: set its random_state"),
        (SelectFromModel(RandomForestClassifier()), "RandomForestClassifier is random"),
        (TargetEncoder(), "TargetEncoder is random: set its cv to a splitter"),
        (TargetEncoder(cv=KFold(shuffle=True)), "KFold is random: set its random_state"),
        (SelectKBest(mutual_info_classif), "mutual_info_classif is random"),
        (FunctionTransformer(noisy), "noisy draws random numbers"),
        (Noise(), "Noise draws random numbers"),
        (RandomForestClassifier(warm_start=True, random_state=0), "warm_start=True"),
        (Pipeline([("a", StandardScaler())], memory="/tmp/x"), "a memory of its own"),
        (FunctionTransformer(kw_args={"of": (each for each in "ab")}), "can't be pickled"),
    ],
)
def test_what_is_random_or_keeps_state_is_not_shared(step, reason):
    """Each would not be the same when fitted again; the reason says what to do."""
    with pytest.raises(NotShared, match=reason):
        step_key(make_pipeline(StandardScaler(), step))
