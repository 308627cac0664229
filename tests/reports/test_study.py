"""The report of a study: what it says, and that nothing in it can run."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from manyfit import Choice, Float, Space, Study, StudyResult, load_study
from manyfit.errors import ArgumentError
from manyfit.reports.table import Table
from manyfit.testing.samplers import LOSS, finished, trial
from manyfit.trial import Attempt, Failed, Finished, Lost

GOLDEN = Path(__file__).parents[1] / "golden"
SPACE = Space({"rate": Float(1e-4, 1.0, log=True), "kind": Choice(["a", "b"])})
POINT = {"rate": 0.1, "kind": "a"}
# What a page may have; its own style and scripts are counted.
ELEMENTS = """
html head body main section header title meta link style script h1 h2 h3 p ul li a b code pre
dl dt dd div span details summary figure figcaption table thead tbody tr th td label input
select option button svg g path rect text clippath
"""


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.parts, self._open = [], [], [], ""
        self.inner = {"style": [], "script": []}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self._open = tag

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        self.inner.get(self._open, self.parts).append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.parts).split())

    @property
    def data(self):
        return json.loads(self.inner["script"][0])


def made(trials, space=SPACE, **given):
    reason = given.pop("reason", "all done")
    folder = given.pop("folder", Path("/none"))
    return StudyResult("study", folder, LOSS, space, reason, tuple(trials), **given)


def html_of(result, tmp_path):
    return result.report(tmp_path / "study.html").read_text(encoding="utf-8")


def page_of(result, tmp_path):
    return Page(html_of(result, tmp_path))


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028]]>'\""


class TestNothingRuns:
    def test_names_and_messages_are_text(self, tmp_path):
        """Markup in names, options, reasons and tracebacks adds no element and no handler."""
        space = Space({HOSTILE: Float(0.0, 1.0), "k": Choice([HOSTILE, "b"])})
        ends = [
            Failed(HOSTILE, HOSTILE, HOSTILE),
            Finished(1.0, {"loss": 1.0, HOSTILE: 2.0}, {HOSTILE: HOSTILE}),
        ]
        trials = [trial(n, {HOSTILE: 0.5, "k": HOSTILE}, ends[n % 2]) for n in range(20)]
        page = page_of(made(trials, space, reason=HOSTILE), tmp_path)
        assert page.tags.count("script") == 2
        assert set(page.tags) <= set(ELEMENTS.split())
        assert not [name for name in page.attributes if name.startswith("on") or name == "style"]
        assert page.data["columns"][4]["name"] == f"params_{HOSTILE}"

    def test_the_policy_admits_only_what_is_there(self, tmp_path):
        """It has the digests of the style and the script, and allows no connection."""
        html = html_of(made([finished(0, POINT, 1.0)]), tmp_path)
        policy = re.search('Content-Security-Policy" content="([^"]*)"', html)[1]
        page = Page(html)
        for kind, text in (("style", page.inner["style"][0]), ("script", page.inner["script"][1])):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in policy
        assert "default-src 'none'" in policy
        assert "http://" not in html.replace("http://www.w3.org", "")
        assert "https://" not in html

    def test_credentials(self, tmp_path, monkeypatch):
        """They are in no part of it, whether they have a secret name, a shape or a known value."""
        monkeypatch.setenv("DB_PASSWORD", "hunter2hunter2")
        space = Space({"api_key": Choice(["abcd1234", "b"]), "x": Float(0, 1)})
        failed = Failed("no hunter2hunter2", "Error", "token='ghp_0123456789abcdefghij0123'")
        trials = [trial(n, {"api_key": "abcd1234", "x": 0.1}, failed) for n in range(2)]
        trials.append(finished(2, {"api_key": "abcd1234", "x": 0.1}, 1.0))
        html = html_of(made(trials, space), tmp_path)
        assert not re.search("hunter2|ghp_0123|abcd1234", html)


class TestWhatItSays:
    def test_the_best_and_how_sure_it_is(self, tmp_path):
        """A value measured once says so; a mean of repeats has its interval."""
        trials = [finished(n, POINT, 1.0 + n) for n in range(3)]
        once = page_of(made(trials), tmp_path).text
        assert "The next best, trial 1, is 1 behind, at 2." in once
        assert "measured once" in once
        again = [replace(finished(3 + n, POINT, 1.1 + n / 10), repeat_of=0) for n in range(3)]
        twice = page_of(made([*trials, *again]), tmp_path).text
        assert "95 % interval" in twice
        assert "measured once" not in twice

    def test_failures_have_their_tracebacks(self, tmp_path):
        """Failed trials are together by reason, lost attempts apart, each with what it printed."""
        logs = tmp_path / "study" / "logs"
        logs.mkdir(parents=True)
        (logs / "00002-1.log").write_text("the last words", encoding="utf-8")
        lost = Attempt(1, "host:1", 0.0, end=Lost("its worker died"), ended_at=1.0)
        trials = [trial(n, POINT, Failed(f"code {n}", "E", "Traceback: x")) for n in range(2)]
        trials.append(replace(finished(2, POINT, 1.0), attempts=(lost,)))
        text = page_of(made(trials, folder=tmp_path / "study"), tmp_path).text
        assert "code 0 (2 trials: 0, 1) Traceback: x" in text
        assert "An attempt was lost: its worker died (trial 2) the last words" in text

    def test_a_running_study_of_its_own(self, tmp_path):
        """It says that it isn't ended, how it was made, and has what is known so far."""
        with Study(SPACE, metric="loss", name="own", seed=7, folder=tmp_path, tracker=None) as own:
            own.report(own.ask(), 0, loss=0.5)
            page = page_of(load_study("own", folder=tmp_path), tmp_path)
        assert "not ended" in page.text
        assert "1 RUNNING" in page.text
        assert "seed 7" in page.text
        assert "by Manyfit" in page.text

    def test_no_trial(self, tmp_path):
        """A study without trials is a page that says so."""
        page = page_of(made([]), tmp_path)
        assert "No trial has started yet" in page.text
        assert page.data == {"columns": page.data["columns"], "rows": []}

    @pytest.mark.parametrize("version", [1, 2])
    def test_older_journals(self, version, tmp_path):
        """A study recorded by an older version has a report, with as much as is on record."""
        (tmp_path / "old").mkdir()
        shutil.copy(GOLDEN / f"journal_v{version}.jsonl", tmp_path / "old" / "journal.jsonl")
        page = page_of(load_study("old", folder=tmp_path), tmp_path)
        assert len(page.data["rows"]) == len(load_study("old", folder=tmp_path))
        assert ("settings sampler gp" in page.text) == (version == 2)

    def test_the_space_has_changed(self, tmp_path):
        """Trials outside it are in the table alone, with the params they had."""
        old = finished(1, {"gone": 3, **POINT}, 0.0)
        page = page_of(made([finished(0, POINT, 1.0), old], outside=frozenset({1})), tmp_path)
        assert "1 trial outside the space" in page.text
        names = [column["name"] for column in page.data["columns"]]
        assert page.data["rows"][1][names.index("params_gone")] == 3


class TestSize:
    def test_a_thousand_trials(self, tmp_path):
        """They fit into less than a megabyte, with 50 rows for readers without a script."""
        trials = [finished(n, {"rate": 0.1 + n / 2000, "kind": "b"}, 1.0 + n) for n in range(1000)]
        html = html_of(made(trials), tmp_path)
        assert len(html) < 1_000_000
        assert len(Page(html).data["rows"]) == 1000
        assert html.count("<tr>") == 51

    def test_too_many_rows_are_cut_and_counted(self):
        """Rows beyond two megabytes are left out, and the table says how many."""
        table = Table.of("Rows", ["a", "b"], ([n, "x" * 200] for n in range(12_000)))
        kept = len(json.loads(table.json)["rows"])
        assert 9_000 < kept < 10_000
        assert f"The last {12_000 - kept:,} rows are left out" in table.html()

    def test_cells(self):
        """Numbers stay exact; what JSON has no number for is text; text is on one line."""
        table = Table.of("Rows", ["a", "b"], [[0.1 + 0.2, float("nan")], [None, True], [1, "x\ny"]])
        assert json.loads(table.json)["rows"] == [[0.1 + 0.2, "nan"], [None, "True"], [1, "x y"]]


class TestWriting:
    def test_a_folder_is_refused(self, tmp_path):
        """The message says what to do, and nothing is left behind."""
        with pytest.raises(ArgumentError, match="is a folder: name the file"):
            made([]).report(tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_file_is_replaced_whole(self, tmp_path):
        """The old page is there until the new one is, and no draft is left."""
        path = tmp_path / "deep" / "study.html"
        assert made([]).report(str(path)) == path
        assert made([finished(0, POINT, 1.0)]).report(path) == path
        assert [each.name for each in path.parent.iterdir()] == ["study.html"]
