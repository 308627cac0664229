import pytest

from manyfit import Choice, Float, Int, Space
from manyfit.same_failure import SameFailure
from manyfit.trial import Attempt, Failed, Finished, Lost, Pruned, Trial

X = Space({"x": Float(0.0, 1.0)})
TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line {}, in train\nValueError: no\n'


def failed(params, reason="ValueError: no", error="ValueError", line=7):
    traceback = TRACEBACK.format(line) if line else ""
    return Trial(0, params, attempts=(Attempt(1, "w", 0.0, end=Failed(reason, error, traceback)),))


def reason_after(space, *trials):
    found = SameFailure(space)
    for trial in trials:
        found.take_in(trial)
    return found.reason


def test_everywhere_in_the_same_line_is_a_bug():
    """Every quarter of a range has failed; numbers in the message may differ."""
    trials = [failed({"x": x}, f"ValueError: {x} is odd") for x in (0.1, 0.9, 0.6)]
    assert reason_after(X, *trials) is None
    assert reason_after(X, *trials, failed({"x": 0.4})) is None, "another message"
    assert reason_after(X, *trials, failed({"x": 0.4}, "ValueError: 4 is odd")) is None
    trials.append(failed({"x": 0.4}, "ValueError: 0.4 is odd"))
    assert reason_after(X, *trials) == "ValueError: 0.1 is odd"


@pytest.mark.parametrize("most", [0.74, 0.5, 0.1])
def test_a_quarter_that_was_not_tried_may_work(most):
    """However many have failed elsewhere."""
    assert reason_after(X, *(failed({"x": most * i / 100}) for i in range(101))) is None


def test_every_option_counts_and_every_branch():
    """Of many options, eight are enough; a branch's params count where it is."""
    few = Space({"kind": Choice(["a", "b", "c"])})
    assert reason_after(few, *(failed({"kind": kind}) for kind in "aabb")) is None
    assert reason_after(few, *(failed({"kind": kind}) for kind in "abc"))
    many = Space({"kind": Choice(list(range(20)))})
    assert reason_after(many, *(failed({"kind": kind}) for kind in range(7))) is None
    assert reason_after(many, *(failed({"kind": kind}) for kind in range(8)))
    tree = Space({"m": Choice({"svm": {"n": Int(1, 2)}, "bayes": {}})})
    trials = [failed({"m": "bayes"}), failed({"m": "bayes"}), failed({"m": "svm", "n": 1})]
    assert reason_after(tree, *trials) is None
    assert reason_after(tree, *trials, failed({"m": "svm", "n": 2}))


QUARTERS = [{"x": (i + 0.5) / 4} for i in range(4)]


@pytest.mark.parametrize(
    "other",
    [
        failed({"x": 0.5}, line=8),
        failed({"x": 0.5}, "KeyError: 'y'", "KeyError"),
        failed({"x": 0.5}, "loss is NaN", "UndefinedMetricError", line=None),
        failed({"x": 0.5}, "loss is NaN on fold 3", "UndefinedMetricError"),
        failed({"x": 0.5}, "ran longer than trial_timeout=5 s", "", line=None),
        Trial(0, {"x": 0.5}, attempts=(Attempt(1, "w", 0.0, end=Finished(1.0, {})),)),
        Trial(0, {"x": 0.5}, attempts=(Attempt(1, "w", 0.0, end=Pruned("slow")),)),
        Trial(0, {"x": 0.5}, attempts=(Attempt(1, "w", 0.0, end=Lost("died")),), abandoned="died"),
    ],
    ids=[
        "another line",
        "another error",
        "NaN",
        "NaN of a fold",
        "limit",
        "value",
        "pruned",
        "lost",
    ],
)
def test_one_that_ends_otherwise_rules_it_out(other):
    """Before the others or after them: what ran to an end, or failed by its params or a limit."""
    same = list(map(failed, QUARTERS))
    assert reason_after(X, *same)
    assert reason_after(X, other, *same) is None
    assert reason_after(X, *same, other) is None


def test_nan_everywhere_is_no_bug():
    """Nor are limits: the next point may be the first that trains."""
    for error, reason in (("UndefinedMetricError", "loss is NaN"), ("", "ran out of memory")):
        trials = [failed(params, reason, error, line=None) for params in QUARTERS]
        assert reason_after(X, *trials) is None


def test_nothing_returned_is_a_bug():
    """It comes from no line, and no param makes an objective forget to return."""
    trials = [failed(p, "the objective returned None", "MetricError", line=None) for p in QUARTERS]
    assert reason_after(X, *trials) == "the objective returned None"
