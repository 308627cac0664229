"""Spaces of scikit-learn's kind become spaces of Manyfit, and params become settings again."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from manyfit import Choice, Float, Int
from manyfit.errors import SpaceError
from manyfit.sklearn.estimators import settings_space
from manyfit.sklearn.spaces import SettingsSpace

OPTIONS = st.lists(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2) | st.just([1, 2]),
    min_size=1,
    max_size=3,
)
GRIDS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c__d"]), OPTIONS, max_size=3),
    min_size=1,
    max_size=3,
)


@given(GRIDS)
def test_lists_give_the_candidates_of_a_parameter_grid(grids):
    """Their order is kept, options that are listed twice, and params that several grids have."""
    space = SettingsSpace(grids, {})

    settings = [space.settings(point) for point in space.space.grid()]

    assert [repr(sorted(each.items())) for each in settings] == [
        repr(sorted(each.items())) for each in ParameterGrid(grids)
    ]


@pytest.mark.parametrize(
    ("distribution", "domain"),
    [
        (stats.uniform(1, 2), Float(1, 3)),
        (stats.loguniform(1e-3, 10), Float(1e-3, 10, log=True)),
        (stats.randint(2, 9), Int(2, 8)),
    ],
)
def test_uniform_distributions_are_ranges(distribution, domain):
    """Their bounds are those of the distribution, and samplers can learn from their values."""
    space = SettingsSpace({"x": distribution}, {}).space

    assert dict(space.params) == {"x": domain}


@pytest.mark.parametrize("distribution", [stats.expon(scale=2), stats.norm(), stats.poisson(3)])
def test_other_distributions_are_priors(distribution):
    """The middle is the median, and values are of the distribution's kind."""
    space = SettingsSpace({"x": distribution}, {})

    settings = space.settings(space.space.decode([0.5]))

    assert settings == {"x": distribution.median()}
    assert isinstance(settings["x"], int) == hasattr(distribution, "pmf")
    assert np.isfinite(space.settings(space.space.decode([1.0]))["x"])


@pytest.mark.parametrize("distribution", [stats.uniform(0, 0), stats.multivariate_normal([0, 0])])
def test_what_is_neither_is_drawn(distribution):
    """As by RandomizedSearchCV: a distribution of one value, or of many dimensions."""
    space = SettingsSpace({"x": distribution}, {})

    assert list(space.space.params) == ["x.seed"]
    assert np.shape(space.settings({"x.seed": 1})["x"]) == np.shape(distribution.rvs())


def test_anything_with_rvs_is_drawn_by_a_recorded_seed():
    """The same trial gets the same value in every process."""

    class Dice:
        def rvs(self, random_state=None):
            return np.random.RandomState(random_state).randint(1, 7)

    space = SettingsSpace({"x": Dice()}, {})

    drawn = [space.settings({"x.seed": seed})["x"] for seed in range(40)]

    assert set(drawn) == set(range(1, 7))
    assert drawn == [space.settings({"x.seed": seed})["x"] for seed in range(40)]


def test_values_may_be_anything():
    """Estimators, arrays, dicts and None come back as the user's own objects."""
    options = [SVC(), SVC(), None, {"a": 1}, np.arange(3), SVC(C=2)]
    space = SettingsSpace({"x": options}, {})

    found = [space.settings(point)["x"] for point in space.space.grid()]

    assert all(one is other for one, other in zip(found, options, strict=True))
    assert len(set(space.space.params["x"].labels)) == len(options)
    assert pickle.loads(pickle.dumps(space)).space == space.space


def test_a_branch_gives_a_param_its_name_unless_it_says_otherwise():
    """A branch's name is the value of a param, and nothing where there is no such param."""
    kernel = Choice({"rbf": {"gamma": Float(0.1, 1)}, "linear": {}})
    model = Choice({"a": {"C": 2, "tol": [0.1]}, "b": {"C": [3]}})

    space = settings_space(SVC(), {"kernel": kernel, "model": model})

    point = {"kernel": "rbf", "gamma": 0.5, "model": "a", "tol": 0.1}
    assert space.settings(point) == {"kernel": "rbf", "gamma": 0.5, "C": 2, "tol": 0.1}
    assert space.settings({"kernel": "linear", "model": "b", "C": 3}) == {
        "kernel": "linear",
        "C": 3,
    }


PIPELINE = make_pipeline(StandardScaler(), SVC())


@pytest.mark.parametrize(
    ("space", "error", "words"),
    [
        ({"svc__gama": [1]}, SpaceError, "'svc__gama' is not a param of Pipeline.*'svc__gamma'"),
        ({"svn__C": [1]}, SpaceError, "'svn__C' is not a param .*Did you mean 'svc__C'"),
        (
            {"svc": [LogisticRegression()], "svc__gamma": [1]},
            SpaceError,
            r"'svc__gamma' is not a param .* with svc=LogisticRegression\(\)",
        ),
        ({"svc": Choice({"a": {}, "b": {}})}, SpaceError, "each branch of svc must say which"),
        ({"svc__C": 1}, TypeError, "'svc__C' needs to be a list .* wrapped in a list"),
        ({"svc__C": "12"}, TypeError, "needs to be a list"),
        ({"svc__C": {1, 2}}, TypeError, "needs to be a list"),
        ({"svc__C": []}, ValueError, "need to be a non-empty sequence"),
        ({"svc__C": np.ones((2, 2))}, ValueError, "should be one-dimensional"),
        ({3: [1]}, TypeError, "names of params must be strings, but got 3"),
        (7, TypeError, "should be a dict or a list, got: 7"),
        ([{"svc__C": [1]}, 7], TypeError, r"is not a dict \(7\)"),
        (
            {"svc__C": [1], "model": Choice({"a": {"svc__C": [1]}, "b": {}})},
            SpaceError,
            "svc__C is in the space twice",
        ),
    ],
)
def test_a_wrong_space_is_refused_in_words(space, error, words):
    """The message names the param, and the nearest one that the estimator has."""
    with pytest.raises(error, match=words):
        settings_space(PIPELINE, space)


def test_an_estimator_that_cannot_be_copied_is_refused_by_the_name_of_a_param():
    """Every fit copies the estimator, so it fails before the first one."""
    with pytest.raises(TypeError, match="kernel of SVC can't be copied"):
        settings_space(SVC(kernel=(each for each in "ab")), {"C": [1]})


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        (stats.loguniform, r"write scipy.stats.loguniform\(a, b\) with numbers for a, b"),
        (stats.poisson, r"write scipy.stats.poisson\(mu\)"),
        (stats.Normal(mu=1.0), "give one with rvs, such as scipy.stats.norm"),
    ],
)
def test_a_distribution_that_cannot_be_drawn_from(distribution, words):
    """One without its params, or of SciPy's new classes, is refused; the error says what to write.

    Otherwise the draw of the first trial raises something about arguments of SciPy.
    """
    with pytest.raises(SpaceError, match=words):
        settings_space(SVC(), {"C": distribution})
