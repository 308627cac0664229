import re
import subprocess
import sys

import pyarrow as pa
import pytest

import manyfit
from manyfit.cli import main
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptStarted,
    Reported,
    TrialAsked,
)
from manyfit.group_events import CallCreated, CallEnded, CallStarted
from manyfit.groups.record.row import GroupRow, row_schema, to_table
from manyfit.groups.record.store import GroupRecord
from manyfit.journal.file import FileJournal
from manyfit.metric import Metric


@pytest.fixture
def folder(tmp_path):
    """A folder with one study of which one trial failed."""

    def train(params):
        if manyfit.current_trial().number == 2:
            raise ValueError("no such [layer]")
        return {"loss": params["x"], "accuracy": 1 - params["x"]}

    manyfit.tune(
        train,
        {"x": manyfit.Float(0.0, 1.0), "kind": manyfit.Choice(["a", "b"])},
        metric="loss",
        n_trials=5,
        name="fashion",
        executor="inline",
        seed=0,
        folder=tmp_path,
        tracker=None,
        progress=None,
    )
    return tmp_path


def shown(capsys, *arguments):
    """What a command prints, blanks in a row as one."""
    assert main([*arguments]) == 0
    return re.sub(r" +", " ", capsys.readouterr().out)


class Record:
    """A study named `cluster` on disk, of which a test tells what happened."""

    def __init__(self, folder):
        self.folder = folder
        space = {"x": manyfit.Float(0.0, 1.0), "api_key": "s3cr3t-s3cr3t"}
        manyfit.Study(space, metric="loss", name="cluster", folder=folder, tracker=None).close()
        self.logs = folder / "cluster" / "logs"
        self.logs.mkdir()
        self._journal = FileJournal(folder / "cluster")
        self._trials = 0
        assert list(self._journal.read())

    def trial(self, *attempts):
        """Put a trial on record whose attempts were each on a worker, and ended somehow."""
        number = self._trials
        self._trials += 1
        self._journal.append(TrialAsked(number, {"x": number / 1000}, "sampler", 1e9))
        for attempt, (worker, end, *details) in enumerate(attempts, start=1):
            began = 1e9 + 60 * attempt
            self._journal.append(AttemptStarted(number, attempt, worker, began))
            self._journal.append(Reported(number, attempt, 3, {"loss": 0.25}, began + 1))
            if end is AttemptFinished:
                event = end(number, attempt, {"loss": 0.5}, 12.0, began + 12)
            elif end is AttemptLost:
                event = end(number, attempt, *details, True, began + 12)
            else:
                event = end(number, attempt, *details, "E", "tb", False, 12.0, began + 12)
            self._journal.append(event)
        return number

    def log(self, number, attempt, text):
        (self.logs / f"{number:05d}-{attempt}.log").write_text(text)

    def save(self):
        self._journal.close()


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path)
    yield record
    record.save()


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal wide enough that no table is folded."""
    monkeypatch.setenv("COLUMNS", "200")


def test_list_shows_every_study(folder, capsys):
    """One line a study: what it tunes, how far it is, and why it ended."""
    assert main(["list", "--folder", str(folder)]) == 0
    output = capsys.readouterr().out

    assert "fashion" in output
    assert "loss" in output
    assert "all 5 trials done" in output


class TestOddities:
    """What is on record may be long, and may be meant for a terminal."""

    @pytest.fixture
    def odd(self, tmp_path):
        """A study with a long name, small numbers, and escapes in all that workers can write."""
        escape = "\x1b]0;title\x07\x1b[8mhidden\u202e"

        def train(params):
            print(f"printed {escape}")
            if params["rate"] < 1e-2:
                raise ValueError(f"boom {escape}")
            return params["rate"]

        space = {
            "rate": manyfit.Float(1e-5, 1e-1, log=True),
            f"with {escape}": manyfit.Choice([f"one {escape}", f"two {escape}"]),
            **{f"a_longer_name_{i}": manyfit.Float(0, 1e-3) for i in range(6)},
        }
        manyfit.tune(
            train,
            space,
            metric="val_loss",
            n_trials=8,
            name="credit-gradient-boosting-of-february",
            max_failures=8,
            executor="threads",
            parallelism=1,
            seed=0,
            folder=tmp_path,
            tracker=None,
            progress=None,
        )
        return tmp_path

    @pytest.mark.parametrize("columns", [None, "40"])
    def test_nothing_is_cut_off(self, odd, capsys, monkeypatch, columns):
        """In a pipe lines are as long as they are; on a narrow screen values go on below."""
        name = "credit-gradient-boosting-of-february"
        if columns is None:
            monkeypatch.delenv("COLUMNS")
        else:
            monkeypatch.setenv("COLUMNS", columns)
        main(["list", "--folder", str(odd)])
        listed = capsys.readouterr().out
        main(["show", name, "--folder", str(odd)])
        output = capsys.readouterr().out

        assert "…" not in listed
        if columns is None:
            assert name in listed
            assert "…" not in output
        else:
            cells = (line.split("│")[1].strip() for line in listed.splitlines() if "│" in line)
            assert "".join(cells) == name
            assert max(map(len, listed.splitlines())) <= 40

    @pytest.mark.parametrize("trial", range(8))
    def test_no_command_reaches_the_terminal(self, odd, capsys, trial):
        """Reasons, tracebacks, params and output are shown, with escapes for what would act."""
        said = ""
        name = "credit-gradient-boosting-of-february"
        for command in (["list"], ["show", name], ["show", name, "--trial", str(trial)]):
            main([*command, "--folder", str(odd)])
            said += capsys.readouterr().out

        assert not set(said) & set("\x1b\x07\u202e")
        assert "printed" in said
        assert r"\x1b]0;title\x07" in said

    def test_an_error_is_no_command_either(self, tmp_path, capsys):
        """Also what is wrong with a record is told without obeying it."""
        assert main(["show", "a\x1b[2J", "--folder", str(tmp_path)]) == 2
        assert "\x1b" not in capsys.readouterr().err


def test_list_of_an_empty_folder(tmp_path, capsys):
    """Nothing there is said in a sentence."""
    assert main(["list", "--folder", str(tmp_path)]) == 0
    assert "No studies in" in capsys.readouterr().out


def test_list_survives_a_damaged_journal(folder, capsys):
    """Broken studies don't hide the others, and take a few words; `show` has the rest."""
    for name, text in (("broken", "what\n{}\n"), ("newer one", '{"v":99}\n')):
        journal = folder / name / "journal.jsonl"
        journal.parent.mkdir()
        journal.write_text(text)
    output = shown(capsys, "list", "--folder", str(folder))

    assert "fashion" in output
    assert "│ damaged: line 1 (manyfit show broken says more) │" in output
    assert "│ can't be read (manyfit show 'newer one' says more) │" in output
    assert main(["show", "broken", "--folder", str(folder)]) == 2
    assert "journal.jsonl is damaged" in capsys.readouterr().err


def test_show_tells_the_best_trial_the_others_and_the_failures(folder, capsys):
    """Best first, then the failures with their traceback; brackets are text, not markup."""
    best = manyfit.load_study("fashion", folder=folder).best
    assert main(["show", "fashion", "--folder", str(folder), "--trials", "3"]) == 0
    output = capsys.readouterr().out

    assert f"(trial {best.number})" in output
    assert "accuracy" in output
    assert "2 more: --trials 5 shows all." in output
    assert "ValueError: no such [layer]" in output
    assert "in train" in output


def test_show_keeps_repeats_apart(tmp_path, capsys):
    """Repeats are no rows among the trials: each leader says what came of running it again."""
    manyfit.tune(
        lambda params: params["x"],
        {"x": manyfit.Float(0.0, 1.0)},
        metric="loss",
        n_trials=2,
        repeats=2,
        name="noisy",
        executor="inline",
        folder=tmp_path,
        tracker=None,
        progress=None,
    )
    text = shown(capsys, "show", "noisy", "--folder", str(tmp_path))

    assert re.findall(r"(\d+) │ COMPLETE", text) == re.findall(
        r"^trial (\d+) again: .* on average of 2 repeats", text, re.MULTILINE
    )


def test_show_of_an_unknown_study_says_which_there_are(folder, capsys):
    """A typo is answered with the names, on stderr, with status 2."""
    assert main(["show", "fashon", "--folder", str(folder)]) == 2
    captured = capsys.readouterr()

    assert captured.out == ""
    assert "there are: fashion" in captured.err


class TestFailures:
    def test_many_trials_are_named_by_ranges(self, record, capsys):
        """Four runs of numbers are four ranges; what is beyond eight of them is counted."""
        for number in range(60):
            fails = number % 5 != 4 if number < 20 else number % 2 == 0
            end = (AttemptFailed, f"ValueError: {number}") if fails else (AttemptFinished,)
            record.trial(("host1:7", *end))
        output = shown(capsys, "show", "cluster", "--folder", str(record.folder))

        assert "(trials 0-3, 5-8, 10-13, 15-18, 20, 22, 24, 26 and 16 more;" in output

    def test_two_in_a_row_are_no_range(self, record, capsys):
        """Neighbours are listed one by one."""
        for end in (AttemptFailed, AttemptFailed, AttemptFinished, AttemptFailed):
            record.trial(("host1:7", end, *(["no"] if end is AttemptFailed else [])))
        output = shown(capsys, "show", "cluster", "--folder", str(record.folder))

        assert "FAIL no (trials 0, 1, 3;" in output

    def test_the_one_machine_they_come_from_is_named(self, record, capsys):
        """On a cluster that is the cause; it is not where failures come from everywhere."""
        for number in range(6):
            record.trial((f"host{number % 3}/executor 1:{number}", AttemptFailed, "OSError: gone"))
            record.trial(("host1/executor 0:3", AttemptFailed, "disk full"))
        output = shown(capsys, "show", "cluster", "--folder", str(record.folder))

        assert "FAIL disk full (trials 1, 3, 5, 7, 9, 11, all on host1;" in output
        assert "FAIL OSError: gone (trials 0, 2, 4, 6, 8, 10;" in output

    def test_a_single_machine_is_no_news(self, record, capsys):
        """Where all trials ran on one machine, it is not named."""
        record.trial(("host1:1", AttemptFailed, "no"))
        record.trial(("host1:2", AttemptFinished))
        output = shown(capsys, "show", "cluster", "--folder", str(record.folder))

        assert "FAIL no (trial 0; log" in output

    def test_lost_attempts_are_told_also_of_trials_that_completed(self, record, capsys):
        """What the cluster did to a study can be seen though every trial is complete."""
        for _ in range(2):
            record.trial(
                ("host2:1", AttemptLost, "killed by SIGKILL"), ("host1:1", AttemptFinished)
            )
        output = shown(capsys, "show", "cluster", "--folder", str(record.folder))

        assert "2 attempts were lost:\n killed by SIGKILL (trials 0, 1, all on host2)" in output
        assert "FAIL" not in output

    def test_one_lost_attempt_is_one(self, record, capsys):
        """Grammar holds for a single one."""
        record.trial(("host2:1", AttemptLost, "killed"), ("host1:1", AttemptFinished))
        output = shown(capsys, "show", "cluster", "--folder", str(record.folder))

        assert "1 attempt was lost:\n killed (trial 0, on host2)" in output


class TestTrial:
    def show(self, record, capsys, number):
        return shown(
            capsys, "show", "cluster", "--trial", str(number), "--folder", str(record.folder)
        )

    def test_tells_params_attempts_and_output(self, record, capsys):
        """Each attempt has its line, and its output under its number."""
        record.trial(
            ("host2/executor 4:77", AttemptLost, "killed by SIGKILL"), ("host1:5", AttemptFinished)
        )
        record.log(0, 1, "epoch 1\n")
        record.log(0, 2, "epoch 1 again\n[not markup]\n")
        output = self.show(record, capsys, 0)

        assert output.startswith("Trial 0 of cluster: COMPLETE\n proposed by sampler\n x = 0.0\n")
        assert " metrics loss 0.5\n" in output
        assert re.search(r"attempt 1 on host2/executor 4:77, from 2001-\S+ \S+, for 12 s", output)
        assert "reported up to step 3, lost: killed by SIGKILL\n" in output
        assert "attempt 2 on host1:5" in output
        assert re.search(r"Output of attempt 1 \(.*00000-1.log\):\nepoch 1\n", output)
        assert output.endswith("\nepoch 1 again\n[not markup]\n")

    def test_tells_the_traceback(self, record, capsys):
        """A trial that failed shows why, and what it last reported."""
        record.trial(("host1:5", AttemptFailed, "ValueError: no"))
        output = self.show(record, capsys, 0)

        assert output.startswith("Trial 0 of cluster: FAIL: ValueError: no\n")
        assert "metrics loss 0.25" in output
        assert "failed: ValueError: no" in output
        assert "\n\ntb\n" in output
        assert "Attempt 1 has no output." in output

    def test_hides_credentials(self, record, capsys):
        """A param named like a secret is not shown, here or among the other trials."""
        number = record.trial(("host1:5", AttemptFinished))
        everything = shown(capsys, "show", "cluster", "--folder", str(record.folder))

        assert "s3cr3t" not in everything + self.show(record, capsys, number)

    def test_output_can_not_drive_the_terminal(self, record, capsys):
        """Of a progress bar the last state is left, and escape sequences are not passed on."""
        record.trial(("host1:5", AttemptFinished))
        record.log(0, 1, "10%\r\x1b[32m99%\x1b[0m\n\x1b]0;title\x07done\n")
        output = self.show(record, capsys, 0)

        assert "\n99%\n" in output
        assert output.endswith("done\n")
        assert "\x1b" not in output
        assert "\x07" not in output

    def test_an_unknown_number_is_refused(self, record, capsys):
        """The message says how many trials there are, with status 2."""
        record.trial(("host1:5", AttemptFinished))
        arguments = ["show", "cluster", "--trial", "12", "--folder", str(record.folder)]

        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "there is no trial 12: cluster has 1" in captured.err

    def test_a_reader_may_have_seen_enough(self, record):
        """When head or less close the pipe, that is a good end, and nothing is complained of."""
        record.trial(("host1:5", AttemptFinished))
        record.log(0, 1, "a line of output\n" * 20_000)
        code = "import sys; from manyfit.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "show", "cluster", "--trial", "0"]
        process = subprocess.Popen(
            [*command, "--folder", str(record.folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout.readline() == b"Trial 0 of cluster: COMPLETE\n"
        process.stdout.close()
        with process:
            assert process.wait(30) == 0
            assert process.stderr.read() == b""


class TestGroups:
    """Calls of `tune_groups`."""

    @pytest.fixture
    def groups(self, tmp_path):
        """A folder with nothing but a call that had two groups, of which one failed."""
        folder = tmp_path
        record = GroupRecord(
            folder / "m4",
            CallCreated("m4", {}, "loss", "minimize", 0, "0", 0.0, ["series"], "independent"),
        )
        record.put(CallStarted("host", 1, 0.0, {"series": "string"}))
        for name, state in (("a", "COMPLETE"), ("b", "FAIL")):
            row = GroupRow(f'["{name}"]', state, value=0.25, trials=3, reason=f"{name} ended")
            schema = row_schema(pa.schema([("series", pa.string())]))
            record.append(to_table([(name,)], [row], Metric("loss"), schema))
        record.put(CallEnded("all groups are done", 0.0, ["a note"]))
        record.close()
        return str(folder)

    def test_they_are_listed(self, groups, capsys):
        """With how their groups stand."""
        output = shown(capsys, "list", "--folder", groups)
        assert re.search(r"m4 .* loss .* 0.25 .* 2 .* 1 .* 0 .* 1 .* all groups are done", output)

    def test_one_is_shown(self, groups, capsys):
        """The result in words, what failed, and its groups."""
        output = shown(capsys, "show", "m4", "--folder", groups)
        assert "Groups m4 (independent): all groups are done" in output
        assert "note a note" in output
        assert "1 group FAIL b ended (b)" in output
        assert re.search(r"a .* COMPLETE .* 0.25", output)
        assert "1 more: --trials 2 shows all." in shown(
            capsys, "show", "m4", "--trials", "1", "--folder", groups
        )

    def test_a_command_for_studies(self, groups, capsys):
        """It says what the name is."""
        assert main(["show", "m4", "--trial", "3", "--folder", groups]) == 2
        assert "'m4' is a call of tune_groups, which has no trial N" in capsys.readouterr().err


def test_version(capsys):
    """The version is the package's."""
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])

    assert exit_.value.code == 0
    assert capsys.readouterr().out.strip() == f"manyfit {manyfit.__version__}"


def test_notes_of_a_trial_are_shown(tmp_path, capsys):
    """What an objective returned beside its metrics, without credentials and without commands."""
    options = {"metric": "loss", "name": "noted", "folder": tmp_path, "tracker": None}
    with manyfit.Study({"x": manyfit.Float(0.0, 1.0)}, **options) as study:
        returned = {"loss": 1.0, "status": "ok", "path": "a\x1b[8m\nb", "api_key": "s3cr3t-s3cr3t"}
        study.tell(study.ask(), returned)
    output = shown(capsys, "show", "noted", "--trial", "0", "--folder", str(tmp_path))
    assert "notes\n status = 'ok'\n path = 'a\\x1b[8m\\nb'\n api_key = " in output
    assert "s3cr3t" not in output


@pytest.mark.parametrize("count", ["-5", "some", "1.5"])
def test_a_count_that_is_none_is_a_usage_error(folder, capsys, count):
    """Fewer trials than none can't be shown."""
    with pytest.raises(SystemExit, match="2"):
        main(["show", "fashion", "--folder", str(folder), "--trials", count])
    assert "argument --trials: must be a whole number, 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["manyfit", "manyfit.cli"])
def test_python_m(module, folder):
    """The command line is also there without its script."""
    command = [sys.executable, "-m", module, "list", "--folder", str(folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "fashion" in shown.stdout
