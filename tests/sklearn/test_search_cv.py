"""SearchCV keeps the contracts of scikit-learn's searches, and says what became of each trial."""

import os
import pickle
import signal
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from manyfit import Choice, ExecutorError, Float, StudyChangedError, report
from manyfit.callbacks import SklearnCallback
from manyfit.sklearn import SearchCV
from manyfit.testing.remote import ProcessCluster, ProcessClusterExecutor

SMOOTHING = {"var_smoothing": [1e-9, 1e-3, 1.0]}


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def searching(estimator, space, **options):
    """Return a search in this process, over all of its space, in the order of GridSearchCV."""
    settled = {"n_trials": None, "sampler": "grid", "executor": "inline", "pruner": None, "cv": 3}
    return SearchCV(estimator, space, **{**settled, **options})


class Model(ClassifierMixin, BaseEstimator):
    """A classifier whose score is a param, and which does what another param says."""

    def __init__(self, quality=0.5, action=None):
        self.quality = quality
        self.action = action

    def fit(self, X, y, sample_weight=None):
        if self.action == "raise":
            raise ArithmeticError("an unlucky setting")
        if self.action == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action == "report":
            report(0, mean_test_score=99.0)
        if self.action == "interrupt":
            signal.raise_signal(signal.SIGINT)
        self.classes_ = np.unique(y)
        self.weight_ = None if sample_weight is None else sample_weight.sum()
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def score(self, X, y, sample_weight=None):
        return float("nan") if self.action == "nan" else self.quality + 0.001 * len(X) % 0.01


@pytest.mark.parametrize("options", [{}, {"halving": "rows", "pruner": "auto"}])
def test_what_a_fit_reports_is_not_a_report_of_the_search(iris, options):
    """Its steps would collide with those of the folds, and its scores be compared with theirs."""
    space = {"quality": [0.5, 0.6, 0.7]}
    search = searching(Model(action="report"), space, **options).fit(*iris)

    assert list(search.cv_results_["state"]) == ["COMPLETE"] * 3
    assert search.best_params_ == {"quality": 0.7}


def test_callbacks_within_a_search_do_nothing(iris):
    """A callback of an estimator finds no trial of its own to report to."""
    model = LogisticRegression(max_iter=500).set_callbacks(SklearnCallback(*iris))

    search = searching(model, {"C": [0.1, 1.0]}).fit(*iris)

    assert list(search.cv_results_["state"]) == ["COMPLETE", "COMPLETE"]


# ── results ───────────────────────────────────────────────────────────────────────────────────────


def test_a_grid_gives_what_grid_search_gives(iris):
    """Over lists, everything but times and states is equal to GridSearchCV's, in its order."""
    grid = [{"kernel": ["rbf"], "C": [0.1, 10]}, {"kernel": ["linear"], "C": [1]}]
    known = GridSearchCV(SVC(), grid, cv=3, return_train_score=True).fit(*iris)

    found = searching(SVC(), grid, return_train_score=True).fit(*iris)

    for key in [key for key in known.cv_results_ if not key.endswith("_time")]:
        np.testing.assert_array_equal(found.cv_results_[key], known.cv_results_[key])
        if key != "params":
            assert found.cv_results_[key].dtype == known.cv_results_[key].dtype
    assert set(found.cv_results_) == set(known.cv_results_) | {"state", "reason"}
    assert found.best_params_ == known.best_params_
    assert found.score(*iris) == known.score(*iris)
    assert found.n_features_in_ == 4


def test_a_choice_replaces_whole_steps(iris):
    """Each branch names its estimator and that estimator's own params."""
    pipeline = make_pipeline(StandardScaler(), SVC())
    model = Choice(
        {
            "svm": {"svc": SVC(), "svc__gamma": Float(0.01, 1, log=True)},
            "linear": {"svc": LogisticRegression(), "svc__C": Float(0.01, 1, log=True)},
        }
    )

    search = SearchCV(
        pipeline, {"svc": model}, n_trials=4, sampler="random", executor="inline", random_state=0
    ).fit(*iris)

    for params in search.cv_results_["params"]:
        is_svm = isinstance(params["svc"], SVC)
        assert set(params) == {"svc", "svc__gamma" if is_svm else "svc__C"}


def test_a_pruned_trial_is_a_row_that_says_so(iris):
    """Its folds so far have scores; its mean is NaN, its rank the last one; no warning."""
    space = {"quality": [0.9, 0.8, 0.85, 0.95, 0.1]}

    search = searching(Model(), space, pruner="auto").fit(*iris)

    results = search.cv_results_
    assert list(results["state"]) == ["COMPLETE"] * 4 + ["PRUNED"]
    assert "fold 0" in results["reason"][4]
    assert results["split0_test_score"][4] == pytest.approx(0.1)
    assert np.isnan([results["split1_test_score"][4], results["mean_test_score"][4]]).all()
    assert list(results["rank_test_score"]) == [2, 4, 3, 1, 5]


def test_a_fit_that_fails_is_counted_and_never_best(iris):
    """One warning has the counts and the traceback; other trials go on."""
    search = searching(Model(), {"action": ["raise", None]})

    with pytest.warns() as warned:
        search.fit(*iris)

    first, second = warned
    assert first.category is FitFailedWarning
    assert "3 fits failed out of a total of 6." in str(first.message)
    assert "ArithmeticError: an unlucky setting" in str(first.message)
    assert "non-finite" in str(second.message)
    assert search.best_params_ == {"action": None}
    assert search.cv_results_["state"][0] == "FAIL"


def test_a_number_stands_for_a_failed_fit(iris):
    """The trial completes with it."""
    with pytest.warns(FitFailedWarning, match="set to 0.25"):
        search = searching(Model(), {"action": ["raise", None]}, error_score=0.25).fit(*iris)

    assert search.cv_results_["mean_test_score"][0] == 0.25
    assert search.cv_results_["state"][0] == "COMPLETE"


@pytest.mark.parametrize(("error_score", "error"), [("raise", ArithmeticError), (0.0, ValueError)])
def test_failures_can_end_the_search(iris, error_score, error):
    """With "raise" the exception is the fit's own; if all fits fail, it is a ValueError."""
    search = searching(Model(), {"action": ["raise"]}, error_score=error_score)

    with pytest.raises(error, match="an unlucky setting"):
        search.fit(*iris)


@pytest.mark.parametrize("error_score", [np.nan, 0.25])
def test_failures_are_told_in_words_of_a_search(iris, caplog, error_score):
    """Nobody is told of reports and notes, with which a user of a search has nothing to do."""
    search = searching(Model(), {"action": ["raise", None]}, error_score=error_score)

    with pytest.warns():
        search.set_params(pruner="auto").fit(*iris)

    assert caplog.text == ""


def test_a_fit_that_kills_its_worker_is_raised(iris):
    """With error_score="raise" it ends the search at once, and the error has the settings."""
    search = searching(Model(), {"action": ["die", None], "quality": [0.5, 0.6]})
    search.set_params(executor="processes", parallelism=1, error_score="raise")

    with pytest.raises(ExecutorError, match=r"'action': 'die'.* was lost .*SIGKILL"):
        search.fit(*iris)


def test_a_bug_ends_a_search_before_all_trials(iris):
    """Trials all over the space that fail alike are enough to say so."""
    search = SearchCV(Model(action="raise"), {"quality": Float(0, 1)}, executor="inline")

    with pytest.raises(ValueError, match=r"All the \d fits failed"):
        search.fit(*iris)


def test_a_score_that_is_nan_is_told(iris):
    """It is a warning of its own, and no failed fit."""
    search = searching(Model(), {"action": ["nan", None]})

    with pytest.warns(UserWarning, match="One or more of the test scores are non-finite") as told:
        search.fit(*iris)

    assert len(told) == 1
    assert search.best_params_ == {"action": None}


def test_a_scorer_that_raises_is_told(iris):
    """The traceback is in the warning; of several scorers, the others still count."""

    def broken(estimator, X, y):
        raise LookupError("no such score")

    scoring = {"broken": broken, "accuracy": "accuracy"}
    search = searching(GaussianNB(), SMOOTHING, scoring=scoring, refit="accuracy")

    with pytest.warns(UserWarning, match="no such score|non-finite") as told:
        search.fit(*iris)

    assert ["no such score" in str(each.message) for each in told] == [True, True, True, False]
    assert np.isnan(search.cv_results_["mean_test_broken"]).all()
    assert search.best_score_ > 0.9


# ── scores and refit ──────────────────────────────────────────────────────────────────────────────


def test_several_scores_and_a_function_that_chooses(iris):
    """The function gets the results; there is no best score then."""
    search = searching(
        GaussianNB(), SMOOTHING, scoring=["accuracy", "f1_macro"], refit=lambda results: 2
    ).fit(*iris)

    assert search.best_params_ == {"var_smoothing": 1.0}
    assert not hasattr(search, "best_score_")
    assert {"mean_test_accuracy", "rank_test_f1_macro"} <= set(search.cv_results_)


def test_a_callable_may_return_several_scores(iris):
    """`refit` names one of them; a name that it doesn't return is an error."""

    def both(estimator, X, y):
        return {"one": 1.0, "accuracy": estimator.score(X, y)}

    search = searching(GaussianNB(), SMOOTHING, scoring=both, refit="accuracy").fit(*iris)
    assert search.best_score_ == search.cv_results_["mean_test_accuracy"].max()

    with pytest.raises(ValueError, match="'two' was passed"):
        search.set_params(refit="two").fit(*iris)


@pytest.mark.parametrize("method", ["predict", "transform", "score"])
def test_methods_are_available_if_the_estimator_has_them(iris, method):
    """Before fitting, after it, and not at all without a refit."""
    search = searching(GaussianNB(), SMOOTHING)
    assert hasattr(search, method) == (method != "transform")
    if method != "transform":
        with pytest.raises(NotFittedError):
            getattr(search, method)(*iris[: 1 + (method == "score")])

    with pytest.raises(AttributeError, match="SearchCV has no attribute classes_ before"):
        _ = search.classes_
    search.set_params(refit=False).fit(*iris)

    assert method == "score" or not hasattr(search, method)
    assert not hasattr(search, "classes_")


# ── data ──────────────────────────────────────────────────────────────────────────────────────────


def test_groups_go_to_the_splitter(iris):
    """Without them, nothing is fitted."""
    search = searching(GaussianNB(), SMOOTHING, cv=GroupKFold(3))

    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        search.fit(*iris)

    assert search.fit(*iris, groups=np.arange(150) % 3).n_splits_ == 3


def test_metadata_is_routed_where_it_is_requested(iris):
    """Weights are split with the rows, and reach fit and scorer only on request."""
    weights = np.ones(150)
    scorer = make_scorer(accuracy_score)
    with config_context(enable_metadata_routing=True):
        scorer = scorer.set_score_request(sample_weight=True)
        model = Model().set_fit_request(sample_weight=True)
        search = searching(model, {"quality": [0.5]}, scoring=scorer)
        assert search.fit(*iris, sample_weight=weights).best_estimator_.weight_ == 150
        assert search.score(*iris, sample_weight=weights) == pytest.approx(1 / 3)

    with pytest.raises(ValueError, match="only supported if enable_metadata_routing=True"):
        search.score(*iris, sample_weight=weights)


def test_rows_come_in_any_container(iris):
    """Frames keep their names, and one-shot iterables of splits serve all trials."""
    pandas = pytest.importorskip("pandas")
    X, y = iris
    frame = pandas.DataFrame(X, columns=list("abcd"))
    search = searching(make_pipeline(PCA(2, random_state=0), SVC()), {"svc__C": [1, 2]})

    found = [
        clone(search).set_params(cv=KFold(3, shuffle=True, random_state=0).split(X)).fit(rows, y)
        for rows in (X, frame, X.tolist(), csr_matrix(X))
    ]

    assert len({each.best_score_ for each in found}) == 1
    assert list(found[1].feature_names_in_) == list("abcd")


# ── trials ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.integration
def test_trials_run_in_processes_and_are_repeatable(iris):
    """Whatever the timing, a random state gives the same settings; data are shared, not pickled."""
    space = {"C": Float(0.1, 10), "gamma": Float(0.01, 1, log=True)}
    search = SearchCV(SVC(), space, n_trials=6, parallelism=2, cv=3, random_state=3)

    found = search.fit(*iris)
    again = clone(search).set_params(executor="threads").fit(*iris)

    assert found.cv_results_["params"] == again.cv_results_["params"]
    assert found.best_score_ == again.best_score_


def test_more_trials_than_settings_are_told(iris):
    """A warning says so, and the search tries each setting once."""
    search = SearchCV(GaussianNB(), SMOOTHING, n_trials=9, executor="inline", pruner=None)

    with pytest.warns(UserWarning, match="total space of parameters 3 is smaller than n_trials=9"):
        search.fit(*iris)

    assert len(search.cv_results_["params"]) == 3


def test_a_search_resumes_by_name_on_the_same_data_only(iris, tmp_path):
    """Finished trials are kept; other data, folds or estimators are told apart."""
    X, y = iris
    search = SearchCV(
        GaussianNB(),
        {"var_smoothing": Float(1e-9, 1)},
        n_trials=2,
        executor="inline",
        random_state=0,
        name="iris",
        folder=tmp_path,
        tracker=None,
    ).fit(X, y)

    more = clone(search).set_params(n_trials=4).fit(X, y)

    assert len(more.cv_results_["params"]) == 4
    for key in ("params", "mean_fit_time"):
        assert list(more.cv_results_[key][:2]) == list(search.cv_results_[key])
    for changed, fit in (({}, (X + 1, y)), ({"cv": 3}, (X, y)), ({"scoring": "f1_macro"}, (X, y))):
        with pytest.raises(StudyChangedError, match="give this search another name"):
            clone(search).set_params(**changed).fit(*fit)


@pytest.mark.parametrize("seed", [None, 0])
def test_folds_that_cannot_be_made_again_are_told(iris, tmp_path, seed):
    """A search with a name says at its first fit that it can't be resumed."""
    cv = KFold(3, shuffle=True, random_state=seed)
    search = searching(GaussianNB(), SMOOTHING, cv=cv, name="x", folder=tmp_path, tracker=None)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        search.fit(*iris)

    assert ["give it a random_state" in str(each.message) for each in told] == [True] * (
        seed is None
    )


def test_a_ctrl_c_keeps_what_has_finished(iris, tmp_path):
    """The results are there, and the message says how to go on."""
    search = searching(Model(), {"action": [None, "interrupt"]}, name="x", folder=tmp_path)

    with pytest.raises(KeyboardInterrupt, match=r"1 trial is done .* fit again with name='x'"):
        search.set_params(tracker=None).fit(*iris)

    assert search.cv_results_["params"] == [{"action": None}]
    assert search.best_params_ == {"action": None}


def test_a_search_without_a_name_leaves_nothing_behind(iris, tmp_path, monkeypatch):
    """No study, neither in its folder nor among temporary files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    searching(GaussianNB(), SMOOTHING).fit(*iris)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verbose", [0, 2])
def test_each_fit_is_told_if_asked_for(iris, capsys, verbose):
    """A line has the fold, the settings, the scores and the time."""
    searching(GaussianNB(), SMOOTHING, verbose=verbose).fit(*iris)

    shown = capsys.readouterr().out
    assert shown.count("[CV 1/3] END") == 3 * bool(verbose)
    assert ("Fitting 3 folds for each of 3 candidates, totalling 9 fits" in shown) == bool(verbose)
    assert (", score=0.9" in shown) == bool(verbose)


# ── an estimator like any other ───────────────────────────────────────────────────────────────────


def test_it_nests_in_other_searches_and_pipelines(iris):
    """Each outer fold has a search of its own."""
    inner = searching(GaussianNB(), SMOOTHING)
    outer = searching(make_pipeline(StandardScaler(), inner), {"searchcv__cv": [2, 3]}, cv=2)

    assert outer.fit(*iris).best_params_["searchcv__cv"] in (2, 3)
    assert cross_val_score(inner, *iris, cv=2).mean() > 0.9


def test_it_can_be_pickled_before_and_after(iris):
    """Connections stay behind: the executor is then the default one."""
    before = pickle.loads(pickle.dumps(searching(GaussianNB(), SMOOTHING)))

    after = pickle.loads(pickle.dumps(before.fit(*iris)))

    assert list(after.predict(iris[0])) == list(before.predict(iris[0]))
    assert after.get_params()["estimator__priors"] is None


def test_a_notebook_shows_what_it_shows_of_a_grid_search(iris):
    """First the estimator, then the best one with its settings."""
    known = GridSearchCV(SVC(), {"C": [7]}, cv=2)
    search = searching(SVC(), {"C": [7]}, cv=2)

    for fitted, label in ((False, "estimator: SVC"), (True, "best_estimator_: SVC")):
        if fitted:
            known.fit(*iris)
            search.fit(*iris)
        shown = [each._repr_html_() for each in (known, search)]
        assert [label in each for each in shown] == [True, True]
        assert ["SVC(C=7)" in each for each in shown] == [fitted, fitted]


class Counting:
    """A callback that counts the fits that it hears of."""

    fits = 0

    def setup(self, estimator, context):
        Counting.fits += 1

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **data):
        pass

    def on_fit_task_end(self, estimator, context, **data):
        return False


def test_callbacks_of_the_estimator_are_called(iris):
    """scikit-learn's callbacks hear of each fit, and of the last one on all rows."""
    pytest.importorskip("sklearn.callback")
    model = LogisticRegression(max_iter=2000).set_callbacks(Counting())

    searching(model, {"C": [0.1, 1.0]}).fit(*iris)

    assert Counting.fits == 2 * 3 + 1


def test_a_copy_shares_the_connection_to_a_cluster():
    """Neither copying a search nor pickling it copies a cluster."""

    class Cluster:
        def __deepcopy__(self, memo):
            raise TypeError("a connection can't be copied")

        __reduce__ = __deepcopy__

    search = SearchCV(GaussianNB(), SMOOTHING, executor=Cluster())

    assert clone(search).executor is search.executor
    assert pickle.loads(pickle.dumps(search)).executor == "processes"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_trials": 0}, "n_trials must be a whole number, at least 1"),
        ({"refit": 3}, "refit must be a bool, a metric's name or a function, but got 3"),
        ({"error_score": "rise"}, "error_score must be 'raise' or a number, but got 'rise'"),
        ({"executor": "ray"}, "executor must be"),
        ({"sampler": "best"}, "sampler must be"),
        ({"scoring": "no_such"}, "no_such"),
        ({"scoring": ["accuracy", "f1"]}, "refit must be set to a scorer key"),
        ({"cv": []}, "No fits were performed"),
    ],
)
def test_a_wrong_argument_is_refused_before_any_fit(iris, options, words):
    """It is a ValueError, as scikit-learn's own are."""
    search = searching(Model(action="raise"), {"quality": [0.5]}, **options)

    with warnings.catch_warnings(), pytest.raises(ValueError, match=words):
        search.fit(*iris)


def test_rows_and_targets_differ_in_length(iris):
    """The message is scikit-learn's."""
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        searching(GaussianNB(), SMOOTHING).fit(iris[0], iris[1][:9])


@pytest.mark.soak("contracts")
def test_trials_run_on_a_cluster(iris, tmp_path):
    """Its workers receive the data once, and their scores come back."""
    executor = ProcessClusterExecutor(ProcessCluster(tmp_path / "machine"))
    search = SearchCV(
        Model(), {"quality": [0.5, 0.7], "action": [None]}, n_trials=2, executor=executor, cv=3
    )

    assert search.fit(*iris).best_params_ == {"quality": 0.7, "action": None}
