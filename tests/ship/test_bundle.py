"""What is bundled here can be imported there, and nothing else happens there."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.errors import ArgumentError
from manyfit.ship.bundle import bundle, seal, unbundle
from manyfit.ship.listing import ShippingList, shipping_list


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return seal(buffer.getvalue())


def content(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_same_files_make_the_same_bytes(project, tmp_path):
    """Neither times nor the order of listing matter, and contents do."""
    a, b = project.add("a.py", "1"), project.add("b.py", "2")
    first = bundle(ShippingList(modules={"a": a, "b": b}))
    os.utime(a, (1, 1))
    assert bundle(ShippingList(modules={"b": b, "a": a})) == first
    project.add("a.py", "3")
    assert bundle(ShippingList(modules={"a": a, "b": b})) != first


def test_an_empty_list_makes_an_empty_folder(tmp_path):
    """Sending nothing works like sending something."""
    assert content(unbundle(bundle(ShippingList()), tmp_path / "new" / "folder")) == {}


def test_unpacking_twice_keeps_the_first(tmp_path):
    """What is there stays, with what Python compiled into it; other data goes elsewhere."""
    first = unbundle(zipped(a="1"), tmp_path)
    (first / "cached").touch()
    assert unbundle(zipped(a="1"), tmp_path) == first
    assert (first / "cached").exists()
    assert unbundle(zipped(a="2"), tmp_path) != first


@pytest.mark.parametrize(
    "name", ["../out.py", "/out.py", "a/../../out.py", "a\\..\\..\\out.py", "..", "a/.."]
)
def test_a_name_that_escapes_is_refused(tmp_path, name):
    """Nothing is written outside of the folder, nor into it."""
    with pytest.raises(ArgumentError, match="must stay within"):
        unbundle(zipped(**{"fine.py": "", name: ""}), tmp_path / "here")
    assert content(tmp_path) == {}


# The data hold the time at which they were zipped, so as names they would differ between processes.
@pytest.mark.parametrize(
    "data",
    [b"", b"junk", zipped(a="1" * 99)[:50], zipped(a="1" * 99)[50:]],
    ids=["empty", "junk", "beginning", "end"],
)
def test_torn_data_is_refused(tmp_path, data):
    """Data that was cut short leaves nothing that looks whole."""
    with pytest.raises(ArgumentError, match="is damaged"):
        unbundle(data, tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(st.integers(0, 300), st.integers(1, 255))
def test_any_damage_is_found(tmp_path_factory, place, flips):
    """A single changed bit anywhere is enough to refuse all."""
    data = bytearray(zipped(a="hello" * 9, b="world" * 9))
    data[place % len(data)] ^= flips
    with pytest.raises(ArgumentError, match="is damaged"):
        unbundle(bytes(data), tmp_path_factory.getbasetemp() / "damaged")


def _unpack(data, folder, start, results):
    start.wait()
    results.put(str(unbundle(data, folder)))


def test_many_processes_at_once(tmp_path):
    """Processes that unpack the same at the same moment get the same whole folder."""
    data = zipped(**{f"pkg/m{i}.py": f"X = {i}" for i in range(200)})
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    workers = [
        context.Process(target=_unpack, args=(data, tmp_path, start, results)) for _ in range(6)
    ]
    for worker in workers:
        worker.start()
    start.set()
    folders = {results.get(timeout=30) for _ in workers}
    for worker in workers:
        worker.join()

    assert len(folders) == 1
    assert [path.name for path in tmp_path.iterdir()] == [Path(folders.pop()).name]


def test_a_process_killed_while_unpacking_leaves_nothing_half_done(tmp_path):
    """After kill -9 at any moment, the folder is absent or whole, and unpacking again works."""
    members = {f"m{i}.py": "x" * 2000 for i in range(300)}
    data = zipped(**members)
    context = multiprocessing.get_context("fork")
    for round_ in range(5):
        folder = tmp_path / str(round_)
        start, results = context.Event(), context.Queue()
        worker = context.Process(target=_unpack, args=(data, folder, start, results))
        worker.start()
        start.set()
        time.sleep(0.004 * round_)
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        assert len(content(unbundle(data, folder))) == len(members)


def run_there(folder, objective, params):
    """Call a pickled objective in a fresh interpreter that has only the folder on its path."""
    code = (
        "import sys, pickle; sys.path.insert(0, sys.argv[1]); "
        "print(pickle.loads(sys.stdin.buffer.read())(eval(sys.argv[2])))"
    )
    return subprocess.run(
        [sys.executable, "-P", "-c", code, str(folder), repr(params)],
        input=cloudpickle.dumps(objective), capture_output=True, check=False, cwd=folder.parent,
    )  # fmt: skip


@pytest.mark.integration
def test_an_objective_arrives_with_its_modules(project, tmp_path):
    """In a fresh interpreter the objective finds its modules, packages and namespaces."""
    project.add(
        "top.py",
        """
        from pkg.sub import leaf
        from space.far import GIVEN
        def f(p):
            return g(p)
        def g(p):
            import late
            return p + leaf.X + GIVEN + late.Y
        """,
    )
    project.add("pkg/__init__.py", "ROOT = 10")
    project.add("pkg/sub/__init__.py")
    project.add("pkg/sub/leaf.py", "from .. import ROOT\nX = ROOT * 10")
    project.add("space/far.py", "GIVEN = 1000")
    project.add("late.py", "Y = 10_000")
    import top

    there = unbundle(bundle(shipping_list(top.f)), tmp_path / "worker")
    done = run_there(there, top.f, 1)
    assert done.stdout.decode().strip() == "11101", done.stderr.decode()
    assert run_there(tmp_path, top.f, 1).returncode != 0


@pytest.mark.integration
def test_shipped_packages_find_their_data(project, tmp_path):
    """A package that is named in ship= reads the files beside its modules."""
    project.add(
        "pkg/__init__.py",
        """
        from pathlib import Path
        def f(p):
            return (Path(__file__).parent / "conf" / "a.txt").read_text()
        """,
    )
    project.add("pkg/conf/a.txt", "found")
    import pkg

    there = unbundle(bundle(shipping_list(pkg.f, ship=["pkg"])), tmp_path / "worker")
    done = run_there(there, pkg.f, {})
    assert done.stdout.decode().strip() == "found", done.stderr.decode()
