"""A model for each group: what the examples compute, and both of them run as a user would."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

import manyfit


@pytest.fixture
def generated(monkeypatch, tmp_path):
    """The examples without their data, in a folder of their own."""
    import ames_neighborhoods
    import m4_hourly
    import tables

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(manyfit, "tune_groups", partial(manyfit.tune_groups, tracker=None))
    for module in (m4_hourly, tables):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    return {"m4_hourly": m4_hourly, "ames_neighborhoods": ames_neighborhoods}


def params(**changed):
    whole = {"lags": "days", "alpha": 1e-2, "history": "all", "log": False, "weekdays": False}
    return {**whole, **changed}


class TestM4:
    """The hourly series."""

    @pytest.mark.parametrize("changed", [{}, {"log": True}, {"lags": "both", "weekdays": True}])
    def test_what_repeats_is_forecast(self, changed):
        """A series that repeats each day is forecast as it goes on, whatever the features."""
        from m4_hourly import HOURS, forecast

        times = np.arange(700 + HOURS)
        whole = 50 + 10 * np.sin(2 * np.pi * times / 24)

        assert forecast(whole[:700], params(**changed)) == pytest.approx(whole[700:], rel=0.01)

    def test_errors(self):
        """Both are what the competition's formulas give."""
        from m4_hourly import errors

        past = np.concatenate([np.zeros(24), np.full(24, 2.0)])  # a day changes by 2
        found = errors(past, np.array([1.0, 3.0]), np.array([3.0, 3.0]))

        assert found == {"smape": 200 * (2 / 4) / 2, "mase": 1.0 / 2.0}

    def test_test_hours_decide_nothing(self):
        """A forecast has what came before, and the test hours begin where that ends."""
        from m4_hourly import HOURS, generate

        train, test = generate(count=3)
        last = train.groupby("series")["hour"].max()

        assert (test.groupby("series")["hour"].min() == last + 1).all()
        assert (test.groupby("series").size() == HOURS).all()

    def test_published(self, m4):
        """The competition's figures for the seasonal naive forecast come out of its rows."""
        import m4_hourly

        train, test = m4
        found = m4_hourly.judge(test, train.groupby("series"), lambda _: None)

        assert found == pytest.approx(m4_hourly.PUBLISHED["seasonal naive"], abs=2e-3)


@pytest.mark.integration
class TestRun:
    """The commands, on generated rows."""

    def printed(self, module, monkeypatch, capsys, *arguments):
        monkeypatch.setattr("sys.argv", [f"{module.__name__}.py", *arguments])
        module.main()
        return capsys.readouterr().out

    def test_m4(self, generated, monkeypatch, capsys):
        """It says that series are made up, and prints the errors of test hours."""
        module = generated["m4_hourly"]
        said = self.printed(module, monkeypatch, capsys, "--trials", "3", "--series", "4")

        assert "generated ones instead" in said
        table = said.splitlines()[-4:]
        assert table[0].split() == ["sMAPE", "MASE"]
        assert [line.split("  ")[0] for line in table[1:]] == [
            "seasonal naive, here",
            "the same params for all, untuned",
            "tuned: independent",
        ]
        assert all(0 < float(line.split()[-1]) < 5 for line in table[1:])

    @pytest.mark.soak("guides")
    def test_ames(self, generated, monkeypatch, capsys):
        """It compares both ways by rows that decided and by rows kept out, and on test rows."""
        module = generated["ames_neighborhoods"]
        few = [part[part["Neighborhood"].isin([*map(str, range(6))])] for part in module.rows()]
        monkeypatch.setattr(module, "rows", lambda: few)
        # In three passes, each with new workers.
        monkeypatch.setattr(manyfit, "tune_groups", partial(manyfit.tune_groups, parallelism=1))
        said = self.printed(module, monkeypatch, capsys, "--trials", "3")

        assert "By the rows that decided: params for each group" in said
        assert "By rows kept out: params for each group" in said
        figures = pd.DataFrame([line.split()[-2:] for line in said.splitlines()[-2:]], dtype=float)
        assert figures[0].between(0.1, 2).all()
        assert figures[1].nunique() == 1  # both on the same houses
