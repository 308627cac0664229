"""One set of params for all groups."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit import Float, Space
from manyfit.errors import NoResultError
from manyfit.groups.job import GroupJob
from manyfit.groups.joint import Joint, Score, aggregate, is_hopeless
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.row import row_schema, to_table
from manyfit.groups.record.store import GroupRecord
from manyfit.groups.search.study import tune_group
from manyfit.groups.settings import created_by
from manyfit.metric import Metric
from manyfit.trial import State

X = Space({"x": Float(0.0, 1.0)})
LOSSES = st.lists(st.floats(-10, 10), min_size=1, max_size=30)


class Silent:
    """Notes that nobody reads."""

    known = ()
    spent = 0.0

    def begin(self, number):
        """Take no notice."""

    def note(self, event):
        """Take no notice."""

    def told(self, ending):
        """Add nothing to it."""
        return ending


class Here:
    """A population in this process: groups with a region and the x that is best for them."""

    def __init__(self, groups):
        self.groups = groups
        self.calls = []
        self.keys_schema = pa.schema([("g", pa.string())])

    def keys(self):
        names = sorted(self.groups)
        regions = [self.groups[name]["region"] for name in names]
        return pa.table({"g": names, "region": regions})

    def part(self, keys):
        names = keys.column("g").to_pylist()
        other = type(self)({name: self.groups[name] for name in names})
        other.calls = self.calls
        return other

    def run(self, job, points=None):
        self.calls.append(len(self.groups))
        job = job.at(points)
        for name, group in sorted(self.groups.items()):
            frame = pa.table({k: [v] * group.get("rows", 1) for k, v in group.items()}).to_pandas()
            cluster = key_text([group[each] for each in job.shared_by])
            row = tune_group(job, key_text([name]), frame, Silent(), cluster)
            yield to_table([(name,)], [row], job.metric, row_schema(self.keys_schema))


def loss(group, params):
    if group["best"].iloc[0] < 0:
        raise ValueError("no such group")
    return (params["x"] - group["best"].iloc[0]) ** 2


def job(objective=loss, **settings):
    settings = {
        "n_trials": 12,
        "sampler": "random",
        "start_with": ({"x": 0.5},),
        "shared_by": ("region",),
        **settings,
    }
    return GroupJob(("g",), objective, X, Metric("loss"), **settings)


def groups(**best):
    return {name: {"region": name[0], "best": value} for name, value in best.items()}


def run(population, settings, how, folder, tracker=None):
    """Tune groups jointly, on record in a folder."""
    record = GroupRecord(folder, created_by(settings, folder.name, "shared", how))
    try:
        return Joint(population, settings, how, record, tracker).run()
    finally:
        record.close()


class TestAggregates:
    """What a trial is worth over groups."""

    def test_all_of_them(self):
        """Mean, weighted mean, median, and the mean of the worst tenth."""
        scores = [Score(float(n), n) for n in range(1, 21)]
        assert aggregate(scores, "mean") == 10.5
        assert aggregate(scores, "weighted") == sum(n * n for n in range(21)) / 210
        assert aggregate(scores, "median") == 10.5
        assert aggregate(scores, "worst") == 19.5

    @given(LOSSES)
    def test_they_lie_among_the_losses(self, losses):
        """No aggregate is better than the best group, or worse than the worst."""
        scores = [Score(loss, 1 + place) for place, loss in enumerate(losses)]
        for how in ("mean", "weighted", "median", "worst"):
            assert min(losses) - 1e-9 <= aggregate(scores, how) <= max(losses) + 1e-9


class TestHopeless:
    """When a sample of groups is enough."""

    @staticmethod
    def scores(losses):
        return {str(place): Score(loss, 1) for place, loss in enumerate(losses)}

    def test_much_worse(self):
        """Worse on every group is hopeless, better is not, nor is the same."""
        best = self.scores(np.linspace(0, 5, 20))
        worse = self.scores(np.linspace(1, 6, 20))
        assert is_hopeless(worse, best, "mean", 0)
        assert not is_hopeless(best, worse, "mean", 0)
        assert not is_hopeless(best, best, "mean", 0)

    def test_scatter(self):
        """Where groups disagree, a worse mean says little."""
        rng = np.random.default_rng(0)
        best, other = (self.scores(rng.normal(size=20)) for _ in range(2))
        assert not is_hopeless(other, best, "mean", 0)

    def test_few_groups(self):
        """Few groups say nothing."""
        best, worse = self.scores(range(7)), self.scores(range(10, 17))
        assert not is_hopeless(worse, best, "mean", 0)

    def test_it_errs_seldom(self):
        """Of trials that are better on all groups, hardly any is ended after a sample."""
        rng = np.random.default_rng(1)
        wrong = 0
        for _ in range(200):
            best = rng.normal(size=100)
            better = best - 0.05 + rng.normal(size=100) * 0.3
            if better.mean() < best.mean():
                wrong += is_hopeless(self.scores(better[:20]), self.scores(best[:20]), "mean", 0)
        assert wrong <= 4


class Ended(list):
    """A tracker that keeps the trials that have ended."""

    def open(self, study, history):
        pass

    def prepare(self, trial):
        return {}

    def record(self, event, trial):
        if trial is not None and trial.state.is_finished:
            self.append(trial)

    def close(self, reason, trials, outcome=None):
        pass


class TestStudies:
    """Clusters of groups, tuned at the same pace."""

    def test_each_cluster_has_its_own_params(self, tmp_path):
        """They are near what is best for the cluster's groups on average."""
        here = Here(groups(a1=0.1, a2=0.3, b1=0.8, b2=0.9))
        best = run(here, job(n_trials=30), "mean", tmp_path)
        assert best['["a"]']["x"] == pytest.approx(0.2, abs=0.07)
        assert best['["b"]']["x"] == pytest.approx(0.85, abs=0.07)

    def test_no_clusters(self, tmp_path):
        """Without any, all groups share."""
        here = Here(groups(a1=0.1, b2=0.5))
        best = run(here, job(shared_by=(), n_trials=30), "mean", tmp_path)
        assert best["[]"]["x"] == pytest.approx(0.3, abs=0.07)

    def test_hopeless_trials(self, tmp_path):
        """They end after a sample of the groups; the result is what it is without that."""
        rng = np.random.default_rng(0)
        values = 0.4 + rng.normal(size=60) * 0.05
        here = Here(groups(**{f"a{n}": value for n, value in enumerate(values)}))
        ended = Ended()
        best = run(here, job(), "mean", tmp_path, ended)
        ended = [trial for trial in ended if trial.state is State.COMPLETE]
        pruned = 12 - len(ended)
        assert pruned > 2
        assert here.calls.count(12) == 12
        assert here.calls.count(48) == 12 - pruned
        values = {trial.params["x"]: trial.value for trial in ended}
        assert best['["a"]']["x"] == min(values, key=values.get)

    def test_a_group_that_always_fails(self, tmp_path):
        """It is left out of the mean, and fails no trial."""
        ended = Ended()
        run(Here(groups(a1=0.1, a2=-1.0, a3=0.2)), job(), "mean", tmp_path, ended)
        assert {trial.state for trial in ended} == {State.COMPLETE}
        assert {trial.metrics["groups"] for trial in ended} == {2.0}

    def test_a_trial_that_some_groups_cant_take(self, tmp_path):
        """It fails, and says how many groups failed, which, and why."""

        def picky(group, params):
            if group["best"].iloc[0] == 0.2 and params["x"] > 0.6:
                raise ValueError("too large")
            return params["x"]

        ended = Ended()
        run(Here(groups(a1=0.1, a2=0.2)), job(picky), "mean", tmp_path, ended)
        failed = [trial for trial in ended if trial.state is State.FAIL]
        assert failed
        assert all(trial.params["x"] > 0.6 for trial in failed)
        assert '1 of 2 groups failed; ["a2"]: its only trial failed with' in failed[0].reason

    def test_nothing_works(self, tmp_path):
        """A cluster without any result ends with how its trials failed."""
        with pytest.raises(NoResultError, match=r"no group has a value|groups failed"):
            run(Here(groups(a1=-1.0, a2=-1.0)), job(), "mean", tmp_path)

    def test_who_ends_first(self, tmp_path):
        """The order in which groups end changes no digit of a value, and so no proposal."""

        class Backwards(Here):
            def run(self, job, points=None):
                return reversed(list(super().run(job, points)))

        means = {f"a{n}": 10.0 ** (n % 5) + n / 7 for n in range(20)}
        told = {}
        for kind in (Here, Backwards):
            ended = Ended()
            settings = job(shared_by=(), n_trials=16, sampler="auto")
            folder = tmp_path / kind.__name__
            run(kind(groups(**means)), settings, "mean", folder, ended)
            told[kind] = [(trial.params, trial.value) for trial in ended]
        assert told[Here] == told[Backwards]

    def test_resuming(self, tmp_path):
        """A study that was cut off goes on to what it would have come to."""
        values = {f"a{n}": 0.3 + n / 100 for n in range(20)} | {"a99": -1.0}
        whole = run(Here(groups(**values)), job(), "mean", tmp_path / "whole")

        class Interrupted(Here):
            def run(self, job, points=None):
                if len(self.calls) == 9:
                    raise KeyboardInterrupt
                yield from super().run(job, points)

            def part(self, keys):
                other = super().part(keys)
                part = Interrupted(other.groups)
                part.calls = self.calls
                return part

        with pytest.raises(KeyboardInterrupt):
            run(Interrupted(groups(**values)), job(), "mean", tmp_path / "cut")
        rest = Here(groups(**values))
        assert run(rest, job(), "mean", tmp_path / "cut") == whole
        assert 0 < len(rest.calls) < 24

    def test_weights(self, tmp_path):
        """Groups count by their rows, if that is asked for."""
        data = {
            "a1": {"region": "a", "best": 0.1, "rows": 1},
            "a2": {"region": "a", "best": 0.9, "rows": 99},
        }
        best = run(Here(data), job(n_trials=30), "weighted", tmp_path)
        assert best['["a"]']["x"] == pytest.approx(0.9, abs=0.07)
