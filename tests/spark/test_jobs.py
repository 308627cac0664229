"""Spark jobs that are cancelled by tag, where a session says what Spark does."""

import queue
import threading

import pytest

from manyfit.spark.jobs import JobEnded, SparkJobs


class FakeSession:
    """One that notes what is asked of it, and ends functions after some cancels."""

    def __init__(self, cancels=1):
        self.done = threading.Event()
        self.calls = []
        self._left = cancels

    def inheriting(self, target):
        self.calls.append(("inheriting", threading.current_thread().name))
        return lambda: (self.calls.append(("inherited", None)), target())

    def mark(self, tag, title, pool):
        self.calls.append((tag, title, pool))

    def cancel(self, tag):
        self.calls.append(("cancel", tag))
        self._left -= 1
        if self._left == 0:
            self.done.set()
        raise RuntimeError("the session is stopped")

    def wait(self):
        """Wait as a function does whose jobs run."""
        if not self.done.wait(10):
            raise AssertionError("nobody cancelled it")
        raise RuntimeError("cancelled")


@pytest.fixture
def inbox():
    """Where ends come in."""
    return queue.SimpleQueue()


def test_a_function_returns(inbox):
    """What it returns comes in once, with its tag; its thread is marked before it begins."""
    session = FakeSession()
    jobs = SparkJobs(session)
    jobs.start(lambda: len(session.calls), inbox.put, tag="a", title="A", pool="p")
    assert inbox.get(timeout=5) == JobEnded("a", 1)
    assert session.calls == [("a", "A", "p")]
    assert inbox.empty()


def test_properties_of_the_caller_come_first(inbox):
    """A thread has the properties of the one that starts it, and then its own marks."""
    session = FakeSession()
    SparkJobs(session).start(lambda: None, inbox.put, tag="a", title="A", inherits=True)
    inbox.get(timeout=5)
    caller = threading.current_thread().name
    assert session.calls == [("inheriting", caller), ("inherited", None), ("a", "A", None)]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_a_function_fails(inbox, error):
    """Whatever it raises comes in."""

    def function():
        raise error

    SparkJobs(FakeSession()).start(function, inbox.put, tag="a", title="A")
    assert inbox.get(timeout=5) == JobEnded("a", None, error)


def test_a_session_that_is_gone(inbox):
    """What marking the thread raises comes in as well; the function is not called."""
    session = FakeSession()
    session.mark = None
    SparkJobs(session).start(session.done.set, inbox.put, tag="a", title="A")
    assert isinstance(inbox.get(timeout=5).error, TypeError)
    assert not session.done.is_set()


def test_a_cancel_is_repeated(inbox):
    """A tag is cancelled until its function has ended, whatever the session says to it."""
    session = FakeSession(cancels=3)
    jobs = SparkJobs(session)
    jobs.start(session.wait, inbox.put, tag="a", title="A")
    jobs.cancel("a", "unknown")
    jobs.cancel("a")
    assert str(inbox.get(timeout=5).error) == "cancelled"
    assert session.calls[1:] == [("cancel", "a")] * 3
    jobs.end(5.0)
    assert not jobs.running


def test_a_session_that_gives_no_answer(inbox):
    """It isn't asked again and again, which would leave a thread each time; a next cancel asks."""
    session, asked = FakeSession(), queue.SimpleQueue()

    def silent(tag):
        asked.put(tag)
        raise TimeoutError("it gave no answer for 20 s")

    session.cancel = silent
    jobs = SparkJobs(session)
    jobs.start(session.wait, inbox.put, tag="a", title="A")
    for _ in range(2):
        jobs.cancel("a")
        assert asked.get(timeout=5) == "a"
        until_none_named("manyfit-cancel")
    assert asked.empty()
    session.done.set()
    assert str(inbox.get(timeout=5).error) == "cancelled"


def until_none_named(name):
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(5)
            assert not thread.is_alive()


def test_only_what_is_named_is_cancelled(inbox):
    """Other functions go on; one that has ended is cancelled no more."""
    session, release = FakeSession(), threading.Event()
    jobs = SparkJobs(session)
    jobs.start(lambda: release.wait(10), inbox.put, tag="a", title="A")
    jobs.start(session.wait, inbox.put, tag="b", title="B")
    assert jobs.running == {"a", "b"}
    jobs.cancel("b")
    assert inbox.get(timeout=5).tag == "b"
    release.set()
    assert inbox.get(timeout=5) == JobEnded("a", True)
    jobs.end(5.0)
    assert session.calls[2:] == [("cancel", "b")]


def test_what_does_not_end_is_left_to_itself(inbox):
    """The end waits for so long and no longer; cancelling goes on behind it."""
    session, over = FakeSession(cancels=2), threading.Event()
    jobs = SparkJobs(session)
    jobs.start(lambda: over.wait(10) and session.wait(), inbox.put, tag="a", title="A")
    jobs.end(0.02)
    assert jobs.running == {"a"}
    over.set()
    assert str(inbox.get(timeout=5).error) == "cancelled"
