"""What the figures of groups suggest."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from manyfit import Float, Metric, Space
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.row import BASELINE, FAIL, GroupRow, row_schema, to_table
from manyfit.groups.result.advice import advice, compare
from manyfit.groups.result.result import GroupsResult

METRIC = Metric("rmse")
SPACE = Space({"x": Float(0.0, 1.0)})
SCHEMA = row_schema(pa.schema([("g", pa.string())]))


def row(n, state="COMPLETE", **given):
    known = {"rows": 100, "trials": 10, "seconds": 1.0, "fit_seconds": 0.5}
    if state == "COMPLETE":
        known |= {"value": 0.9, "baseline": 1.0, "params": {"x": 0.5}}
    return GroupRow(key_text([f"g{n}"]), state, **{**known, **given})


def table(rows, metric=METRIC):
    return to_table([(f"g{n}",) for n in range(len(rows))], rows, metric, SCHEMA)


def advise(rows, **given):
    return advice(table(rows), METRIC, ("g",), SPACE, **given)


def only(rows, **given):
    (found,) = advise(rows, **given)
    guide = Path("docs/advice.md").read_text(encoding="utf-8")
    assert f"\n## {found.code}\n" in guide
    return found.message


class TestAdvice:
    """Each sentence, and its absence."""

    def test_nothing_stands_out(self):
        """Ordinary figures suggest nothing."""
        assert advise([row(n) for n in range(40)], slots=8) == ()

    def test_no_groups(self):
        """No groups suggest nothing."""
        assert advise([], slots=8) == ()

    def test_failures(self):
        """The main cause of failures is told."""
        reasons = ["killed", "ValueError: 3", "ValueError: 4"]
        rows = [row(n, FAIL, reason=reason) for n, reason in enumerate(reasons)]
        sentence = only([*rows, row(3)])
        assert sentence == "3 of 4 groups failed, 2 of them alike: ValueError: 3"

    @pytest.mark.parametrize(
        ("reasons", "how"),
        [
            (["KeyError: 'a'"], ": KeyError: 'a'"),
            (["KeyError: 'a'"] * 2, ", all of them alike: KeyError: 'a'"),
            (["KeyError: 'a'", "killed"], ", each for another reason, such as: KeyError: 'a'"),
        ],
    )
    def test_how_many_fail_alike(self, reasons, how):
        """One group alone is not alike."""
        rows = [row(n, FAIL, reason=reason) for n, reason in enumerate(reasons)]
        assert only([*rows, row(3)]).partition(" failed")[2] == how

    def test_trials_that_mostly_fail(self):
        """They are told though something is left to be best, with what most of them failed with."""
        why = "5 of 10 trials failed, most with: "
        rows = [row(n, failed=5, reason=f"{why}KeyError: {n}") for n in range(2)]
        rows += [row(2, failed=9, reason=f"{why}killed"), row(3, failed=1)]
        assert only(rows) == "19 of 30 trials of 3 groups failed, most with KeyError: 0"

    def test_baseline_only(self):
        """The share of groups that have their baseline only is told, and why."""
        rows = [row(0, BASELINE, reason="1 row: too few"), row(1), row(2), row(3)]
        assert only(rows) == "1 of 4 groups (25%) have their baseline only: 1 row: too few"

    def test_models_that_cannot_be_kept(self):
        """Models that can't be kept are told of, though their groups are complete."""
        rows = [row(0, reason="its model can't be kept: TypeError: no"), row(1)]
        assert only(rows) == "the models of 1 group can't be kept: TypeError: no"

    def test_fewer_groups_than_slots(self):
        """Slots that had no group are told of."""
        assert "2 of 8 slots" in only([row(0), row(1)], slots=8)
        assert advise([row(0), row(1)], slots=2) == ()

    def test_skew(self):
        """One group that took a large part of the time is named."""
        rows = [row(n) for n in range(9)] + [row(9, seconds=60.0, fit_seconds=0.5)]
        assert "g9, took 87% of all worker time (1 min 0 s)" in only(rows)

    def test_slow_fits(self):
        """Slow fits are worth a better sampler, unless another one was chosen."""
        rows = [row(n, seconds=8.0, fit_seconds=7.0) for n in range(6)]
        assert "sampler='gp'" in only(rows)
        assert advise(rows, sampler="random") == ()
        assert advise(rows, mode="shared") == ()

    def test_worse_than_the_baseline(self):
        """Groups that lost against their baseline are counted."""
        rows = [row(n, value=1.5 if n < 5 else 0.9) for n in range(30)]
        assert advise(rows)[0].message.startswith("in 5 groups of 30 the best trial is worse")

    def test_luck_of_small_groups(self):
        """Small groups that gain far more than large ones are suspect."""
        rows = [row(n, rows=10, value=0.6) for n in range(15)]
        rows += [row(n, rows=1000, value=0.95) for n in range(15, 30)]
        assert "up to 10 rows gained 40% in the median, those of 1,000 and more 5%" in only(rows)

    def test_gains_of_small_and_large_groups_alike(self):
        """Groups that gain alike at all sizes are no suspects."""
        rows = [row(n, rows=10 if n < 15 else 1000, value=0.6) for n in range(30)]
        assert advise(rows) == ()

    def test_params_all_over_the_space(self):
        """Params that lie everywhere, with little gain, suggest to share them."""
        rows = [row(n, params={"x": n / 29}, value=0.995) for n in range(30)]
        assert "mode='shared', may do as well" in only(rows)
        assert advise(rows, mode="transfer") == ()
        near = [row(n, params={"x": 0.5 + n / 3000}, value=0.995) for n in range(30)]
        assert advise(near) == ()

    def test_baseline_of_zero(self):
        """A baseline of 0 has no relative gain, and breaks nothing."""
        assert advise([row(n, baseline=0.0, value=0.0) for n in range(30)]) == ()


def result(values, metric=METRIC, name="rmse", groups=None):
    rows = [
        row(n, value=float(value), metrics={metric.name: float(value), name: float(value)})
        for n, value in zip(groups or range(len(values)), values, strict=True)
    ]
    keys = [(f"g{n}",) for n in groups or range(len(values))]
    rows = to_table(keys, rows, metric, SCHEMA)
    return GroupsResult("r", Path(), metric, SPACE, ("g",), "independent", "done", rows)


class TestCompare:
    """Params for each group, or for all."""

    spread = np.random.default_rng(0).normal(size=30)

    def test_not_better(self):
        """A difference within its error is none; the figures are told."""
        one, other = result(10 + self.spread), result(10 + self.spread[::-1])
        sentence = compare(one, other)
        assert sentence.startswith("params for each group are not better than shared params here")
        assert "30 groups" in sentence

    def test_better(self):
        """A difference far beyond its error is one."""
        one, other = result(9 + 0.01 * self.spread), result(np.full(30, 10.0))
        assert "look better" in compare(one, other)
        assert "rmse is 1 lower with them" in compare(one, other)

    def test_worse(self):
        """Params of one's own can be worse."""
        one, other = result(11 + 0.01 * self.spread), result(np.full(30, 10.0))
        assert "for each group are worse" in compare(one, other)
        assert "rmse is 0.999 higher with them" in compare(one, other)

    def test_maximized(self):
        """Where large is good, a larger value is better."""
        auc = Metric("auc", "maximize")
        one, other = result(np.full(5, 0.9), auc), result(np.full(5, 0.8), auc)
        assert "look better" in compare(one, other)
        assert "auc is 0.1 higher with them" in compare(one, other)

    def test_groups_in_pairs(self):
        """Only groups that both have count."""
        one = result([1.0, 2.0, 3.0], groups=[0, 1, 2])
        other = result([1.5, 2.5, 9.0], groups=[0, 1, 5])
        assert "2 groups" in compare(one, other)
        assert compare(one, result([1.0], groups=[0])).startswith("nothing can be compared: 1")

    def test_rows_that_chose(self):
        """The tuned metric favours params for each group, and another one doesn't."""
        one, other = result([1.0, 2.0], name="test"), result([2.0, 3.0], name="test")
        assert "look better than shared params on the rows by which" in compare(one, other)
        assert "Compare a metric of rows that are kept out" in compare(one, other)
        assert compare(one, other, "test").startswith("params for each group are better")
        assert "not better than shared params here, even on the rows" in compare(one, one)

    def test_baselines_stand_in(self):
        """A group without trials stands by its baseline."""
        rows = [row(n, BASELINE, baseline=1.0, baseline_metrics={"rmse": 1.0}) for n in range(3)]
        one = GroupsResult("r", Path(), METRIC, SPACE, ("g",), "independent", "", table(rows))
        assert "rmse is 0.5 higher" in compare(one, result([0.5] * 3))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_useless_figures(self, value):
        """NaN and infinite metrics are no figures."""
        one, other = result([1.0, 2.0, 3.0]), result([1.0, 2.0, value])
        assert "2 groups" in compare(one, other)
