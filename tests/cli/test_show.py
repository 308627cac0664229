import io
import json
import math
import re
import subprocess
import sys

import pandas
import pytest

import manyfit
from manyfit.cli import main
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
)


def test_show_tells_the_best_trial_the_others_and_the_failures(folder, shown):
    """Best first, then the failures with their traceback; brackets are text, not markup."""
    best = manyfit.load_study("fashion", folder=folder).best
    output = shown("show", "fashion", "--folder", str(folder), "--trials", "3")

    assert f"(trial {best.number})" in output
    assert "accuracy" in output
    assert "2 more: --trials 5 shows all." in output
    assert "ValueError: no such [layer]" in output
    assert "in train" in output


def test_show_keeps_repeats_apart(tmp_path, shown):
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
    text = shown("show", "noisy", "--folder", str(tmp_path))

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
    def test_many_trials_are_named_by_ranges(self, record, shown):
        """Four runs of numbers are four ranges; what is beyond eight of them is counted."""
        for number in range(60):
            fails = number % 5 != 4 if number < 20 else number % 2 == 0
            end = (AttemptFailed, f"ValueError: {number}") if fails else (AttemptFinished,)
            record.trial(("host1:7", *end))
        output = shown("show", "cluster", "--folder", str(record.folder))

        assert "(trials 0-3, 5-8, 10-13, 15-18, 20, 22, 24, 26 and 16 more;" in output

    def test_two_in_a_row_are_no_range(self, record, shown):
        """Neighbours are listed one by one."""
        for end in (AttemptFailed, AttemptFailed, AttemptFinished, AttemptFailed):
            record.trial(("host1:7", end, *(["no"] if end is AttemptFailed else [])))
        output = shown("show", "cluster", "--folder", str(record.folder))

        assert "FAIL no (trials 0, 1, 3;" in output

    def test_the_one_machine_they_come_from_is_named(self, record, shown):
        """The machine is named if all failures come from one of several."""
        for number in range(6):
            record.trial((f"host{number % 3}/executor 1:{number}", AttemptFailed, "OSError: gone"))
            record.trial(("host1/executor 0:3", AttemptFailed, "disk full"))
        output = shown("show", "cluster", "--folder", str(record.folder))

        assert "FAIL disk full (trials 1, 3, 5, 7, 9, 11, all on host1;" in output
        assert "FAIL OSError: gone (trials 0, 2, 4, 6, 8, 10;" in output

    def test_a_single_machine_is_no_news(self, record, shown):
        """A machine on which all trials ran is not named."""
        record.trial(("host1:1", AttemptFailed, "no"))
        record.trial(("host1:2", AttemptFinished))
        output = shown("show", "cluster", "--folder", str(record.folder))

        assert "FAIL no (trial 0; log" in output

    def test_lost_attempts_are_told_also_of_trials_that_completed(self, record, shown):
        """What the cluster did to a study can be seen though every trial is complete."""
        for _ in range(2):
            record.trial(
                ("host2:1", AttemptLost, "killed by SIGKILL"), ("host1:1", AttemptFinished)
            )
        output = shown("show", "cluster", "--folder", str(record.folder))

        assert "2 attempts were lost:\n killed by SIGKILL (trials 0, 1, all on host2)" in output
        assert "FAIL" not in output

    def test_one_lost_attempt_is_one(self, record, shown):
        """Grammar holds for a single one."""
        record.trial(("host2:1", AttemptLost, "killed"), ("host1:1", AttemptFinished))
        output = shown("show", "cluster", "--folder", str(record.folder))

        assert "1 attempt was lost:\n killed (trial 0, on host2)" in output


class TestTrial:
    @pytest.fixture
    def show(self, record, shown):
        def show(number):
            place = ("--folder", str(record.folder))
            return shown("show", "cluster", "--trial", str(number), *place)

        return show

    def test_tells_params_attempts_and_output(self, record, show):
        """Each attempt has its line, and its output under its number."""
        record.trial(
            ("host2/executor 4:77", AttemptLost, "killed by SIGKILL"), ("host1:5", AttemptFinished)
        )
        record.log(0, 1, "epoch 1\n")
        record.log(0, 2, "epoch 1 again\n[not markup]\n")
        output = show(0)

        assert output.startswith("Trial 0 of cluster: COMPLETE\n proposed by sampler\n x = 0.0\n")
        assert " metrics loss 0.5\n" in output
        assert re.search(r"attempt 1 on host2/executor 4:77, from 2001-\S+ \S+, for 12 s", output)
        assert "reported up to step 3, lost: killed by SIGKILL\n" in output
        assert "attempt 2 on host1:5" in output
        assert re.search(r"Output of attempt 1 \(.*00000-1.log\):\nepoch 1\n", output)
        assert output.endswith("\nepoch 1 again\n[not markup]\n")

    def test_tells_the_traceback(self, record, show):
        """A trial that failed shows why, and what it last reported."""
        record.trial(("host1:5", AttemptFailed, "ValueError: no"))
        output = show(0)

        assert output.startswith("Trial 0 of cluster: FAIL: ValueError: no\n")
        assert "metrics loss 0.25" in output
        assert "failed: ValueError: no" in output
        assert "\n\ntb\n" in output
        assert "Attempt 1 has no output." in output

    def test_hides_credentials(self, record, shown, show):
        """A param named like a secret is not shown, here or among the other trials."""
        number = record.trial(("host1:5", AttemptFinished))
        everything = shown("show", "cluster", "--folder", str(record.folder))

        assert "s3cr3t" not in everything + show(number)

    def test_output_can_not_drive_the_terminal(self, record, show):
        """Only the last state of a progress bar is shown, and no escape sequence."""
        record.trial(("host1:5", AttemptFinished))
        record.log(0, 1, "10%\r\x1b[32m99%\x1b[0m\n\x1b]0;title\x07done\n")
        output = show(0)

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


def test_notes_of_a_trial_are_shown(tmp_path, shown):
    """What an objective returned beside its metrics, without credentials and without commands."""
    options = {"metric": "loss", "name": "noted", "folder": tmp_path, "tracker": None}
    with manyfit.Study({"x": manyfit.Float(0.0, 1.0)}, **options) as study:
        returned = {"loss": 1.0, "status": "ok", "path": "a\x1b[8m\nb", "api_key": "s3cr3t-s3cr3t"}
        study.tell(study.ask(), returned)
    output = shown("show", "noted", "--trial", "0", "--folder", str(tmp_path))
    assert "notes\n status = 'ok'\n path = 'a\\x1b[8m\\nb'\n api_key = " in output
    assert "s3cr3t" not in output


@pytest.mark.parametrize("count", ["-5", "some", "1.5"])
def test_a_count_that_is_none_is_a_usage_error(folder, capsys, count):
    """Fewer trials than none can't be shown."""
    with pytest.raises(SystemExit, match="2"):
        main(["show", "fashion", "--folder", str(folder), "--trials", count])
    assert "argument --trials: must be a whole number, 0 or more" in capsys.readouterr().err


class TestForms:
    """What programs read: all trials, the best first, with all digits."""

    def test_json(self, folder, capsys):
        """The study, its best trial and all trials; what is missing is null."""
        best = manyfit.load_study("fashion", folder=folder).best
        assert main(["show", "fashion", "--json", "--folder", str(folder)]) == 0
        study = json.loads(capsys.readouterr().out)

        assert study["best"]["params"] == best.params
        assert study["best"]["value"] == study["trials"][0]["value"] == best.value
        assert (study["complete"], study["fail"], len(study["trials"])) == (4, 1, 5)
        assert study["trials"][-1]["value"] is None
        assert study["failures"][0]["trials"] == [2]

    def test_csv(self, folder, capsys):
        """The columns are those of `table()`, and so are the values."""
        expected = manyfit.load_study("fashion", folder=folder).table()
        assert main(["show", "fashion", "--csv", "--folder", str(folder)]) == 0
        frame = pandas.read_csv(io.StringIO(capsys.readouterr().out), float_precision="round_trip")

        assert list(frame) == list(expected)
        assert list(frame["value"][:4]) == sorted(expected["value"].dropna())
        assert list(frame["number"])[-1] == 2

    def test_a_trial(self, record, capsys):
        """JSON has its attempts and reports, CSV its reports."""
        number = record.trial(("h:1", AttemptLost, "gone"), ("h:2", AttemptFinished))
        command = ["show", "cluster", "--trial", str(number), "--folder", str(record.folder)]
        main([*command, "--json"])
        trial = json.loads(capsys.readouterr().out)
        main([*command, "--csv"])

        assert [each["end"] for each in trial["attempts"]] == ["lost", "finished"]
        assert trial["reports"][1] == {"attempt": 2, "step": 3, "seconds": 1.0, "loss": 0.25}
        assert capsys.readouterr().out.splitlines()[2] == "2,3,1.0,0.25"

    def test_credentials_and_odd_values(self, tmp_path, capsys):
        """Neither form has a credential, a NaN that is no JSON, or a command for a terminal."""
        space = {"api_key": manyfit.Choice(["s3cr3t-s3cr3t"]), "x\x1b": 1.0}
        options = {"metric": "loss", "name": "odd", "folder": tmp_path, "tracker": None}
        with manyfit.Study(space, **options) as study:
            study.tell(study.ask(), {"loss": 1.0, "other": math.nan})
        said = ""
        for form in ("--json", "--csv"):
            assert main(["show", "odd", form, "--folder", str(tmp_path)]) == 0
            said += capsys.readouterr().out

        assert '"other": null' in said
        assert "s3cr3t" not in said
        assert "\x1b" not in said
