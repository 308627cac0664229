"""Workers that come, work, lie and vanish, as the driver sees them."""

import contextlib
import json
import logging
import queue
import time

import pytest

from manyfit.errors import ExecutorError
from manyfit.event_lines import encode
from manyfit.events import (
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Reported,
    StopRequested,
    StudyEnded,
    TrialAsked,
)
from manyfit.metric import Metric
from manyfit.remote.hub import Hub
from manyfit.remote.line import dial
from manyfit.remote.setup import WorkerSetup
from manyfit.remote.workers import Workers
from manyfit.ship.facts import facts
from manyfit.testing.rig import PARAMS, SPACE
from manyfit.worker.work import Task, Work

SETUP = WorkerSetup("study", "token", b"pickled work")


class Office:
    """A hub, a workers, and what the driver does with them."""

    def __init__(self, folder, most=8):
        self.folder = folder
        self.inbox = queue.SimpleQueue()
        self.hub = Hub("127.0.0.1", 0, self.inbox)
        self.problem = None
        work = Work(lambda _: 0.0, SPACE, Metric("loss"), "study", folder)
        self.workers = Workers(self.hub, work, SETUP, most, lambda _facts, _where: self.problem)

    def take(self, n=1):
        """Take in `n` messages."""
        for _ in range(n):
            self.workers.take(self.inbox.get(timeout=10))

    def events(self):
        """What has happened since."""
        events = list(self.workers.events)
        self.workers.events.clear()
        return events

    def submit(self, number, attempt=1):
        self.workers.submit(Task(number, attempt, dict(PARAMS), seed=0))


class Worker:
    """One that dials in and does what a test says."""

    def __init__(self, office):
        self.office = office
        self.line = dial([("127.0.0.1", office.hub.port)], office.hub.credentials)

    def introduce(self, host="a", name=None):
        self.say({"hello": {"host": host, "name": name or host}, "facts": facts({})})

    def say(self, message, blob=b""):
        """Say something that the driver takes in."""
        self.line.send(message, blob)
        self.office.take()

    def tell(self, event):
        self.say({"event": encode(event)})

    def heard(self, n=1):
        """What it was sent, once there is so much of it or it was hung up on."""
        frames, deadline = [], time.monotonic() + 10
        while len(frames) < n and self.line.gone is None and time.monotonic() < deadline:
            frames += [frame for frame in self.line.receive() if "ping" not in frame.message]
            time.sleep(0.002)
        return [frame.message for frame in frames]

    def task(self):
        """The number and the attempt of the next task it was sent."""
        (order,) = self.heard()
        return order["task"]["number"], order["task"]["attempt"]


@pytest.fixture
def office(tmp_path):
    """One that is open."""
    opened = Office(tmp_path)
    yield opened
    opened.hub.close()


@pytest.fixture
def worker(office):
    """A function that adds a worker, by default one that is ready."""
    with contextlib.ExitStack() as stack:

        def join(*where, ready=True):
            one = Worker(office)
            stack.callback(one.line.close)
            one.introduce(*where)
            if ready:
                assert "setup" in one.heard()[0]
                one.say({"ready": True})
            return one

        yield join


def started(number=0, attempt=1):
    return AttemptStarted(number, attempt, "a:1", 1.0)


def finished(number=0, attempt=1):
    return AttemptFinished(number, attempt, {"loss": 0.5}, 1.0, 2.0)


# ── work ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_counts_when_it_is_ready(office, worker):
    """It is given the setup first; only when it has unpacked that can it run anything."""
    one = worker(ready=False)
    assert office.workers.size == 0
    office.submit(0)
    assert list(one.heard()[0]) == ["setup"]
    one.say({"ready": True})
    assert office.workers.size == 1
    assert one.task() == (0, 1)


def test_what_happens_comes_back(office, worker):
    """A worker's events about its own attempt are passed on, and then it is free."""
    one = worker()
    office.submit(0)
    office.submit(1)
    assert one.task() == (0, 1)
    told = [started(), Reported(0, 1, 0, {"loss": 1.0}, 1.5), finished()]
    for event in told:
        one.tell(event)
    assert office.events() == told
    assert one.task() == (1, 1)


def test_the_idlest_machine_is_first(office, worker):
    """Attempts spread over machines before two share one."""
    workers = [worker(host) for host in ("a", "a", "b", "b")]
    for number in range(4):
        office.submit(number)
    assert [one.task()[0] for one in workers] == [0, 2, 1, 3]


def test_more_than_may_work_are_spares(tmp_path):
    """Workers beyond the parallelism count for nothing, until one of the others is lost."""
    small = Office(tmp_path, most=1)
    with contextlib.closing(small.hub):
        first, second = Worker(small), Worker(small)
        for one in (first, second):
            one.introduce()
            one.say({"ready": True})
        assert small.workers.size == 1
        first.line.close()
        small.take()
        assert small.workers.size == 1
        second.line.close()
        small.take()
        assert small.workers.size == 0


def test_one_too_many_on_an_executor_moves(tmp_path):
    """It leaves for where fewer are, and again when Spark brings it back; in the end it stays."""
    with contextlib.ExitStack() as stack:
        office = Office(tmp_path, most=2)
        stack.callback(office.hub.close)
        office.workers.spread(frozenset({"x", "y"}))

        def ready():
            one = Worker(office)
            stack.callback(one.line.close)
            one.introduce("a", "x")
            one.heard()
            one.say({"ready": True})
            return one

        ready()
        for _ in range(8):
            assert ready().heard() == [{"leave": "another executor has fewer workers"}]
        ready()
        assert office.workers.size == 2


def test_a_stop_reaches_the_one_that_runs_it(office, worker):
    """A stop goes to the worker of that attempt, and to no other."""
    one, other = worker("a"), worker("b")
    office.submit(0)
    office.submit(1)
    assert (one.task(), other.task()) == ((0, 1), (1, 1))
    office.workers.stop(1, 1, "hopeless", kill=False)
    office.workers.stop(0, 2, "another attempt", kill=True)
    office.workers.stop(0, 1, "enough", kill=True)
    assert other.heard() == [{"stop": [1, 1, "hopeless"]}]
    assert one.heard() == [{"kill": [0, 1, "enough"]}]


def test_a_kill_of_what_waits(office):
    """What has no worker yet can be killed as well."""
    office.submit(0)
    office.workers.stop(0, 1, "not that way", kill=False)
    assert office.events() == []
    office.workers.stop(0, 1, "enough", kill=True)
    (lost,) = office.events()
    assert (lost.number, lost.reason, lost.counts) == (0, "enough", False)


def test_logs_come_home(office, worker):
    """Lines are added while a trial runs; at its end the whole log takes their place."""
    one = worker()
    office.submit(0)
    one.say({"log": [0, 1]}, b"epoch 1\n")
    one.say({"log": [0, 1]}, b"epoch 2\n")
    (path,) = (office.folder / "logs").iterdir()
    assert path.read_bytes() == b"epoch 1\nepoch 2\n"
    one.say({"whole log": [0, 1]}, b"all of it\n")
    one.tell(finished())
    one.say({"log": [0, 1]}, b"too late\n")
    one.say({"whole log": [0, 1]}, b"too late\n")
    assert path.read_bytes() == b"all of it\n"
    assert list(path.parent.iterdir()) == [path]


# ── losses ────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_that_is_gone(office, worker):
    """Its attempt is lost once, and counts."""
    one = worker("host3")
    office.submit(4, 2)
    assert one.task() == (4, 2)
    one.tell(started(4, 2))
    one.line.close()
    office.take()
    begun, lost = office.events()
    assert begun == started(4, 2)
    assert (lost.number, lost.attempt, lost.counts) == (4, 2, True)
    assert "the worker on host3 was lost (it hung up)" in lost.reason
    assert office.workers.workers == {}


def test_an_idle_worker_that_is_gone(office, worker):
    """One that was at nothing takes nothing along."""
    worker().line.close()
    office.take()
    assert office.events() == []


def test_a_machine_out_of_memory(office, worker):
    """A worker whose last beat told of no memory left is said to have run out of it."""
    one = worker()
    office.submit(0)
    one.say({"beat": {"used": 15 * 10**9, "total": 16 * 10**9, "available": 10**8}})
    one.line.close()
    office.take()
    assert "had run out of memory: of 16 GB its trial used 15 GB" in office.events()[0].reason


# ── liars ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "event",
    [finished(1), finished(0, 2), AttemptLost(5, 1, "", True, 1.0), AttemptPruned(1, 1, "", 0, 0)],
)
def test_events_of_others_are_dropped(office, worker, event):
    """A worker can't end what it isn't at; it goes on."""
    one = worker()
    office.submit(0)
    one.tell(event)
    assert office.events() == []
    one.tell(finished())
    assert office.events() == [finished()]


def test_late_words_are_dropped(office, worker):
    """What a worker says of an attempt that it has ended counts for nothing."""
    one = worker()
    office.submit(0)
    one.tell(finished())
    one.tell(finished())
    one.tell(Reported(0, 1, 9, {"loss": 1.0}, 3.0))
    assert office.events() == [finished()]


def record(**changes):
    """A message with an event of which something is changed."""
    known = json.loads(encode(finished()))
    return {"event": json.dumps({**known, **changes})}


NONSENSE = [
    {"event": None},
    {"event": 7},
    {"event": ["finished"]},
    {"event": "not JSON"},
    {"event": "[]"},
    {"event": "[" * 100_000},
    {"event": "{}"},
    {"event": '{"v":1,"event":"finished"}'},
    record(v=99),
    record(event="exploded"),
    record(event=[]),
    record(extra=1),
    record(number="0"),
    record(number=-1),
    record(number=True),
    record(attempt=1.0),
    record(at="now"),
    record(at=10**400),
    record(seconds=None),
    record(metrics=[1]),
    record(metrics={}),
    record(metrics={"accuracy": 1.0}),
    record(metrics={"loss": "NaN"}),
    record(metrics={"loss": "a lot"}),
    record(metrics={"loss": None}),
    record(metrics={"loss": 1.0, "other": {}}),
    record(metrics={"loss": 1.0, "other": 10**400}),
    {"event": encode(finished()).replace('"at":2.0', '"at":NaN')},
    {"event": encode(TrialAsked(0, {}, "me", 1.0))},
    {"event": encode(StudyEnded("over", 1.0))},
    {"event": encode(StopRequested(0, 1, "stop", 1.0))},
    {"beat": None},
    {"beat": {}},
    {"beat": {"used": "much", "total": 1, "available": 1}},
]


@pytest.mark.parametrize("message", NONSENSE, ids=lambda message: str(message)[:60])
def test_a_worker_that_talks_nonsense(office, worker, message):
    """It is sent away for good, its attempt is lost, and the others go on."""
    liar, other = worker("a"), worker("b")
    office.submit(0)
    office.submit(1)
    assert (liar.task(), other.task()) == ((0, 1), (1, 1))
    liar.say(message)
    (lost,) = office.events()
    assert (type(lost), lost.number, lost.counts) == (AttemptLost, 0, True)
    assert "it said what no worker says" in lost.reason
    assert len(lost.reason) < 1500
    (farewell,) = liar.heard()
    assert farewell["for_good"]
    assert liar.heard() == []
    assert liar.line.gone is not None
    office.take()  # that it is gone
    other.tell(finished(1))
    assert office.events() == [finished(1)]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"hello": {"host": "again", "name": "again"}, "facts": facts({})},
        {"unheard": "of"},
        {"log": 7},
        {"log": [0]},
        {"log": ["../../x", 1]},
        {"whole log": [{}, []]},
        {"ready": "perhaps"},
    ],
    ids=str,
)
def test_words_that_mean_nothing(office, worker, message):
    """A later version may say more: what isn't known, or is about nobody, is passed over."""
    one = worker()
    office.submit(0)
    one.say(message, b"blob")
    one.tell(finished())
    assert office.events() == [finished()]
    assert not (office.folder / "logs").exists()
    assert len(office.workers.workers) == 1


@pytest.mark.parametrize(
    "hello",
    [
        {"hello": None, "facts": facts({})},
        {"hello": {}, "facts": facts({})},
        {"hello": {"host": 1, "name": "x"}, "facts": facts({})},
        {"hello": {"host": "x", "name": "x"}, "facts": None},
        {"hello": {"host": "x", "name": "x"}, "facts": {}},
        {"hello": {"host": "x", "name": "x"}, "facts": {**facts({}), "packages": {"numpy": 2}}},
        {"hello": {"host": "x", "name": "x"}, "facts": {**facts({}), "python": 3}},
    ],
    ids=str,
)
def test_an_introduction_that_is_none(office, hello):
    """Who introduces itself as no worker does gets no setup."""
    with contextlib.closing(dial([("127.0.0.1", office.hub.port)], office.hub.credentials)) as line:
        line.send(hello)
        office.take()
        assert office.workers.workers == {}
        deadline, frames = time.monotonic() + 10, []
        while line.gone is None and time.monotonic() < deadline:
            frames += line.receive()
        assert not any("setup" in frame.message for frame in frames)


def test_an_event_before_the_introduction(office):
    """Who hasn't introduced itself isn't listened to."""
    with contextlib.closing(dial([("127.0.0.1", office.hub.port)], office.hub.credentials)) as line:
        line.send({"event": encode(finished())})
        office.take()
    assert office.events() == []


# ── workers that are no use ───────────────────────────────────────────────────────────────────────


def test_the_first_worker_is_no_use(office, worker):
    """What makes the first of them useless will make all of them: the study can't run."""
    office.problem = "host3 lacks torch 2.9"
    with pytest.raises(ExecutorError, match="host3 lacks torch"):
        worker(ready=False)


def test_a_later_worker_is_no_use(office, worker):
    """When others work, one that can't is told why and sent off."""
    worker()
    office.problem = "host3 lacks torch 2.9"
    late = worker(ready=False)
    assert late.heard() == [{"leave": "host3 lacks torch 2.9", "for_good": True}]
    assert office.workers.size == 1


def test_the_first_worker_breaks(office, worker):
    """A setup that can't be unpacked, or an objective that can't be loaded, is an error at once."""
    one = worker()
    with pytest.raises(ExecutorError, match=r"the worker on a can't work\. No module named torch"):
        one.say({"broken": "No module named torch"})


def test_a_worker_breaks_where_others_have_begun(office, worker):
    """One machine whose disk is full is not the end of a study: its attempt is lost with it."""
    one, other = worker("a"), worker("b")
    office.submit(0)
    office.submit(1)
    one.tell(started())
    other.say({"broken": "OSError: No space left on device"})
    begun, lost = office.events()
    assert begun == started()
    assert (lost.number, lost.counts) == (1, True)
    assert "No space left on device" in lost.reason
    assert office.workers.size == 1


def test_memory_that_will_not_do(office, worker, caplog):
    """Trials that together need more than their machine has are warned of once a size."""
    one = worker()
    beat = {"used": 20 * 10**9, "total": 16 * 10**9, "available": 10**9}
    with caplog.at_level(logging.WARNING, "manyfit"):
        one.say({"beat": beat})
        one.say({"beat": beat})
    (record,) = caplog.records
    assert "may run a out of memory" in record.message
