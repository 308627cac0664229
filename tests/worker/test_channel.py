"""Lines reach the driver whole, whichever thread writes them."""

import json
import os
import threading

import pytest

from manyfit.event_lines import decode
from manyfit.events import Reported
from manyfit.worker.channel import PipeWriter


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)


def drain(fd, into):
    while chunk := os.read(fd, 1 << 16):
        into.append(chunk)


def test_lines_of_many_threads_are_whole(pipe):
    """Lines longer than a pipe holds, from several threads at once, never mix."""
    read, write = pipe
    writer, chunks = PipeWriter(write), []
    reader = threading.Thread(target=drain, args=(read, chunks))
    reader.start()
    threads = [
        threading.Thread(
            target=lambda n=n: [writer.line(json.dumps([n] * 40_000)) for _ in range(5)]
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(write)
    reader.join()
    lines = [json.loads(line) for line in b"".join(chunks).splitlines()]
    assert sorted(line[0] for line in lines) == sorted([0, 1, 2, 3] * 5)
    assert {len(set(line)) for line in lines} == {1}


def test_an_event_is_a_line(pipe):
    """An event arrives as the journal would write it."""
    read, write = pipe
    event = Reported(1, 2, 3, {"loss": float("inf"), "näme": 1.0}, 4.5)
    PipeWriter(write).event(event)
    os.close(write)
    assert decode(os.read(read, 1000)) == event


def test_a_forked_process_writes_nothing(pipe):
    """A process that inherited the writer can't disturb its parent's lines."""
    read, write = pipe
    writer = PipeWriter(write)
    pid = os.fork()
    if pid == 0:
        writer.line("child")
        os._exit(0)
    os.waitpid(pid, 0)
    writer.line("parent")
    os.close(write)
    assert os.read(read, 1000) == b"parent\n"
