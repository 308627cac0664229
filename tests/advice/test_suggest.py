"""First spaces for estimators."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegressionCV,
    MultiTaskLasso,
    Ridge,
    SGDClassifier,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from sklearn.svm import SVC

from manyfit import ArgumentError, Float, review, suggest_space
from manyfit.advice.catalogue.names import FAMILIES

TRANSFORMERS = ("decomposition", "feature_selection", "preprocessing", "text", "impute")
LEARNERS = {
    name: family
    for family in FAMILIES
    if family.library not in ("keras", "pyspark")
    if family.module.split(".")[-1] not in TRANSFORMERS
    for name in family.classes
    if "Rank" not in name
}


@pytest.fixture(scope="module")
def rows():
    """Return 80 rows of four positive features, and a label of two values."""
    x = np.random.default_rng(0).uniform(0, 1, (80, 4))
    return x, (x[:, 0] + x[:, 1] > 1).astype(int)


@pytest.mark.filterwarnings("ignore")  # three rounds are too few, and other such
@pytest.mark.parametrize("name", LEARNERS)
def test_an_estimator_can_be_fitted_in_the_corners(name, rows):
    """An estimator accepts the extreme values of the space that is suggested for it."""
    family = LEARNERS[name]
    make = getattr(pytest.importorskip(family.module), name)
    space = suggest_space(make())
    quick = {} if family.length is None else {family.length: 3}
    quiet = {"lightgbm": {"verbose": -1}, "catboost": {"allow_writing_files": False}}
    quick |= quiet.get(family.library, {})
    quick |= {each: 1 for each in ("n_jobs", "thread_count") if each in family.speed}

    assert 1 <= len(space.params) <= 7
    for corner in (0.0, 1.0):
        params = space.materialize(space.decode([corner] * len(space.params)))
        estimator = make().set_params(**{**params, **quick}).fit(*rows)
        assert np.isfinite(estimator.predict(rows[0])).all()


@pytest.mark.parametrize("name", LEARNERS)
def test_a_suggested_space_passes_the_review(name):
    """Nothing is said of a space that Manyfit itself suggests."""
    estimator = getattr(pytest.importorskip(LEARNERS[name].module), name)()

    assert review(suggest_space(estimator), metric="loss", n_trials=30, parallelism=4) == ()


class TestPipelines:
    def test_names_are_those_of_set_params(self):
        """Params of steps have prefixes, and the last step comes first."""
        steps = make_pipeline(SplineTransformer(), StandardScaler(), Ridge())
        space = suggest_space(steps)

        assert list(space.params) == [
            "ridge__alpha",
            "splinetransformer__n_knots",
            "splinetransformer__degree",
        ]
        steps.set_params(**space.materialize(space.sample(np.random.default_rng(0))))

    def test_parts_of_parts(self):
        """Estimators inside other estimators are found at any depth."""
        columns = ColumnTransformer([("curve", make_pipeline(SplineTransformer()), [0])])
        whole = Pipeline([("columns", columns), ("model", CalibratedClassifierCV(SVC()))])
        space = suggest_space(whole)

        assert next(iter(space.params)) == "model__estimator__C"
        assert "columns__curve__splinetransformer__n_knots" in space.params
        assert set(space.params) <= set(whole.get_params())

    def test_seven_params_at_most(self):
        """The first steps of a long pipeline are left out."""
        steps = [(f"s{place}", SplineTransformer()) for place in range(9)]

        assert len(suggest_space(Pipeline([*steps, ("last", Ridge())])).params) == 7


class TestConstants:
    def test_the_number_of_rounds_is_not_tuned(self):
        """It is a constant that suits the learning rates of the space."""
        space = suggest_space(HistGradientBoostingClassifier())

        assert space.constants == {"max_iter": 300}
        assert "max_iter" not in space.params

    def test_what_is_set_stays(self):
        """A constant never replaces a value that the user has chosen."""
        chosen = HistGradientBoostingClassifier(max_iter=2000, early_stopping=True)

        assert suggest_space(chosen).constants == {}

    def test_subclasses(self):
        """A class derived from a known one has of its space what its own `__init__` takes."""

        class Mine(RandomForestRegressor):
            def __init__(self, extra=1, max_features=0.5):
                super().__init__(max_features=max_features)
                self.extra = extra

        assert suggest_space(Mine()).params == {"max_features": Float(0.1, 1.0)}


SILENT = [
    (SVC(kernel="linear"), {"gamma"}),
    (SVC(kernel=lambda one, other: one @ other.T), {"gamma"}),
    (RandomForestRegressor(bootstrap=False), {"max_samples"}),
    (ExtraTreesRegressor(bootstrap=True, max_samples=0.5), {"bootstrap"}),
    (SGDClassifier(penalty="l1"), {"l1_ratio", "penalty"}),
    (MLPClassifier(solver="lbfgs"), {"learning_rate_init"}),
    (KNeighborsClassifier(metric="cosine"), {"p"}),
    (KernelRidge(kernel="cosine"), {"gamma", "kernel"}),
    (CountVectorizer(vocabulary=["a", "b"]), {"min_df"}),
    (SplineTransformer(knots=np.zeros((4, 1))), {"n_knots"}),
]


class TestSettings:
    @pytest.mark.parametrize(("estimator", "silent"), SILENT, ids=lambda each: type(each).__name__)
    def test_what_they_make_inactive_is_left_out(self, estimator, silent):
        """A param that does nothing with the estimator's own settings isn't tuned, nor fixed."""
        space, usual = suggest_space(estimator), suggest_space(type(estimator)())

        assert not silent & {*space.params, *space.constants}
        assert silent <= {*usual.params, *usual.constants}

    def test_boosting_of_linear_models(self):
        """XGBoost's linear models have no trees to limit."""
        xgboost = pytest.importorskip("xgboost")
        space = suggest_space(xgboost.XGBClassifier(booster="gblinear"))

        assert list(space.params) == ["learning_rate", "reg_lambda"]
        assert "max_depth" in suggest_space(xgboost.XGBClassifier(booster="dart")).params

    @pytest.mark.parametrize("way", [{"boosting_type": "goss"}, {"data_sample_strategy": "goss"}])
    def test_rows_that_lightgbm_chooses_itself(self, way, rows):
        """One-side sampling refuses a share of rows, so none is suggested, nor its frequency."""
        lightgbm = pytest.importorskip("lightgbm")
        estimator = lightgbm.LGBMClassifier(**way, verbose=-1)
        space = suggest_space(estimator)

        assert "subsample" not in space.params
        assert "subsample_freq" not in space.constants
        params = space.sample(np.random.default_rng(0))
        estimator.set_params(**params, n_estimators=2).fit(*rows)

    def test_names_that_are_already_used(self, rows):
        """A param that was set by another of its names is tuned by that, as two are refused."""
        catboost = pytest.importorskip("catboost")
        own = {"n_estimators": 2, "max_depth": 4, "eta": 0.1, "allow_writing_files": False}
        estimator = catboost.CatBoostClassifier(**own, verbose=False)
        space = suggest_space(estimator)

        assert list(space.params) == ["eta", "max_depth", "l2_leaf_reg", "random_strength"]
        assert not space.constants
        estimator.set_params(**space.sample(np.random.default_rng(0))).fit(*rows)


def test_params_that_a_derived_class_dropped():
    """A class that chooses C itself is derived from one that has it, and would refuse it."""
    assert list(suggest_space(LogisticRegressionCV()).params) == ["class_weight"]
    assert list(suggest_space(MultiTaskLasso()).params) == ["alpha"]


class TestRefusals:
    def test_a_class(self):
        """A class is refused, with what to do."""
        with pytest.raises(ArgumentError, match="got the class Ridge: call it first"):
            suggest_space(Ridge)

    @pytest.mark.parametrize("stranger", [LinearRegression(), BaseEstimator(), 3, None, "svm"])
    def test_nothing_to_tune(self, stranger):
        """An estimator of which nothing is known is named, with what is known."""
        with pytest.raises(ArgumentError, match=r"nothing is known of the params of .*sklearn"):
            suggest_space(stranger)

    def test_nothing_left_to_tune(self):
        """An estimator whose settings switch off all that is known of it is refused as such."""
        fixed = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=LedoitWolf())

        with pytest.raises(ArgumentError, match=r"nothing to tune is left of .* shrinkage"):
            suggest_space(fixed)
