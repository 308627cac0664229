"""Several trackers as one: a tracker that raises never fails a study."""

import pytest

from manyfit import Float, tune
from manyfit.testing.trackers import RecordingTracker, Story
from manyfit.trackers.mirrors import Mirrors


class Failing(RecordingTracker):
    """Raises in one of its methods."""

    def __init__(self, where):
        super().__init__()
        setattr(self, where, self._fail)

    def _fail(self, *args):
        raise ConnectionError("https://ann:hunter2@example.com is away")


METHODS = ["prepare", "record", "close"]


@pytest.mark.parametrize("where", METHODS)
def test_one_that_raises_is_told_no_more(where, caplog, tmp_path):
    """The others hear everything, and the user is told once, without credentials."""
    failing, other = Failing(where), RecordingTracker({"A": "1"})
    story = Story(Mirrors([failing, other]), folder=tmp_path)
    story.run(2)
    story.end()
    assert (len(other.events), other.reason) == (7, "all trials are done")
    assert len(failing.events) == {"prepare": 1, "record": 0, "close": 7}[where]
    assert failing.reason == (None if where == "close" else "all trials are done")
    assert caplog.text.count("tracker Failing raised ConnectionError") == 1
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("where", METHODS)
def test_a_study_ends_all_the_same(where, tmp_path, caplog):
    """No trial is lost to a tracker of one's own."""
    result = tune(
        lambda params: params["x"],
        {"x": Float(0.0, 1.0)},
        metric="loss",
        n_trials=3,
        executor="inline",
        tracker=Failing(where),
        progress=None,
        folder=tmp_path,
    )
    assert result.reason == "all 3 trials done"
    assert caplog.text.count("tracker Failing raised") == 1


@pytest.mark.parametrize("env", [None, 42, {"A": 1}, {None: "1"}])
def test_odd_variables_reach_no_worker(env, caplog, tmp_path):
    """What `prepare` returns is text to text, or nothing."""
    odd = RecordingTracker()
    odd.prepare = lambda trial: env
    story = Story(Mirrors([odd, RecordingTracker({"B": "2"})]), folder=tmp_path)
    assert story.start(story.ask()) == {"B": "2"}
    assert "tracker RecordingTracker raised TypeError" in caplog.text


def test_one_that_cannot_be_opened(tmp_path):
    """Nothing has run, so its error is raised; those that are open are closed."""
    first = RecordingTracker()
    with pytest.raises(ConnectionError):
        Story(Mirrors([first, Failing("open")]), folder=tmp_path)
    assert first.reason.startswith("the driver ended with ConnectionError: ")


def test_orders_to_end_are_not_held_back(tmp_path):
    """Ctrl-C in a tracker is Ctrl-C."""
    tracker = RecordingTracker()
    story = Story(Mirrors([tracker]), folder=tmp_path)

    def interrupted(*args):
        raise KeyboardInterrupt

    tracker.record = interrupted
    with pytest.raises(KeyboardInterrupt):
        story.ask()
