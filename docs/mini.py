"""Manyfit in miniature: the whole design in under 200 lines, and it runs.

Every name has a counterpart in `src/manyfit`, in the same order, and data flows the same way:
space → sampler → trial → worker → report → journal → engine → result. Then read ARCHITECTURE.md.
"""

import json
import math
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


# ── 1 vocabulary: frozen values ─────────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class Float:
    """A range to search, on a log scale."""

    low: float
    high: float

    def sample(self, rng: random.Random) -> float:
        return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))


@dataclass(frozen=True)
class Trial:
    """The facts about one point, from which its state is computed, so that they agree."""

    number: int
    params: dict[str, float]
    reports: tuple[float, ...] = ()
    running: bool = False
    value: float | None = None
    reason: str | None = None

    @property
    def state(self) -> str:
        if self.value is not None:
            return "COMPLETE"
        if self.reason is not None:
            return "PRUNED"
        return "RUNNING" if self.running else "WAITING"


class TrialStopped(BaseException):
    """Ends an objective at its report; not an Exception, so that user code doesn't catch it."""


# ── 2 decisions: pure, no clock, no files, no threads ───────────────────────────────────────────
def propose(space: dict[str, Float], seed: int, number: int) -> dict[str, float]:
    """The sampler: randomness comes from (seed, number), so a resumed study continues exactly."""
    rng = random.Random(f"{seed}:{number}")
    return {name: domain.sample(rng) for name, domain in space.items()}


def judge(trial: Trial, trials: list[Trial]) -> str | None:
    """The pruner: a reason to stop, if the latest report is worse than the median at that step."""
    step = len(trial.reports) - 1
    others = sorted(
        t.reports[step] for t in trials if t.value is not None and len(t.reports) > step
    )
    if len(others) < 4 or trial.reports[step] <= others[len(others) // 2]:
        return None
    return f"{trial.reports[step]:.3g} at step {step} is worse than the median of {len(others)}"


@dataclass
class Engine:
    """Applies events (`apply`) and says what to do next (`decide`); to resume is to apply again."""

    space: dict[str, Float]
    n_trials: int
    seed: int = 0
    trials: list[Trial] = field(default_factory=list)

    def apply(self, event: dict[str, Any]) -> None:
        if event["event"] == "asked":
            self.trials.append(Trial(event["number"], event["params"]))
            return
        trial = self.trials[event["number"]]
        match event["event"]:
            case "started":
                trial = replace(trial, running=True)
            case "reported":
                trial = replace(trial, reports=(*trial.reports, event["value"]))
            case "finished":
                trial = replace(trial, value=event["value"])
            case "pruned":
                trial = replace(trial, reason=event["reason"])
            case "lost":
                trial = Trial(trial.number, trial.params)  # the same number, another attempt
        self.trials[trial.number] = trial

    def decide(self) -> dict[str, Any] | None:
        """Return the next event to bring about; None when the study is over."""
        for trial in self.trials:
            if trial.state == "WAITING":
                return {"event": "started", "number": trial.number}
        number = len(self.trials)
        params = propose(self.space, self.seed, number)
        asked = {"event": "asked", "number": number, "params": params}
        return asked if number < self.n_trials else None


# ── 3 worker: the only place that runs the objective ────────────────────────────────────────────
def _report(value: float) -> None:
    """Do nothing outside of a trial."""


def report(value: float) -> None:
    """Report a value from an objective; ends the trial if it is hopeless."""
    _report(value)


def run_task(objective: Callable, trial: Trial, tell: Callable) -> None:
    """Run one trial and report what happens as events: data, never code."""
    global _report

    def send(value: float) -> None:
        if reason := tell(event="reported", number=trial.number, value=value):
            raise TrialStopped(reason)

    _report = send
    try:
        tell(event="finished", number=trial.number, value=objective(trial.params))
    except TrialStopped as stopped:
        tell(event="pruned", number=trial.number, reason=str(stopped))


# ── 4 adapters: the journal ─────────────────────────────────────────────────────────────────────
class Journal:
    """One JSON object per line, on disk before anything acts on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_bytes() if path.exists() else b""
        path.write_bytes(text[: text.rfind(b"\n") + 1])  # a torn last line was never acted on
        self.file = path.open("a")

    def read(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self.path.read_text().splitlines())

    def append(self, event: dict[str, Any]) -> None:
        self.file.write(json.dumps(event) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())


# ── 5 application: the one loop ─────────────────────────────────────────────────────────────────
def tune(objective: Callable, space: dict[str, Float], n_trials: int, path: Path) -> list[Trial]:
    """Journal, then engine, then effect; a call with an existing journal resumes it."""
    journal, engine = Journal(path), Engine(space, n_trials)

    def put(**event: Any) -> str | None:
        journal.append(event)
        engine.apply(event)
        if event["event"] == "reported":
            return judge(engine.trials[event["number"]], engine.trials)
        return None

    for event in journal.read():
        engine.apply(event)
    for trial in engine.trials:
        if trial.state == "RUNNING":
            put(event="lost", number=trial.number)
    while command := engine.decide():
        put(**command)
        if command["event"] == "started":
            run_task(objective, engine.trials[command["number"]], put)
    return engine.trials


def train(params: dict[str, float]) -> float:
    """A curve that falls to a floor; the best learning rate is 0.01."""
    floor = abs(math.log10(params["learning_rate"]) + 2)
    for epoch in range(10):
        report(floor + 0.5**epoch)
    return floor


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        space = {"learning_rate": Float(1e-4, 1.0)}
        tune(train, space, n_trials=12, path=path)
        path.write_bytes(path.read_bytes()[:-40])  # as if the driver had been killed while writing
        resumed = tune(train, space, n_trials=30, path=path)
        straight = tune(train, space, n_trials=30, path=Path(folder) / "straight.jsonl")
        best = min((t for t in resumed if t.value is not None), key=lambda t: t.value or 0.0)
        pruned = sum(t.state == "PRUNED" for t in resumed)
        print(f"best {best.value:.3f} at {best.params}; {pruned} of {len(resumed)} trials pruned")
        print("resumed as if never stopped:", resumed == straight)
