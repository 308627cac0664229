"""The page in a browser: nothing but its own script runs, and the table does what it says.

The browser is driven by its DevTools protocol, https://chromedevtools.github.io/devtools-protocol/.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyfit import Choice, Float, Metric, Space, StudyResult
from manyfit.testing.samplers import finished, trial
from manyfit.trial import Failed, Finished

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--remote-debugging-pipe",
)


def path_of_chromium() -> str | None:
    """Return the path of a Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a browser."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests = os.fdopen(requests, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._count = 0
        self._rest = b""
        self._session: dict[str, Any] = {}
        self.said: list[str] = []  # the console's messages, and errors
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        found = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": found["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method; returns its result."""
        self._count += 1
        request = {"id": self._count, "method": method, "params": params, **self._session}
        self._requests.write(json.dumps(request).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self._take(answer)
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def open(self, path: Path) -> float:
        """Open a file; returns the seconds until it was loaded and its script had run."""
        begun = time.monotonic()
        self.send("Page.navigate", url=path.as_uri())
        while self._take(self._next()) != "Page.loadEventFired":
            pass
        self.run("0")
        return time.monotonic() - begun

    def run(self, script: str) -> Any:
        """Return the value of an expression."""
        found = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def close(self) -> None:
        """End the browser."""
        self.send("Browser.close")
        self._requests.close()
        self._answers.close()

    def _take(self, event: dict[str, Any]) -> str:
        method = str(event.get("method", ""))
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.said.append(json.dumps(event["params"]))
        return method

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = self._answers.read(1 << 16)
            assert read, "the browser has ended"
            self._rest += read
        text, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(text)
        return found


@contextlib.contextmanager
def chromium(path: str, profile: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile; it ends with the context."""
    ours, theirs = os.pipe(), os.pipe()  # the browser reads requests from 3 and answers on 4
    redirect = f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}'
    command = [path, *FLAGS, f"--user-data-dir={profile}"]
    with subprocess.Popen(
        ["/bin/bash", "-c", redirect, "bash", *command],
        pass_fds=(ours[0], theirs[1]),
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(ours[0])
        os.close(theirs[1])
        try:
            browser = Browser(ours[1], theirs[0])
            with contextlib.closing(browser):
                yield browser
            process.wait(10)
        finally:
            process.kill()


CHROMIUM = path_of_chromium()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]
HOSTILE = "</script><script>hacked=1</script><img src=x onerror=hacked=1>"
SPACE = Space({"rate": Float(0.0, 1.0), HOSTILE: Choice([HOSTILE, "b"])})


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser that shows the report of 300 trials, of which the last failed."""
    folder = tmp_path_factory.mktemp("page")
    trials = [
        finished(n, {"rate": (n * 7 % 300) / 300, HOSTILE: HOSTILE}, n / 300) for n in range(299)
    ]
    trials.append(trial(299, {"rate": 0.5, HOSTILE: "b"}, Failed('say "no",\nhere', "E", HOSTILE)))
    result = StudyResult("study", folder, Metric("loss"), SPACE, "done", tuple(trials))
    path = result.report(folder / "study.html")
    with chromium(CHROMIUM, folder / "profile") as browser:
        browser.open(path)
        yield browser


def column(page, place):
    cells = f"#table tbody td:nth-child({place})"
    return page.run(f"[...document.querySelectorAll('{cells}')].map((cell) => cell.textContent)")


def find(page, text):
    page.run(
        f"(() => {{ const query = document.getElementById('query'); query.value = {text!r};"
        "query.dispatchEvent(new Event('input')); })()"
    )


def test_nothing_else_runs(page):
    """No console message, no error, and no script of a name or a traceback."""
    assert page.said == []
    assert page.run("typeof hacked") == "undefined"
    assert page.run("document.images.length") == 0


def test_sorting(page):
    """A click on a heading sorts by number, a second one the other way; missing ones are last."""
    heading = "document.querySelectorAll('th button')[4].click()"
    page.run(heading)
    assert column(page, 5)[:2] == ["0", "0.00333333"]
    page.run(heading)
    assert column(page, 5)[0] == "0.996667"
    assert page.run("document.querySelectorAll('th')[4].ariaSort") == "descending"


def test_finding_and_downloading(page):
    """Words find rows, and the download has just these, whole and quoted."""
    find(page, "say fail")
    assert column(page, 1) == ["299"]
    csv = page.run(
        "new Promise((found) => { URL.createObjectURL = (blob) => { blob.text().then(found);"
        "return '#'; }; document.getElementById('csv').click(); })"
    )
    find(page, "")
    lines = csv.split("\r\n")
    assert len(lines) == 3
    assert lines[1].startswith("299,FAIL,,1,0.5,b,")
    assert lines[1].endswith('"say ""no"", here"')


def test_finding_a_whole_number(page):
    """A number is found as the table shows it, and as the command line and the download do."""
    for text in ("0.00333333", str(1 / 300)):
        find(page, text)
        assert column(page, 1) == ["1", "43"]  # by its loss, by its rate
    find(page, "")


def test_a_point_shows_its_trial(page):
    """A click on a point of a picture shows the row, also beyond the first hundred."""
    found = page.run(
        """(() => {
          const svg = document.querySelector('#history svg[role=img]');
          const group = [...svg.querySelectorAll('[data-keys]')].pop();
          const place = group.dataset.keys.split(' ').indexOf('250');
          const path = group.firstElementChild.getAttribute('d');
          const [, x, y] = [...path.matchAll(/M(\\S+) ([\\d.]+)/g)][place];
          const at = new DOMPoint(+x, +y).matrixTransform(svg.getScreenCTM());
          svg.dispatchEvent(new MouseEvent('click', { clientX: at.x, clientY: at.y }));
          return document.querySelector('tr.found td').textContent;
        })()"""
    )
    assert found == "250"


def test_a_phone(page):
    """On a narrow screen, the page itself doesn't scroll sideways."""
    page.send(
        "Emulation.setDeviceMetricsOverride",
        width=360,
        height=700,
        deviceScaleFactor=1,
        mobile=True,
    )
    assert page.run("document.documentElement.scrollWidth") == 360


def test_on_paper(page):
    """Pictures are side by side, the table's heading is on each page, and rows are counted."""
    page.send("Emulation.setEmulatedMedia", media="print")
    columns = page.run("getComputedStyle(document.querySelector('.charts')).gridTemplateColumns")
    names = page.run(
        "['#rows', '#table'].map((at) => getComputedStyle(document.querySelector(at)"
        ".closest('section')).page)"
    )
    shown = page.run(
        "['thead', 'th button', '#count', '.tools label']"
        ".map((at) => getComputedStyle(document.querySelector(at)).display)"
    )
    page.send("Emulation.setEmulatedMedia", media="")

    assert len(columns.split()) == 2
    assert names == ["table", "table"]
    assert shown == ["table-header-group", "contents", "block", "none"]


@pytest.mark.soak("throughput")
def test_a_thousand_trials_open_in_two_seconds(page, tmp_path):
    """The study has learning curves; the time is that of a browser on this machine."""
    rng = np.random.default_rng(0)
    trials = [
        trial(
            n,
            {"rate": float(rng.random()), HOSTILE: "b"},
            Finished(value, {"loss": value}),
            *np.linspace(3.0, value, 20),
        )
        for n, value in enumerate(rng.random(1000).tolist())
    ]
    result = StudyResult("study", tmp_path, Metric("loss"), SPACE, "done", tuple(trials))
    path = result.report(tmp_path / "study.html")
    assert path.stat().st_size < 3_000_000
    assert min(page.open(path) for _ in range(3)) < 2.0
