"""What an objective sees: report and current_trial, in and outside of trials, and in threads."""

import contextvars
import math
import os
import threading

import numpy as np
import pytest

from manyfit.errors import MetricError, TrialStopped
from manyfit.worker.channel import Channel, Stop
from manyfit.worker.context import Context, CurrentTrial, current_trial, entered, note, report


@pytest.fixture
def sent():
    return []


@pytest.fixture
def channel(sent):
    return Channel(sent.append)


@pytest.fixture
def context(channel, tmp_path):
    return make(channel, tmp_path)


def make(channel, folder, number=4, seconds=None):
    return Context(CurrentTrial(number, 1, 99, "study", folder), channel, seconds)


def in_thread(function):
    caught = []

    def run():
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return caught[0] if caught else None


def test_outside_of_a_trial_nothing_happens():
    """In a plain call, report takes anything and current_trial is None."""
    report("no step", loss="no number")
    note(anything=object())
    assert current_trial() is None


def test_report_sends_numbers(context, sent):
    """Metrics of any numeric type go home as floats, at an int step."""
    with entered(context):
        report(np.int64(3), loss=np.float32(0.5), ok=True, n=2, array=np.array(1.5), bad=math.inf)
    (event,) = sent
    assert (event.number, event.attempt, event.step) == (4, 1, 3)
    assert event.metrics == {"loss": 0.5, "ok": 1.0, "n": 2.0, "array": 1.5, "bad": math.inf}
    assert {type(value) for value in event.metrics.values()} == {float}
    assert type(event.step) is int


@pytest.mark.parametrize(
    ("step", "metrics", "message"),
    [
        (1.5, {"loss": 1}, "step must be a whole number, but got 1.5"),
        ("1", {"loss": 1}, "step must be a whole number, but got '1'"),
        (-1, {"loss": 1}, "step must be a whole number, 0 or more, but got -1"),
        (1, {}, r"report\(1\) has no metrics"),
        (1, {"loss": "0.5"}, "loss must be a number, but got '0.5'"),
        (1, {"loss": None}, "loss must be a number"),
    ],
)
def test_a_bad_report_is_an_error(context, sent, step, metrics, message):
    """A report that breaks a rule raises, and sends nothing."""
    with entered(context), pytest.raises(MetricError, match=message):
        report(step, **metrics)
    assert sent == []


@pytest.mark.parametrize("step", [2, 1])
def test_steps_must_rise(context, sent, step):
    """A repeated or smaller step is an error; a gap is not."""
    with entered(context):
        report(0, loss=1)
        report(2, loss=1)
        with pytest.raises(MetricError, match=f"step {step} was reported after step 2. Steps must"):
            report(step, loss=1)
    assert [event.step for event in sent] == [0, 2]


def test_a_bad_report_can_be_repeated(context, sent):
    """A report that was refused doesn't use up its step."""
    with entered(context):
        with pytest.raises(MetricError):
            report(0, loss="x")
        report(0, loss=1.0)
    assert len(sent) == 1


def test_stop_is_raised_by_every_report(context, channel, sent):
    """Once a stop is requested, the next report still counts, and all later ones only raise."""
    with entered(context):
        report(0, loss=1)
        channel.request(Stop("hopeless"))
        channel.request(Stop("too late: the first one stands"))
        for step in (1, 2, 2, "no step"):
            with pytest.raises(TrialStopped, match="hopeless"):
                report(step, loss=1)
    assert len(sent) == 1
    assert context.delivered == Stop("hopeless")


def test_stop_from_within_send(tmp_path):
    """A stop decided while a report is being handled acts in that very report."""
    channel = Channel(lambda _: channel.request(Stop("hopeless")))
    with entered(make(channel, tmp_path)), pytest.raises(TrialStopped):
        report(0, loss=1)


def test_time_limit_is_checked_by_report(channel, tmp_path):
    """Where nobody kills, a report after the limit ends the trial."""
    context = make(channel, tmp_path, seconds=0.0)
    with entered(context), pytest.raises(TrialStopped, match="ran longer than trial_timeout=0s"):
        report(0, loss=1)
    assert context.delivered == Stop("ran longer than trial_timeout=0s", timeout=True)


def test_current_trial(context, tmp_path):
    """It tells number, attempt, seed and study; the scratch folder exists once asked for."""
    with entered(context):
        trial = current_trial()
        assert (trial.number, trial.attempt, trial.seed, trial.study) == (4, 1, 99, "study")
        assert not (tmp_path / "scratch").exists()
        assert trial.scratch.is_dir()
        assert trial.scratch == trial.scratch == tmp_path / "scratch" / "4"
        assert str(tmp_path) not in repr(trial)


def test_after_the_trial_reports_go_nowhere(context, sent):
    """A straggling thread that kept the trial's context can't report to a trial that has ended."""
    with entered(context):
        inside = contextvars.copy_context()
    inside.run(report, 0, loss=1)
    assert sent == []


def test_threads_of_the_objective_report(context, sent):
    """A thread that the objective starts is found without being told."""
    with entered(context):
        assert in_thread(lambda: report(0, loss=1)) is None
    assert len(sent) == 1


def test_older_threads_are_not_in_the_trial(context, sent, channel, tmp_path):
    """A thread that was there before the trial, left over perhaps, isn't part of it."""
    go, done = threading.Event(), threading.Event()

    def wait():
        go.wait(10)
        report(0, loss=1)
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    with entered(make(channel, tmp_path)):
        go.set()
        assert done.wait(10)
    thread.join()
    assert sent == []


def test_a_thread_among_several_trials_is_refused(context, channel, sent, tmp_path):
    """With several trials in the process, a thread must bring its context, else it's an error."""
    go, done = threading.Event(), threading.Event()

    def other():
        with entered(make(channel, tmp_path, number=1)):
            go.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert go.wait(10)
    with entered(make(channel, tmp_path, number=2)):
        assert isinstance(in_thread(lambda: report(0, loss=1)), RuntimeError)
        inside = contextvars.copy_context()
        assert in_thread(lambda: inside.run(report, 0, loss=1)) is None
    done.set()
    thread.join()
    assert [event.number for event in sent] == [2]


def test_an_inner_one_takes_its_place(context, channel, sent, tmp_path):
    """A trial inside of another is the one that reports, threads of its own included."""
    with entered(make(channel, tmp_path, number=1)):
        with entered(make(channel, tmp_path, number=2)):
            assert in_thread(lambda: report(0, loss=1)) is None
        report(0, loss=1)
        assert in_thread(lambda: report(1, loss=1)) is None
    assert [event.number for event in sent] == [2, 1, 1]


def test_a_forked_process_reports_nothing(context, sent):
    """A process forked by the objective shares its memory, not its trial."""
    read, write = os.pipe()
    with entered(context):
        pid = os.fork()
        if pid == 0:
            report(0, loss=1)
            os.write(write, b"%d" % len(sent))
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert os.read(read, 10) == b"0"
    os.close(read)
    os.close(write)


def test_reports_of_many_threads(context, sent):
    """Reports of several threads at once: each step arrives once, in rising order."""

    def work():
        for _ in range(200):
            try:
                report(len(sent), loss=1)
            except MetricError:
                continue

    with entered(context):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    steps = [event.step for event in sent]
    assert steps == sorted(set(steps))
    assert len(steps) >= 200


def test_notes_are_sent_as_short_texts_without_credentials(context, sent):
    """Strings stay as they are, within limits; anything else is its repr; secrets are taken out."""
    with entered(context):
        note(path="/models/7", best=12, api_key="hunter2-hunter2", long="x" * 5000, big=[0] * 900)
        note(best=13)
    first, second = sent

    assert (first.number, first.attempt) == (4, 1)
    assert (first.notes["path"], first.notes["best"]) == ("/models/7", "12")
    assert "hunter2" not in first.notes["api_key"]
    assert (len(first.notes["long"]), len(first.notes["big"])) == (1000, 200)
    assert second.notes == {"best": "13"}


def test_notes_beyond_the_most_are_left_out_and_said_to_be(context, sent):
    """A flood of names doesn't fill the journal; known names may still be noted."""
    with entered(context):
        for number in range(120):
            note(**{f"n{number}": number})
        note(n0="again")

    assert [len(event.notes) for event in sent] == [1] * 121
    assert sent[99].notes == {"n99": "99"}
    assert sent[100].notes == {"left out": "n100 and later names: a trial keeps 100 notes"}
    assert sent[-1].notes == {"n0": "again"}


def test_a_note_after_the_end_is_dropped(context, sent):
    """A thread that the objective left running notes nothing."""
    with entered(context):
        pass
    context.note({"late": 1})

    assert sent == []
