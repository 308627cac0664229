"""SearchCV passes scikit-learn's checks of an estimator, with GridSearchCV's exemptions only."""

import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from manyfit.sklearn import SearchCV

# The checks make warnings of their own, and expect that these are no errors.
pytestmark = pytest.mark.filterwarnings("default")

# GridSearchCV fails it, too, with an estimator that takes several targets.
EXEMPT = {"check_supervised_y_2d": "a search doesn't know whether its estimator takes two targets"}


@pytest.fixture(autouse=True)
def _own_temporary_files(tmp_path, monkeypatch):
    """The checks leave files to the end of the process."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def search(estimator, **space):
    return SearchCV(
        estimator, space, n_trials=None, cv=2, executor="inline", error_score="raise", tracker=None
    )


@parametrize_with_checks([search(GaussianNB(), var_smoothing=[1e-9, 1e-3])])
def test_a_small_classifier_passes(estimator, check):
    """Each check of scikit-learn passes."""
    check(estimator)


@pytest.mark.soak("contracts")
@parametrize_with_checks(
    [
        search(LogisticRegression(), C=[0.1, 1.0]),
        search(Ridge(), alpha=[0.1, 1.0]),
        search(
            make_pipeline(StandardScaler(), LogisticRegression()), logisticregression__C=[0.1, 1.0]
        ),
    ],
    expected_failed_checks=lambda found: EXEMPT if isinstance(found.estimator, Ridge) else {},
)
def test_kinds_of_estimators_pass(estimator, check):
    """Each check of scikit-learn passes, but for one that GridSearchCV itself fails."""
    check(estimator)
