"""Random numbers repeat, also those of frameworks that are imported only within the trial."""

import importlib
import random
import sys
import types

import numpy as np
import pytest

from manyfit.worker.seeds import seeded

FAKES = {
    "torch": "seeds = []\ndef manual_seed(seed):\n    seeds.append(seed)\n",
    "tensorflow": (
        "import types\nseeds = []\nrandom = types.SimpleNamespace(set_seed=seeds.append)\n"
    ),
    "keras": (
        "import types\nseeds = []\nutils = types.SimpleNamespace(set_random_seed=seeds.append)\n"
    ),
}


@pytest.fixture
def frameworks(tmp_path, monkeypatch):
    """Fakes of the frameworks, which note how they are seeded; none is imported yet."""
    for name, source in FAKES.items():
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module
    for name in FAKES:
        sys.modules.pop(name, None)


def test_python_and_numpy():
    """The same seed gives the same numbers, another seed others; large seeds do, too."""
    draws = []
    for seed in (5, 5, 6, 2**40 + 5):
        with seeded(seed):
            draws.append((random.random(), np.random.rand()))
    assert draws[0] == draws[1] == draws[3] != draws[2]


def test_a_loaded_framework_is_seeded(frameworks):
    """What is imported already is seeded at once; Keras only where TensorFlow is loaded."""
    torch = frameworks("torch")
    keras = frameworks("keras")
    with seeded(5):
        assert torch.seeds == [5]
        assert keras.seeds == []
    tensorflow = frameworks("tensorflow")
    with seeded(6):
        assert (torch.seeds, tensorflow.seeds, keras.seeds) == ([5, 6], [6], [6])


def test_a_framework_imported_later_is_seeded_then(frameworks):
    """What the objective imports is seeded as soon as it is there, with the trial's seed."""
    with seeded(5):
        assert "torch" not in sys.modules
        assert frameworks("torch").seeds == [5]
        assert frameworks("tensorflow").seeds == [5]
        assert frameworks("keras").seeds == [5]


def test_numbers_drawn_while_importing_change_nothing(frameworks, tmp_path):
    """A trial that imports a framework goes on with the numbers of one that finds it imported."""
    draw = "import random, numpy\nrandom.random(), numpy.random.rand()\n"
    (tmp_path / "torch.py").write_text(draw + FAKES["torch"])
    draws = []
    for _ in range(2):
        with seeded(5):
            first = random.random()
            frameworks("torch")
            draws.append((first, random.random(), np.random.rand()))
    assert draws[0] == draws[1]


def test_nothing_is_imported_for_it(frameworks):
    """Seeding loads no framework by itself: TensorFlow takes ten seconds."""
    with seeded(5):
        frameworks("keras")
    assert not {"tensorflow", "torch"} & set(sys.modules)


def test_afterwards_imports_are_as_before(frameworks):
    """The hook is gone after the trial, also when an exception ends it."""
    before = list(sys.meta_path)
    with pytest.raises(ZeroDivisionError), seeded(5):
        raise ZeroDivisionError
    assert sys.meta_path == before
    assert frameworks("torch").seeds == []


def test_an_import_that_fails_fails_as_ever(frameworks, tmp_path, monkeypatch):
    """The hook changes neither the error of a missing framework nor that of a broken one."""
    (tmp_path / "torch.py").write_text("raise RuntimeError('broken build')")
    (tmp_path / "keras.py").unlink()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # the real one may be installed
    importlib.invalidate_caches()
    with seeded(5):
        with pytest.raises(RuntimeError, match="broken build"):
            frameworks("torch")
        with pytest.raises(ModuleNotFoundError, match="keras"):
            frameworks("keras")


def test_a_module_that_only_has_the_name(monkeypatch):
    """A module of a framework's name that isn't one is left alone."""
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    monkeypatch.setitem(sys.modules, "keras", None)
    with seeded(5):
        assert not hasattr(sys.modules["torch"], "seeds")
