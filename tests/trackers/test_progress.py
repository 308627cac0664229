"""What a person is told of a running study."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manyfit.testing.trackers import RecordingTracker, Story
from manyfit.trackers import progress
from manyfit.trackers.progress import Counts, Tally
from manyfit.trial import Attempt, Pruned, Trial


class Told:
    """A tally as a tracker, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sentences: list[str] = []

    def open(self, study: Any, history: Any) -> None:
        self.tally = Tally(study, history, self.now)

    def prepare(self, trial: Any) -> dict[str, str]:
        return {}

    def record(self, event: Any, trial: Any) -> None:
        sentence = self.tally.take(event, trial)
        if sentence is not None:
            self.sentences.append(sentence)

    def close(self, reason: str, trials: Any, outcome: Any = None) -> None:
        pass

    @property
    def view(self) -> progress.View:
        return self.tally.view(self.now)


@pytest.fixture
def told() -> Told:
    return Told()


def test_counts_every_state(told: Told, tmp_path: Path) -> None:
    """Complete, pruned, failed, running; a lost trial is none of these until it starts again."""
    story = Story(told, folder=tmp_path)
    for _ in range(6):
        story.start(story.ask())
    story.finish(0, loss=1.0)
    story.prune(1)
    story.fail(2)
    story.lose(3)
    story.lose(4)
    story.abandon(4)
    assert told.view.counts == Counts(complete=1, pruned=1, failed=2, running=1)
    story.start(3)
    assert told.view.counts.running == 2


def on_a_cluster(told: Told, folder: Path, slots: int, n_trials: int | None = 8) -> Story:
    story = Story(folder=folder, n_trials=n_trials)
    story.study = replace(story.study, remote=True, parallelism=slots)
    story.trackers = (told,)
    told.open(story.study, ())
    return story


def test_fewer_than_asked_for_are_told(told: Told, tmp_path: Path) -> None:
    """Where workers come and go, one can see how many run of how many."""
    story = on_a_cluster(told, tmp_path, slots=3)
    assert str(told.view.counts) == "0 complete, 0 running (of 3)"
    for expected in ("1 running (of 3)", "2 running (of 3)", "3 running"):
        story.start(story.ask())
        assert str(told.view.counts) == f"0 complete, {expected}"
    story.lose(1)
    assert str(told.view.counts) == "0 complete, 2 running (of 3)"


def test_the_last_trials_need_no_more_room(told: Told, tmp_path: Path) -> None:
    """Slots with nothing left to do are not missed, and neither are any at the end."""
    story = on_a_cluster(told, tmp_path, slots=3, n_trials=2)
    story.start(story.ask())
    assert str(told.view.counts) == "0 complete, 1 running (of 2)"
    story.start(story.ask())
    story.finish(0, loss=1.0)
    assert str(told.view.counts) == "1 complete, 1 running"
    story.finish(1, loss=1.0)
    assert str(told.view.counts) == "2 complete"


def test_a_study_without_end_misses_all_slots(told: Told, tmp_path: Path) -> None:
    """Without a number of trials there is always more to run."""
    on_a_cluster(told, tmp_path, slots=3, n_trials=None)
    assert told.view.counts.wanted == 3


def test_slots_of_this_machine_are_not_missed(told: Told, tmp_path: Path) -> None:
    """Between two quick trials a local slot is empty for a moment, which is no news."""
    story = Story(told, folder=tmp_path)
    story.start(story.ask())
    assert str(told.view.counts) == "0 complete, 1 running"


def test_counts_what_earlier_drivers_did(told: Told, tmp_path: Path) -> None:
    """A resumed study begins with the trials it has, and with their best."""
    first = Story(folder=tmp_path)
    first.run(3)
    Story(told, folder=tmp_path, history=tuple(first.trials.values()))
    assert told.view.counts.finished == 3
    assert told.view.best == first.trials[2]


def test_the_best_is_the_metrics_best(told: Told, tmp_path: Path) -> None:
    """A worse trial that ends later changes nothing; a pruned one has no value."""
    story = Story(told, folder=tmp_path)
    for value in (0.5, 0.25, 0.75):
        number = story.ask()
        story.start(number)
        story.finish(number, loss=value)
    story.start(story.ask())
    story.report(3, 0, loss=0.0)
    story.prune(3)
    assert told.view.best == story.trials[1]


def test_time_left_is_judged_by_this_drivers_pace(told: Told, tmp_path: Path) -> None:
    """Four trials in eight seconds: twelve are left, for 24; the twenty from before don't count."""
    first = Story(folder=tmp_path)
    first.run(20)
    story = Story(told, folder=tmp_path, n_trials=36, history=tuple(first.trials.values()))
    assert told.view.seconds_left is None
    told.now += 8
    story.run(4)
    assert told.view.seconds_left == 24.0


def test_no_time_left_without_an_end(told: Told, tmp_path: Path) -> None:
    """An unlimited study has no time left that anyone could know."""
    story = Story(told, folder=tmp_path, n_trials=None)
    told.now += 8
    story.run(4)
    assert told.view.seconds_left is None


def test_one_failure_of_a_kind_is_told(told: Told, tmp_path: Path) -> None:
    """The same error with other numbers in it is counted, not told again."""
    story = Story(told, folder=tmp_path)
    for size in (3, 4, 5):
        number = story.ask()
        story.start(number)
        story.fail(number, f"ValueError: {size} rows at 0x7f{size}a")
    assert told.sentences == ["trial 0 failed: ValueError: 3 rows at 0x7f3a"]
    assert told.tally.failures == {"ValueError: # rows at #": 3}


def test_a_failure_names_the_log(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path is as short as it can be typed from here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study" / "logs").mkdir(parents=True)
    (tmp_path / "study" / "logs" / "00000-1.log").write_text("oh")
    story = Story(told, folder=tmp_path / "study")
    story.start(story.ask())
    story.fail(0, "ValueError: no")
    expected = "trial 0 failed: ValueError: no (its output: study/logs/00000-1.log)"
    assert told.sentences == [expected]


def test_many_kinds_of_failure_are_no_flood(told: Told, tmp_path: Path) -> None:
    """After eight kinds the others are counted as one, in words and in memory."""
    story = Story(told, folder=tmp_path, n_trials=None)
    for index in range(100):
        number = story.ask()
        story.start(number)
        story.fail(number, "E" + "x" * index)
    assert len(told.sentences) == 8
    assert told.tally.failures["other failures"] == 92


def test_a_lost_worker_is_told(told: Told, tmp_path: Path) -> None:
    """A worker's death is news; a trial cut off because the study ended is none."""
    story = Story(told, folder=tmp_path)
    for _ in range(2):
        story.start(story.ask())
    story.lose(0, "killed by signal 9")
    story.lose(1, "interrupted", counts=False)
    assert told.sentences == ["trial 0 was cut off: killed by signal 9"]


def test_reports_are_no_news(told: Told, tmp_path: Path) -> None:
    """What is told doesn't grow with what is reported."""
    story = Story(told, folder=tmp_path)
    story.run(2, steps=100)
    assert told.sentences == []


def test_the_opening(tmp_path: Path) -> None:
    """What is tuned, over how much, and what is there already."""
    first = Story(folder=tmp_path)
    first.run(3)
    history = tuple(first.trials.values())
    assert progress.opening(first.study, history) == [
        "tale: minimize loss over 2 parameters, 8 trials, 2 at a time",
        "resumed, with 3 trials finished before",
    ]


def test_what_is_outside_the_space_is_not_counted(tmp_path: Path) -> None:
    """The opening says how many there are; the best is one of the others, and so at the end."""
    first = Story(folder=tmp_path)
    first.run(3)
    history = tuple(first.trials.values())
    best = min(history, key=lambda trial: trial.value or 0.0)
    study = replace(first.study, outside={best.number})
    assert progress.opening(study, history)[-1] == (
        "resumed, with 2 trials finished before; 1 outside the space count no more"
    )
    tally = progress.Tally(study, history, 0.0)
    assert tally.counts.finished == 2
    for _ in range(2):
        assert tally.best is not None
        assert tally.best.number != best.number
        tally.settle(history, "all done")


def test_the_opening_on_a_cluster(told: Told, tmp_path: Path) -> None:
    """The number of trials at a time is the one asked for."""
    story = on_a_cluster(told, tmp_path, slots=8, n_trials=1)
    history = [Trial(0, {}, attempts=(Attempt(1, "a:1", 0.0, end=Pruned("no")),))]
    assert progress.opening(story.study, history) == [
        "tale: minimize loss over 2 parameters, 1 trial, up to 8 at a time",
        "resumed, with 1 trial finished before",
    ]


def test_the_status_of_one_trial(told: Told, tmp_path: Path) -> None:
    """One trial is one trial."""
    story = Story(told, folder=tmp_path, n_trials=None)
    story.run(1)
    assert told.view.status.startswith("1 trial (1 complete), ")
    Story(told, folder=tmp_path, n_trials=1)
    assert told.view.status.startswith("0/1 trial (0 complete), ")


def test_the_status(told: Told, tmp_path: Path) -> None:
    """Where it stands, in one line."""
    story = Story(told, folder=tmp_path)
    told.now += 61
    story.run(4)
    expected = "4/8 trials (4 complete), best loss 0.25, 1 min 1 s so far, about 1 min 1 s left"
    assert told.view.status == expected


def test_the_closing(told: Told, tmp_path: Path) -> None:
    """How it ended, the best, and what failed often."""
    story = Story(told, folder=tmp_path)
    story.run(1)
    for _ in range(2):
        number = story.ask()
        story.start(number)
        story.fail(number)
    told.now += 9
    lines = progress.closing(told.view, told.tally.failures, "3 trials are done")
    assert lines == [
        "tale ended after 9 s: 3 trials are done (1 complete, 2 failed)",
        "best: loss 1 (trial 0: lr=0.1, size=S)",
        "ValueError: no (2 times)",
    ]


def test_repeats_may_name_another_best(told: Told, tmp_path: Path) -> None:
    """A repeat is no best while the study runs; at the end the means decide."""
    story = Story(told, folder=tmp_path)
    for loss in (0.1, 0.2):
        number = story.ask()
        story.start(number)
        story.finish(number, loss=loss)
    for of, loss in ((0, 0.5), (1, 0.05), (1, 0.15)):
        number = story.ask("repeat")
        story.trials[number] = replace(story.trials[number], repeat_of=of)
        story.start(number)
        story.finish(number, loss=loss)
    assert told.view.best == story.trials[0]

    told.tally.settle(tuple(story.trials.values()), "all done")
    lines = progress.closing(told.view, {}, "done")
    assert lines[1].startswith("best: loss 0.2 (trial 1:")
    assert lines[2].startswith("that one: 0.1 on average of 2 repeats, 95 % interval")


def test_the_closing_on_a_cluster(told: Told, tmp_path: Path) -> None:
    """A study that was ended early misses no slots."""
    story = on_a_cluster(told, tmp_path, slots=4)
    view = Tally(story.study, (), 0.0).view(5.0)
    ended = progress.closing(view, {}, "interrupted")

    assert ended[0].endswith("interrupted (0 complete)")


def test_the_closing_without_a_best(told: Told, tmp_path: Path) -> None:
    """It says so when nothing has completed."""
    Story(told, folder=tmp_path)
    assert progress.closing(told.view, {}, "interrupted")[1] == "no trial has completed"


def test_short_params_are_one_line() -> None:
    """However long a value is, and whatever is in it."""
    text = progress.short({"a": 0.123456789, "b": "x\ny", "c": "z" * 200})
    assert text.startswith("a=0.1235, b=x y, c=zzz")
    assert len(text) == 100


def test_events_without_a_trial_are_left_alone(told: Told, tmp_path: Path) -> None:
    """What concerns the study as a whole moves no count."""
    recording = RecordingTracker()
    story = Story(told, recording, folder=tmp_path)
    story.end()
    assert told.view.counts == Counts()


def test_it_ends_with_advice(told: Told, tmp_path: Path) -> None:
    """The last lines say what stands out, unless the study was interrupted or wants no advice."""
    story = Story(told, folder=tmp_path)
    for place in range(20):
        number = story.ask(lr=1e-4 * 10 ** (place / 5), size="SM"[place % 2])
        story.start(number)
        story.finish(number, loss=float(place))
    trials = tuple(story.trials.values())

    told.tally.settle(trials, "interrupted")
    assert len(told.tally.closing(1.0, "interrupted", None)) == 2
    told.tally.settle(trials, "all 20 trials done")
    assert "advice: size hardly" in told.tally.closing(1.0, "all 20 trials done", None)[2]

    quiet = Tally(replace(told.tally.study, advice=False), (), 0.0)
    quiet.settle(trials, "all 20 trials done")
    assert len(quiet.closing(1.0, "all 20 trials done", None)) == 2
