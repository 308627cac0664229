"""Work travels by value where it must, and what can't travel is named."""

import functools
import os
import sys
import threading
import types
from pathlib import Path

import cloudpickle
import pytest

from manyfit.errors import ObjectiveError
from manyfit.metric import Metric
from manyfit.space import Choice, Space
from manyfit.worker.payload import Payload, pack, unpack
from manyfit.worker.work import Site, Work

LOCK = threading.Lock()


def uses_the_global(params):
    with LOCK:
        return params["x"]


def calls_another(params):
    return uses_the_global(params)


def has_a_default(params, *, lock=LOCK):
    return params["x"]


class Trainer:
    def __init__(self):
        self.session = {"connections": [1, LOCK]}

    def train(self, params):
        return params["x"]

    __call__ = train


class Slotted:
    __slots__ = ("lock", "unset")

    def __init__(self):
        self.lock = LOCK

    def __call__(self, params):
        return 0.0


SINK = Path(os.devnull).open("w")  # noqa: SIM115 - one that can't be pickled, to the end


def work(objective, space=None):
    return Work(objective, Space(space or {"x": Choice([1, 2])}), Metric("loss"), "s", Path("/x"))


def through(objective):
    payload = Payload(pack(work(objective)), Site(Path("/x")))
    fd = os.dup(payload.fileno())
    payload.close()
    return unpack(fd).objective


def make_closure(value):
    def objective(params):
        return value

    return objective


@pytest.mark.parametrize(
    ("objective", "blamed", "kind"),
    [
        (make_closure(LOCK), "its closure variable 'value' is", "_thread.lock"),
        (make_closure({"a": [1, LOCK]}), "variable 'value' → its item 'a' → its item 1", "lock"),
        (make_closure(SINK), "its closure variable 'value' is", "_io.TextIOWrapper"),
        (make_closure(x for x in ()), "its closure variable 'value' is", "generator"),
        (Trainer(), "its attribute 'session' → its item 'connections' → its item 1", "lock"),
        (Trainer().train, "its object → its attribute 'session'", "lock"),
        (Slotted(), "its attribute 'lock'", "lock"),
        (functools.partial(make_closure(1), LOCK), "its argument 0", "lock"),
        (functools.partial(make_closure(1), lock=LOCK), "its argument 'lock'", "lock"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_travel_is_named(objective, blamed, kind):
    """The message leads from the objective to the very thing that can't be pickled."""
    with pytest.raises(ObjectiveError) as caught:
        pack(work(objective))
    assert blamed in str(caught.value)
    assert f"{kind}, which can't be pickled" in str(caught.value)
    assert "executor='threads'" in str(caught.value)


@pytest.mark.parametrize("name", ["uses_the_global", "calls_another", "has_a_default"])
def test_a_script_is_blamed_by_its_names(name):
    """In a script or a notebook, globals and defaults are named, through the functions between."""
    module = types.ModuleType("__main__")
    source = Path(__file__).read_text().split("class Trainer")[0]
    exec(compile(source, "script", "exec"), module.__dict__)
    with pytest.raises(ObjectiveError) as caught:
        pack(work(vars(module)[name]))
    message = str(caught.value)
    assert f"the objective {name} can't be sent" in message
    assert {"has_a_default": "default of 'lock'"}.get(name, "global variable 'LOCK'") in message


def test_a_loop_in_the_objects_ends():
    """Objects that hold each other are no trap."""
    trainer = Trainer()
    trainer.session = {"self": trainer, "lock": LOCK}
    with pytest.raises(ObjectiveError, match="its item 'lock'"):
        pack(work(trainer))


def test_an_object_that_refuses_for_its_own_reason():
    """What has a rule of its own against pickling is quoted."""

    class Session:
        def __reduce__(self):
            raise RuntimeError("SparkContext can only be used on the driver")

    with pytest.raises(ObjectiveError, match="RuntimeError: SparkContext can only be used"):
        pack(work(make_closure(Session())))


def test_the_space_is_blamed_for_its_options():
    """When it isn't the objective, the message says so."""

    class Option:
        def __repr__(self):
            return "Option()"

        def __reduce__(self):
            raise TypeError("no")

    with pytest.raises(ObjectiveError, match="the space or the metric can't be sent"):
        pack(work(make_closure(1), {"x": Choice([Option(), 1])}))


@pytest.mark.parametrize(
    "objective",
    [lambda params: params, make_closure(5), functools.partial(lambda a, params: a, 5), len],
    ids=["lambda", "closure", "partial", "builtin"],
)
def test_what_travels(objective):
    """Lambdas, closures, partial functions and built-in ones arrive."""
    assert callable(through(objective))


def test_a_module_nobody_would_find_travels_along(tmp_path):
    """An objective from a module that was loaded by hand needs no module at the other end."""
    (tmp_path / "by_hand.py").write_text("FACTOR = 3\ndef train(params):\n    return FACTOR\n")
    module = types.ModuleType("by_hand")
    module.__file__ = str(tmp_path / "by_hand.py")
    sys.modules["by_hand"] = module
    try:
        exec((tmp_path / "by_hand.py").read_text(), module.__dict__)
        data = pack(work(module.train))
    finally:
        del sys.modules["by_hand"]

    assert cloudpickle.loads(data).objective({}) == 3


def test_a_module_of_the_path_travels_by_name(tmp_path, monkeypatch):
    """An objective from a module that others can import is sent as its name."""
    (tmp_path / "beside.py").write_text("FACTOR = 3\ndef train(params):\n    return FACTOR\n")
    monkeypatch.syspath_prepend(tmp_path)
    import beside

    try:
        assert len(pack(work(beside.train))) < len(pack(work(make_closure("x" * 100))))
        assert through(beside.train) is beside.train
    finally:
        del sys.modules["beside"]


def test_slots_read_the_same_file():
    """A payload can be read any number of times."""
    payload = Payload(pack(work(make_closure("x" * 3_000_000))), Site(Path("/x")))
    assert payload.size > 3_000_000
    for _ in range(3):
        assert unpack(os.dup(payload.fileno())).objective({}) == "x" * 3_000_000
    payload.close()
