import pytest

import manyfit
from manyfit.cli import main


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

    @pytest.mark.parametrize("columns", [None, "80"])
    def test_nothing_is_cut_off(self, odd, capsys, monkeypatch, columns):
        """A line in a pipe may have any length; a screen has tables one below the other."""
        name = "credit-gradient-boosting-of-february"
        if columns is None:
            monkeypatch.delenv("COLUMNS")
        else:
            monkeypatch.setenv("COLUMNS", columns)
        result = manyfit.load_study(name, folder=odd)
        main(["list", "--folder", str(odd)])
        listed = capsys.readouterr().out
        main(["show", name, "--folder", str(odd)])
        output = capsys.readouterr().out
        digits = str if columns is None else "{:g}".format

        assert f"│ {name} │" in listed
        assert "…" not in listed + output
        assert f"│ {digits(result.best.value)} " in listed
        for trial in result:
            assert all(
                f"│ {digits(trial.params[f'a_longer_name_{i}'])} " in output for i in range(6)
            )
        if columns is not None:
            assert max(map(len, listed.splitlines())) <= 80

    def test_a_name_wider_than_the_screen_is_folded(self, odd, capsys, monkeypatch):
        """Then it can only go on below."""
        monkeypatch.setenv("COLUMNS", "40")
        main(["list", "--folder", str(odd)])
        lines = [line for line in capsys.readouterr().out.splitlines() if "│" in line]

        cells = (line.split("│")[1].strip() for line in lines)
        assert "".join(cells).count("credit-gradient-boosting-of-february") >= 1
        assert max(map(len, lines)) <= 40

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
