"""A copy of a study is brought up to date, whatever happened before."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manyfit.space import Float, Space
from manyfit.testing.trackers import Story
from manyfit.trackers.base import Outcome
from manyfit.trackers.mlflow_copy import Copy
from manyfit.trackers.mlflow_ledger import Ledger
from manyfit.trackers.mlflow_remote import AwayError
from manyfit.trackers.mlflow_view import view
from manyfit.trial import Trial


@pytest.fixture
def open_copy() -> Iterator[Callable[..., Copy]]:
    copies: list[Copy] = []

    def open_one(server: Any, story: Story, history: Sequence[Trial] = (), **options: Any) -> Copy:
        copies.append(Copy(story.study, server, Ledger(story.study.folder, "memory"), **options))
        copies[-1].begin(history)
        return copies[-1]

    yield open_one
    for copy in copies:
        copy.close()


def test_a_trial_costs_three_writes(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """Create, all there is to write, status: and nothing is read."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    server.calls.clear()
    copy.start(story.trials[story.ask()])
    story.start(0)
    copy.follow(story.trials[0])
    story.report(0, 0, loss=0.5)
    story.finish(0, loss=0.25)
    copy.settle(story.trials[0])
    assert server.calls == ["create", "write", "set_status"]


def test_params_are_written_at_the_end(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """MLflow takes no second value for a param, so the objective's own come first; a tag has ours.

    Neither are they written between two attempts: the next one may log its own.
    """
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    copy.start(story.trials[0])
    copy.follow(story.trials[0])
    story.lose(0)
    copy.settle(story.trials[0])
    assert server.run_of(0).params == {}
    assert server.run_of(0).tags["manyfit.params"] == '{"lr": 0.1, "size": "S"}'
    story.start(0)
    story.prune(0)
    copy.settle(story.trials[0])
    assert server.run_of(0).params == {"lr": "0.1", "size": "S"}


def test_a_run_says_where_it_belongs(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """A trial's run is found by study and number, and stands under the study's run."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.run(1)
    copy.settle(story.trials[0])
    run = server.run_of(0)
    assert run.name == "00000-tale"
    assert run.started_at == story.trials[0].attempts[0].started_at
    assert run.ended_at == story.trials[0].attempts[0].ended_at
    assert run.tags["mlflow.parentRunId"] == copy.parent_id
    found = {name: run.tags[f"manyfit.{name}"] for name in ("study", "origin", "seed", "state")}
    assert found == {"study": "tale", "origin": "sampler", "seed": "7", "state": "COMPLETE"}


def test_a_long_trial_is_written_piece_by_piece(
    open_copy: Any, server: Any, tmp_path: Path
) -> None:
    """What was followed is not written again at the end."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    for step in range(3):
        story.report(0, step, loss=1.0 - step / 10)
        copy.follow(story.trials[0])
    story.finish(0, loss=0.5)
    copy.settle(story.trials[0])
    assert server.run_of(0).curve("loss") == [(0, 1.0), (1, 0.9), (2, 0.8), (2, 0.5)]


def test_following_without_news_costs_nothing(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """A running trial that has said nothing since is left alone."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    copy.follow(story.trials[0])
    server.calls.clear()
    copy.follow(story.trials[0])
    assert server.calls == []


def test_the_parent_has_the_progress(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """While the study runs: the best value, counts and seconds; without news it costs nothing."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    story.finish(0, loss=0.5)
    copy.stand(list(story.trials.values()))
    server.calls.clear()
    copy.stand(list(story.trials.values()))
    parent = server.runs[copy.parent_id]

    assert server.calls == []
    assert parent.curve("best_loss") == [(1, 0.5)]
    assert parent.curve("trials_complete") == [(1, 1.0)]
    assert parent.curve("trial_seconds") == [(1, 1.0)]


def test_a_lost_trial_starts_again_in_its_run(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """One run a trial: KILLED while it waits, RUNNING again, and no step is written twice."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    story.report(0, 0, loss=1.0)
    copy.follow(story.trials[0])
    story.lose(0)
    copy.settle(story.trials[0])
    assert server.run_of(0).status == "KILLED"
    copy.start(story.trials[0])
    assert server.run_of(0).status == "RUNNING"
    assert server.run_of(0).tags["manyfit.attempt"] == "2"
    story.start(0)
    story.report(0, 0, loss=1.0)
    story.report(0, 1, loss=0.5)
    story.finish(0, loss=0.5)
    copy.settle(story.trials[0])
    run = server.run_of(0)
    assert (run.status, run.tags["manyfit.reason"]) == ("FINISHED", "")
    assert run.curve("loss") == [(0, 1.0), (1, 0.5)]


def test_a_lost_attempt_that_logged_params_keeps_its_run(
    open_copy: Any, server: Any, tmp_path: Path
) -> None:
    """The next one may log others under their names, so it has a run of its own, with all of it."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    story.report(0, 0, loss=1.0)
    copy.start(story.trials[0])
    copy.follow(story.trials[0])
    first = copy.page.runs[0].id
    server.runs[first].params["host"] = "a"  # by the objective
    story.lose(0)
    copy.settle(story.trials[0])
    story.start(0)
    story.report(0, 0, loss=1.0)
    second = copy.start(story.trials[0]).id
    assert server.runs[second].tags["manyfit.key"] == copy.key(0, 2)
    story.finish(0, loss=0.5)
    again = open_copy(server, story, tuple(story.trials.values()))
    again.settle(story.trials[0])
    assert server.run_of(0) is server.runs[second]
    assert server.run_of(0).curve("loss") == [(0, 1.0), (0, 0.5)]
    assert (server.runs[first].status, server.runs[first].params) == ("KILLED", {"host": "a"})


def test_final_metrics_come_after_what_a_lost_attempt_reported(
    open_copy: Any, server: Any, tmp_path: Path
) -> None:
    """A second attempt that reports nothing still ends with its value in view."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    story.report(0, 9, loss=1.0)
    copy.follow(story.trials[0])
    story.lose(0)
    story.start(0)
    story.finish(0, loss=0.25)
    copy.settle(story.trials[0])
    assert server.run_of(0).curve("loss") == [(9, 1.0), (9, 0.25)]


def test_output_and_traceback_are_kept(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """Logs of all attempts and the traceback are artifacts, without credentials."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "00000-1.log").write_text("first\n")
    (tmp_path / "logs" / "00000-2.log").write_text("password='hunter22'\n")
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    story.lose(0)
    story.start(0)
    story.fail(0, traceback="Traceback: ghp_" + "a" * 36)
    copy.settle(story.trials[0])
    assert server.run_of(0).files == {
        "output-1.log": "first\n",
        "output-2.log": "password='[redacted]'\n",
        "traceback.txt": "Traceback: [redacted]",
    }


def test_a_huge_log_keeps_its_end(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """The end of a log is where the error is; what is left out is said."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "00000-1.log").write_text("x\n" * 3_000_000 + "the end")
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.run(1)
    copy.settle(story.trials[0])
    text = server.run_of(0).files["output.log"]
    assert text.startswith("[the first 2000007 bytes are left out]\n")
    assert text.endswith("the end")
    assert len(text) < 4_100_000


def test_an_artifact_store_that_refuses_costs_the_artifacts_alone(
    open_copy: Any, server: Any, tmp_path: Path
) -> None:
    """Metrics, params and state are worth having without them."""
    server.refuses = "upload"
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    story.fail(0)
    copy.settle(story.trials[0])
    assert server.run_of(0).status == "FAILED"
    assert copy.page.done == {0}


def test_what_clashes_costs_itself_alone(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """An objective that logged another value under a param's name keeps it; the rest is written."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask(poison=1, lr=0.5))
    story.finish(0, loss=0.5, poison=2.0)
    copy.settle(story.trials[0])
    run = server.run_of(0)
    assert run.params == {"lr": "0.5"}
    assert run.curve("loss") == [(0, 0.5)]
    assert run.tags["manyfit.state"] == "COMPLETE"


def test_what_is_refused_is_said_once(
    open_copy: Any, server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A metric that MLflow does not take is named, and not again for each trial."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    for number in range(3):
        story.start(story.ask())
        story.finish(number, loss=0.5, poison=2.0)
        copy.settle(story.trials[number])
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("MLflow refused metric poison of trial 0: poison.")
    assert [server.run_of(number).curve("loss") for number in range(3)] == [[(0, 0.5)]] * 3


def test_an_artifact_store_out_of_order_is_no_server_that_is_away(
    open_copy: Any, server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After three tries nothing is uploaded any more, all else is written, and it is said once.

    What was not uploaded is tried again when the study is next opened.
    """
    server.loses_files = True
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    for number in range(3):
        story.start(story.ask())
        story.fail(number)
        with contextlib.suppress(AwayError):
            copy.settle(story.trials[number])
        with contextlib.suppress(AwayError):
            copy.settle(story.trials[number])
    copy.end("done", tuple(story.trials.values()))
    assert [server.run_of(number).status for number in range(3)] == ["FAILED"] * 3
    assert server.parent.status == "FAILED"
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "MLflow takes no artifacts"
    ]
    server.loses_files = False
    again = open_copy(server, story, tuple(story.trials.values()))
    again.settle(story.trials[2])
    assert server.run_of(2).files == {"traceback.txt": "Trace"}


@pytest.mark.parametrize("fails_at", range(4))
def test_settling_goes_on_where_it_failed(
    open_copy: Any, server: Any, tmp_path: Path, fails_at: int
) -> None:
    """A server that goes away between any two requests has all of the trial once, in the end."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.run(1, steps=3)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "00000-1.log").write_text("hello")
    server.fails_after(fails_at)
    with pytest.raises(AwayError):
        copy.settle(story.trials[0])
    copy.settle(story.trials[0])
    run = server.run_of(0)
    assert run.status == "FINISHED"
    assert len(run.points) == len(set(run.points)) == 2 * 3 + 2
    assert run.files == {"output.log": "hello"}


def test_a_resumed_study_writes_what_is_missing(
    open_copy: Any, server: Any, tmp_path: Path
) -> None:
    """Trials that are written are left alone; the parent run is the same."""
    story = Story(folder=tmp_path)
    first = open_copy(server, story)
    story.run(3)
    for number in (0, 1):
        first.settle(story.trials[number])
    server.calls.clear()
    again = open_copy(server, story, tuple(story.trials.values()))
    assert again.parent_id == first.parent_id
    assert again.page.done == {0, 1}
    again.settle(story.trials[2])
    assert server.calls[:2] == ["begin", "children"]
    assert server.calls[2:] == ["tag_experiment", "create", "write", "set_status"]


def test_a_run_that_was_not_noted_is_adopted(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """A driver killed right after it created a run leaves it to the next one."""
    story = Story(folder=tmp_path)
    first = open_copy(server, story)
    first.start(story.trials[story.ask()])
    ledger = tmp_path / "mlflow.jsonl"
    ledger.write_text(ledger.read_text().splitlines()[0])
    story.start(0)
    story.finish(0, loss=0.5)
    again = open_copy(server, story, tuple(story.trials.values()))
    again.settle(story.trials[0])
    assert server.run_of(0).status == "FINISHED"
    assert server.calls.count("create") == 1


def test_a_lost_answer_leaves_one_run(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """A run whose creation was answered too late is found, not created again."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.run(1)
    server.loses_answers = True
    with pytest.raises(AwayError):
        copy.settle(story.trials[0])
    server.loses_answers = False
    copy.settle(story.trials[0])
    assert server.run_of(0).status == "FINISHED"


def test_a_repeated_creation_is_undone(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """A second run that a retry on the way has made is deleted when there was doubt."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.run(2)
    copy.settle(story.trials[0])
    server.runs["stray"] = type(server.run_of(0))("00000-tale", dict(server.run_of(0).tags))
    server.loses_answers = True
    with pytest.raises(AwayError):
        copy.settle(story.trials[1])
    server.loses_answers = False
    copy.end("done", tuple(story.trials.values()))
    assert "stray" not in server.runs


def test_a_copy_that_was_given_up_leaves_no_run(
    open_copy: Any, server: Any, tmp_path: Path
) -> None:
    """A request that comes through after the study was closed is undone."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story, is_wanted=lambda: "create" not in server.calls)
    story.ask()
    with pytest.raises(AwayError):
        copy.start(story.trials[0])
    assert len(server.runs) == 1


def test_a_parent_that_was_deleted_is_made_anew(
    open_copy: Any, server: Any, tmp_path: Path
) -> None:
    """Who deleted the study's runs, or the database, gets all of them again from the journal."""
    story = Story(folder=tmp_path)
    first = open_copy(server, story)
    story.run(1)
    first.settle(story.trials[0])
    server.runs.clear()
    again = open_copy(server, story, tuple(story.trials.values()))
    assert again.page.done == set()
    again.settle(story.trials[0])
    assert server.run_of(0).tags["mlflow.parentRunId"] == again.parent_id


def test_the_study_ends(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """The parent run is FINISHED, with the best trial, the reason and the report."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.run(2)
    outcome = Outcome(files=lambda: {"report.html": "<html>"})
    copy.end("all trials are done", tuple(story.trials.values()), outcome)
    parent = server.parent
    assert parent.status == "FINISHED"
    assert parent.files["report.html"] == "<html>"
    assert parent.tags["manyfit.best.trial"] == "1"
    assert parent.tags["manyfit.reason"] == "all trials are done"
    assert parent.curve("best_loss") == [(1, 1.0), (2, 0.5)]
    assert '"lr"' in parent.files["space.json"]


def test_ending_settles_what_never_started(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """A run made for a trial that the end of the study overtook doesn't stay RUNNING."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    copy.start(story.trials[story.ask()])
    copy.end("interrupted", tuple(story.trials.values()))
    assert server.run_of(0).status == "KILLED"


def view_of(server: Any) -> Any:
    """The only view of the experiment."""
    ((name, value),) = server.experiment_tags.items()
    assert name.startswith("mlflow.sharedViewState.run")
    return json.loads(value)


def test_the_experiment_has_a_view_of_the_trials(
    open_copy: Any, server: Any, tmp_path: Path
) -> None:
    """It has the params from the beginning, and the other metrics at the end; the note links it."""
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    first = view_of(server)
    story.start(story.ask())
    story.finish(0, loss=0.25, accuracy=0.5)
    copy.end("done", tuple(story.trials.values()))
    last = view_of(server)

    assert [first["orderByKey"], first["orderByAsc"]] == ["metrics.`loss`", True]
    assert first["searchFilter"] == f"tags.mlflow.parentRunId = '{copy.parent_id}'"
    assert first["selectedColumns"][2:] == ["metrics.`loss`", "params.`lr`", "params.`size`"]
    assert set(last["selectedColumns"]) - set(first["selectedColumns"]) == {"metrics.`accuracy`"}
    link = f"#/experiments/7/runs?viewStateShareKey={copy.parent_id}"
    assert f"]({link})" in server.parent.tags["mlflow.note.content"]


def test_an_experiment_that_takes_no_tags(open_copy: Any, server: Any, tmp_path: Path) -> None:
    """All else is written, and there is no link that leads nowhere."""
    server.refuses = "tag_experiment"
    story = Story(folder=tmp_path)
    copy = open_copy(server, story)
    story.start(story.ask())
    story.finish(0, loss=0.25)
    copy.end("done", tuple(story.trials.values()))

    assert server.parent.status == "FINISHED"
    assert server.parent.tags["mlflow.note.content"].startswith("**minimize loss**")


def test_a_view_of_many_params_fits_a_tag(tmp_path: Path) -> None:
    """Those that come first are columns."""
    space = Space({f"{'param' * 20}{n}": Float(0, 1) for n in range(200)})
    study = replace(Story(folder=tmp_path).study, space=space)
    found = view(study, "9f", ())

    assert len(found) < 3000
    assert f"params.`{next(iter(space.params))}`" in json.loads(found)["selectedColumns"]
