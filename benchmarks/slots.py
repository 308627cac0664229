"""Does one driver keep a thousand slots busy? Its real code, over workers that only play a script.

    python benchmarks/slots.py [--slots 1000] [--trials 10000] [--sampler random]
    python benchmarks/slots.py --sockets [--slots 1000] [--trials 10000] [--seconds 6]

The first way, time is virtual: it runs as real time does while the driver works (journal, fsync and
waits for a busy processor included), and jumps ahead while it would sleep. So a driver that is too
slow leaves slots idle, as it would on a cluster, and ten minutes take one.

With `--sockets` time is real, and the slots are connections to the hub that Spark's tasks use,
encrypted as theirs are, from two other processes. Trials of 6 s instead of 60 make it ten times as
hard.
"""

import argparse
import heapq
import logging
import math
import multiprocessing
import queue
import random
import resource
import select
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

import manyfit
from manyfit.event_lines import encode
from manyfit.events import AttemptFinished, AttemptPruned, AttemptStarted, Reported
from manyfit.executors.base import Capabilities
from manyfit.remote.hub import Hub
from manyfit.remote.line import dial
from manyfit.remote.setup import WorkerSetup
from manyfit.remote.workers import Workers
from manyfit.ship.facts import facts
from manyfit.worker.channel import ENDINGS
from manyfit.worker.timings import Timings
from manyfit.worker.work import Task

SPACE = {
    "learning_rate": manyfit.Float(1e-4, 1.0, log=True),
    "batch_size": manyfit.Int(16, 512, log=True),
    "structure": manyfit.Choice(["small", "medium", "large"]),
}
BEAT = 2.0  # as often as a worker's


def never(params):
    raise NotImplementedError("the workers here run no code")


@dataclass
class Play:
    """An attempt that plays its script: a start, reports along a curve, an end.

    How long it takes is lognormal around `seconds`; the best learning rate is 0.01.
    """

    task: Task
    seconds: float
    reports: int
    step: int = -1
    stop: str | None = None
    rng: random.Random = field(init=False)

    def __post_init__(self):
        self.rng = random.Random(self.task.seed)
        self.seconds *= self.rng.lognormvariate(-0.045, 0.3)  # so that the mean is `seconds`
        self.floor = abs(math.log10(self.task.params["learning_rate"]) + 2)
        self.floor += abs(self.rng.gauss(0, 0.1))

    @property
    def pause(self):
        """Seconds from one event to the next."""
        return self.seconds / (self.reports + 1) if self.step >= 0 else 0.0

    def next(self, at):
        """Return what happens next."""
        task, step = self.task, self.step
        self.step += 1
        if step < 0:
            return AttemptStarted(task.number, task.attempt, "scripted", at)
        if step >= self.reports:
            return AttemptFinished(task.number, task.attempt, self.metrics(step), self.seconds, at)
        if self.stop is not None:
            spent = self.pause * (step + 1)
            return AttemptPruned(task.number, task.attempt, self.stop, spent, at)
        return Reported(task.number, task.attempt, step, self.metrics(step), at)

    def metrics(self, step):
        loss = self.floor + 3 * 0.8**step + self.rng.gauss(0, 0.01)
        return {"loss": loss, "accuracy": math.exp(-loss), "seconds": self.pause * step}


class Script:
    """Slots in which attempts play, at times that somebody else tells."""

    def __init__(self, seconds, reports):
        self.seconds, self.reports = seconds, reports
        self.plays = {}
        self._due = []
        self._order = 0

    def begin(self, task, now):
        key = task.number, task.attempt
        self.plays[key] = Play(task, self.seconds, self.reports)
        self._push(now, key)

    def stop(self, number, attempt, reason):
        if play := self.plays.get((number, attempt)):
            play.stop = reason

    @property
    def next_at(self):
        return self._due[0][0] if self._due else math.inf

    def events(self, now):
        """Yield what is due by now."""
        while self.next_at <= now:
            at, _, key = heapq.heappop(self._due)
            play = self.plays[key]
            event = play.next(at)
            if isinstance(event, ENDINGS):
                del self.plays[key]
            else:
                self._push(at + play.pause, key)
            yield event

    def _push(self, at, key):
        self._order += 1
        heapq.heappush(self._due, (at, self._order, key))


# ── virtual time ────────────────────────────────────────────────────────────────────────────────
class VirtualSlots:
    """An executor whose slots play, and whose time jumps where the driver would sleep.

    Keeps how long each slot stood idle: `ramp` before its first trial, `waits` between two.
    """

    capabilities = Capabilities(live_reports=True, hard_kill=True, memory_limit=True, remote=True)
    cpus = 1

    def __init__(self, slots, seconds, reports):
        self.parallelism = slots
        self.counts = Counter()
        self.ramp, self.waits = [], []
        self._script = Script(seconds, reports)
        self._jumped = 0.0

    @property
    def now(self):
        return time.perf_counter() + self._jumped

    def open(self, _work):
        self._began = self.now
        self._cpu = time.process_time()
        self._free = deque([self._began] * self.parallelism)

    def submit(self, task):
        self._last = self.now
        waits = self.ramp if len(self.ramp) < self.parallelism else self.waits
        waits.append(self._last - self._free.popleft())
        self._script.begin(task, self._last)

    def stop(self, number, attempt, reason, *, kill=False):
        self._script.stop(number, attempt, reason)

    def poll(self, handle, timeout):
        sleep = min(self._script.next_at - self.now, timeout)
        self._jumped += max(0.0, sleep)
        for event in list(self._script.events(self.now)):  # what has arrived by now, as on a socket
            self.counts[type(event)] += 1
            if isinstance(event, ENDINGS):
                self._free.append(event.at)
            handle(event)

    def close(self):
        self.seconds = self.now - self._began
        self.cpu = time.process_time() - self._cpu

    @property
    def idle(self):
        """The idle part of the slots' time up to the last start; then with the first wave too."""
        there = self.parallelism * (self._last - self._began)
        waits, ramp = sum(self.waits), sum(self.ramp)
        return waits / (there - ramp), (waits + ramp) / there


# ── real time, over the network ─────────────────────────────────────────────────────────────────
class SocketSlots:
    """An executor made of the parts that `SparkExecutor` is made of, but for Spark."""

    capabilities = VirtualSlots.capabilities
    cpus = 1

    def __init__(self, slots, seconds, reports):
        self.counts = Counter()
        self._slots = slots
        self._shape = seconds, reports
        self._workers = None

    @property
    def parallelism(self):
        return self._slots if self._workers is None else self._workers.size

    def open(self, work):
        self._inbox = queue.SimpleQueue()
        self._hub = Hub("127.0.0.1", 0, self._inbox)
        setup = WorkerSetup(work.study, "token", b"")
        self._workers = Workers(self._hub, work, setup, self._slots, lambda *_: None)
        hub = ("127.0.0.1", self._hub.port), self._hub.credentials
        context = multiprocessing.get_context("spawn")
        self._results = context.SimpleQueue()
        halves = self._slots // 2, self._slots - self._slots // 2
        self._processes = [
            context.Process(
                target=work_for,
                args=(self._results, hub, f"host{i}", half, *self._shape),
            )
            for i, half in enumerate(halves)
        ]
        for process in self._processes:
            process.start()
        while self._workers.size < self._slots:
            self._workers.take(self._inbox.get(timeout=60))
        self._began = time.perf_counter(), time.process_time()

    def submit(self, task):
        self._workers.submit(task)

    def stop(self, number, attempt, reason, *, kill=False):
        self._workers.stop(number, attempt, reason, kill=kill)

    def poll(self, handle, timeout):
        try:
            self._workers.take(self._inbox.get(timeout=timeout))
            while True:
                self._workers.take(self._inbox.get_nowait())
        except queue.Empty:
            pass
        while self._workers.events:
            event = self._workers.events.popleft()
            self.counts[type(event)] += 1
            handle(event)

    def close(self):
        self.seconds = time.perf_counter() - self._began[0]
        self.cpu = time.process_time() - self._began[1]
        self._workers.dismiss("the study ended")
        self.waits = [wait for _ in self._processes for wait in self._results.get()]
        for process in self._processes:
            process.join()
        self._hub.close()


class Machine:
    """The workers of a machine, all in one process: what each says and hears is a worker's."""

    def __init__(self, hub, host, count, seconds, reports):
        self.waits = []
        self._script = Script(seconds, reports)
        self._whose = {}
        self._ended_at = {}
        self._leaving = False
        self._watch = select.poll()
        self._lines = {}
        address, credentials = hub
        for index in range(count):
            line = dial([address], credentials, Timings(handshake=60.0))
            place = {"name": f"{host}/executor {index}", "host": host, "executor": str(index)}
            line.send({"hello": {**place, "gpus": [], "attempt": 0}, "facts": facts({})})
            self._lines[line.fileno()] = line
            self._watch.register(line.fileno(), select.POLLIN)
        now = time.perf_counter()
        self._beats = [(now + BEAT * i / count, fd) for i, fd in enumerate(self._lines)]

    def run(self):
        while not self._leaving:
            patience = min(self._script.next_at, self._beats[0][0]) - time.perf_counter()
            for fd, _ in self._watch.poll(max(0.0, patience) * 1000):
                for frame in self._lines[fd].receive():
                    self._obey(fd, frame.message)
            self._play()
            self._beat()
        for line in self._lines.values():
            line.close()

    def _obey(self, fd, message):
        match message:
            case {"setup": _}:
                self._lines[fd].send({"ready": True})
            case {"task": fields}:
                now = time.perf_counter()
                if fd in self._ended_at:
                    self.waits.append(now - self._ended_at.pop(fd))
                task = Task(**fields)
                self._whose[task.number] = fd
                self._script.begin(task, now)
            case {"stop": [number, attempt, reason]}:
                self._script.stop(number, attempt, reason)
            case {"leave": _}:
                self._leaving = True

    def _play(self):
        for event in self._script.events(time.perf_counter()):
            fd = self._whose[event.number]
            if isinstance(event, ENDINGS):
                self._ended_at[fd] = time.perf_counter()
            self._lines[fd].send({"event": encode(event)})

    def _beat(self):
        while self._beats[0][0] <= time.perf_counter():
            at, fd = heapq.heappop(self._beats)
            memory = {"used": 1 << 30, "total": 1 << 40, "available": 1 << 39}
            self._lines[fd].send({"beat": memory})
            heapq.heappush(self._beats, (at + BEAT, fd))


def work_for(results, *arguments):
    workers = Machine(*arguments)
    workers.run()
    results.put(workers.waits)


# ── the measurement ─────────────────────────────────────────────────────────────────────────────
def tune(executor, arguments, folder):
    manyfit.tune(
        never,
        SPACE,
        metric="loss",
        n_trials=arguments.trials,
        executor=executor,
        sampler=arguments.sampler,
        pruner="auto",
        tracker=None,
        progress=None,
        folder=folder,
        name="slots",
        seed=0,
    )


def tell(executor):
    counts = executor.counts
    print(
        f"trials   {counts[AttemptFinished]:,} finished, {counts[AttemptPruned]:,} pruned; "
        f"{counts[Reported]:,} reports"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    print(
        f"driver   {executor.cpu:.1f} s of processor in {executor.seconds:.0f} s: "
        f"{executor.cpu / executor.seconds:.1%} of a core; at most {peak * unit / 1e6:.0f} MB"
    )
    median, p99 = np.quantile(executor.waits, [0.5, 0.99]) * 1e3
    print(f"latency  from an end to the next start: {median:.1f} ms median, {p99:.1f} ms p99")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, help="of a trial: 60, or 6 with --sockets")
    parser.add_argument("--reports", type=int, default=20)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--sockets", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    kind, usual = (SocketSlots, 6.0) if arguments.sockets else (VirtualSlots, 60.0)
    executor = kind(arguments.slots, arguments.seconds or usual, arguments.reports)
    with tempfile.TemporaryDirectory() as folder:
        tune(executor, arguments, folder)
    tell(executor)
    if not arguments.sockets:
        idle, with_ramp = executor.idle
        print(f"slots    idle {idle:.2%} of the time; {with_ramp:.2%} with the first wave")


if __name__ == "__main__":
    main()
