"""Output of trials in the driver's process goes where it belongs."""

import io
import logging
import sys
import threading

import pytest

from manyfit.worker.router import in_driver


@pytest.fixture
def make_terminal(monkeypatch):
    """A function, to be called in the test: pytest puts its own streams up after the fixtures."""

    def make():
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return make


def test_alone_it_is_shown_and_kept(tmp_path, make_terminal):
    """A trial that has the process to itself shows on the terminal, its threads included."""
    terminal = make_terminal()
    with in_driver(tmp_path / "logs" / "log", (), alone=True):
        print("main")
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()
    print("after")
    assert (tmp_path / "logs" / "log").read_text() == "main\nthread\n"
    assert terminal.getvalue() == "main\nthread\nafter\n"
    assert sys.stdout is terminal


def test_among_others_it_is_only_kept(tmp_path, make_terminal):
    """Trials in threads write to their own logs; the driver still writes to the terminal."""
    terminal = make_terminal()
    both = threading.Barrier(3)

    def trial(name):
        with in_driver(tmp_path / name, (), alone=False):
            both.wait(10)
            print(name, "out")
            print(name, "err", file=sys.stderr)
            both.wait(10)

    threads = [threading.Thread(target=trial, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    both.wait(10)
    print("driver")
    both.wait(10)
    for thread in threads:
        thread.join()
    assert terminal.getvalue() == "driver\n"
    for name in ("a", "b"):
        assert (tmp_path / name).read_text() == f"{name} out\n{name} err\n"


def test_secrets_stay_on_the_terminal(tmp_path, make_terminal):
    """What is kept is redacted, also when it was printed in pieces."""
    make_terminal()
    with in_driver(tmp_path / "log", ["correct horse"], alone=True):
        print("correct horse")
        print("password=", end="")
        print("hunter2")
    assert (tmp_path / "log").read_text() == "[redacted]\npassword=[redacted]\n"


def test_a_disk_without_room(tmp_path, make_terminal):
    """The caller of print sees no error; the terminal shows what the log can't take."""
    terminal = make_terminal()
    (tmp_path / "logs").touch()
    with in_driver(tmp_path / "logs" / "log", (), alone=True):
        print("lost")
    assert terminal.getvalue() == "lost\n"


def test_a_disk_that_has_room_again(tmp_path, make_terminal):
    """The log says how much of it is missing."""
    make_terminal()
    (tmp_path / "logs").touch()
    with in_driver(tmp_path / "logs" / "log", (), alone=True):
        print("lost")
        (tmp_path / "logs").unlink()
        print("kept")
    expected = "kept\n\n... 5 bytes could not be written ...\n"
    assert (tmp_path / "logs" / "log").read_text() == expected


def test_a_terminal_that_is_gone(tmp_path, monkeypatch):
    """A trial goes on when its terminal is closed, and its log has what it prints."""

    class Gone(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    with in_driver(tmp_path / "log", (), alone=True):
        print("epoch 1")
        sys.stdout.flush()
    assert (tmp_path / "log").read_text() == "epoch 1\n"


def test_a_log_without_end(tmp_path, make_terminal):
    """It is shortened while it grows."""
    make_terminal()
    with in_driver(tmp_path / "log", (), alone=False):
        for _ in range(12):
            print("x" * 999_999)
            assert (tmp_path / "log").stat().st_size < 10_000_000
    assert (tmp_path / "log").stat().st_size <= 4 << 20


def test_no_output_no_log(tmp_path, make_terminal):
    """A silent trial leaves no file, and what an earlier driver left there is deleted."""
    make_terminal()
    (tmp_path / "log").write_text("of an attempt that was never recorded")
    with in_driver(tmp_path / "log", (), alone=True):
        pass
    assert not (tmp_path / "log").exists()


def test_the_terminal_cannot_be_closed(tmp_path, make_terminal):
    """An objective that closes sys.stdout doesn't close the driver's."""
    terminal = make_terminal()
    with in_driver(tmp_path / "log", (), alone=True):
        sys.stdout.close()
        print("still here")
    print("and here")
    assert terminal.getvalue() == "still here\nand here\n"


def test_it_looks_like_the_stream_it_stands_for(tmp_path, make_terminal):
    """What isn't about writing is answered by the real stream."""
    terminal = make_terminal()
    with in_driver(tmp_path / "log", (), alone=True):
        assert sys.stdout.isatty() is False
        assert sys.stdout.writable()
        assert sys.stdout.getvalue() == ""
        assert sys.stdout.encoding == terminal.encoding
        with pytest.raises(io.UnsupportedOperation):
            sys.stdout.fileno()
        with pytest.raises(AttributeError):
            sys.stdout.nonsense  # noqa: B018


def test_a_kept_stream_follows_the_trials(tmp_path, make_terminal):
    """A stream that a library took during one trial writes to the next one's log in the next."""
    terminal = make_terminal()
    with in_driver(tmp_path / "one", (), alone=True):
        kept = sys.stdout
        kept.write("1")
    kept.write("between")
    with in_driver(tmp_path / "two", (), alone=True):
        kept.write("2")
    assert (tmp_path / "one").read_text() == "1"
    assert (tmp_path / "two").read_text() == "2"
    assert terminal.getvalue() == "1between2"


def test_a_replaced_stream_is_respected(tmp_path, make_terminal):
    """Somebody who redirects sys.stdout within a trial, and for longer, is left in peace."""
    make_terminal()
    other = io.StringIO()
    with in_driver(tmp_path / "log", (), alone=True):
        sys.stdout = other
        print("elsewhere")
    assert sys.stdout is other
    assert other.getvalue() == "elsewhere\n"


def test_trials_within_trials(tmp_path, make_terminal):
    """An objective that runs a study of its own gets its output back afterwards."""
    make_terminal()
    with in_driver(tmp_path / "outer", (), alone=True):
        print("before")
        with in_driver(tmp_path / "inner", (), alone=True):
            print("within")
        print("after")
    assert (tmp_path / "outer").read_text() == "before\nafter\n"
    assert (tmp_path / "inner").read_text() == "within\n"


@pytest.fixture
def make_root():
    """A function that makes the root logger what it is in a fresh process, until the test ends."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level

    def make():
        logger.handlers[:] = []
        return logger

    yield make
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_logging_nobody_configured(tmp_path, make_root, make_terminal):
    """Warnings show on stderr, as Python has it, and are kept."""
    make_terminal()
    make_root()
    with in_driver(tmp_path / "log", (), alone=True):
        logging.getLogger("training").warning("slow")
    assert (tmp_path / "log").read_text() == "slow\n"


def test_logging_configured_before(tmp_path, make_root, make_terminal):
    """A handler that writes to the real terminal is copied into the log."""
    terminal = make_terminal()
    root = make_root()
    logging.basicConfig(level=logging.INFO, stream=terminal)
    with in_driver(tmp_path / "log", (), alone=True):
        logging.getLogger("training").info("epoch 1")
        logging.getLogger("training").debug("detail")
        logging.getLogger("manyfit").warning("the driver's own")
    logging.getLogger("training").info("afterwards")
    assert "INFO training: epoch 1" in (tmp_path / "log").read_text()
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert len(terminal.getvalue().splitlines()) == 3
    assert len(root.handlers) == 1


def test_logging_configured_within(tmp_path, make_root, make_terminal):
    """A handler made in a trial writes to the log itself: nothing is kept twice."""
    make_terminal()
    make_root()
    for name in ("one", "two"):
        with in_driver(tmp_path / name, (), alone=True):
            logging.basicConfig(level=logging.INFO)
            logging.getLogger("training").info("epoch")
        assert (tmp_path / name).read_text().count("epoch") == 1


def test_many_threads_come_and_go(tmp_path, make_terminal):
    """Printing while the stream is put up and taken down by others never fails."""
    terminal = make_terminal()
    failed = []

    def trial(index):
        try:
            for turn in range(15):
                with in_driver(tmp_path / f"{index}-{turn}", (), alone=False):
                    print(index, turn)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failed.append(error)

    threads = [threading.Thread(target=trial, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    print("driver")
    while any(thread.is_alive() for thread in threads):
        print("driver")
    assert failed == []
    logs = [path for path in tmp_path.iterdir() if path.read_text().split() == path.name.split("-")]
    assert len(logs) == 60
    assert set(terminal.getvalue().split("\n")) == {"driver", ""}
