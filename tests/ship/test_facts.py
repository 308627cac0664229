"""A machine tells what it has."""

import json
import subprocess
import sys
import types
from importlib.metadata import version

from manyfit.ship.facts import facts


def test_facts_are_plain_data():
    """What a worker tells goes through JSON unchanged."""
    told = facts({"numpy": "numpy", "nowhere": "no-such-package"})
    assert json.loads(json.dumps(told)) == told
    assert told["packages"] == {"no-such-package": None, "numpy": version("numpy")}
    assert told["python"] == sys.version.split()[0]


def test_another_distribution_may_bring_the_same_import():
    """Where the driver has tensorflow-cpu and a worker tensorflow, nothing is missing."""
    assert facts({"numpy": "numpy-slim"})["packages"] == {"numpy-slim": version("numpy")}


def test_a_module_without_a_record_is_there(monkeypatch):
    """A package that can be imported though no distribution owns it counts, unknown its version."""
    monkeypatch.setitem(sys.modules, "by_hand", types.ModuleType("by_hand"))
    assert facts({"by_hand": "dist"})["packages"] == {"dist": "unknown"}
    assert facts({"google.no_such": "dist"})["packages"] == {"dist": None}
    assert facts({"no_such.part": "dist"})["packages"] == {"dist": None}


def test_telling_takes_the_standard_library_only():
    """A machine that lacks packages can say so: telling imports none."""
    code = (
        "import sys, manyfit.ship.facts as f; f.facts({'numpy': 'numpy', 'rich': 'rich'}); "
        "print({'numpy', 'rich', 'cloudpickle', 'pyspark'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
