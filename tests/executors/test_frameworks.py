"""Worker processes with what they are for: notebooks, Keras, TensorFlow."""

import importlib.util
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from manyfit.executors.processes import ProcessExecutor
from manyfit.testing.rig import Rig
from manyfit.worker.work import Task

pytestmark = pytest.mark.integration


def values(objective, folder, seeds):
    """Run the objective once for each seed, one after another in one worker."""
    run = Rig(ProcessExecutor(1), objective, folder)
    try:
        for number, seed in enumerate(seeds):
            run.executor.submit(Task(number, 1, {"x": 0.0, "act": "math.sin"}, seed))
            run.end_of(number)
        return [run.of(number)[-1].metrics for number in range(len(seeds))]
    finally:
        run.executor.close()


def test_keras_is_seeded_and_tensorflow_not_imported_for_it(tmp_path, monkeypatch):
    """A model's initial weights follow the seed, with Keras imported in the objective or before."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")

    def objective(params):
        import keras

        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        weight = float(model.layers[0].kernel[0, 0])
        return {"loss": weight, "tensorflow": float("tensorflow" in sys.modules)}

    first, second, again = values(objective, tmp_path, [1, 2, 1])
    assert first == again
    assert first["loss"] != second["loss"]
    assert first["tensorflow"] == 0.0


@pytest.mark.soak("tensorflow")
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="no TensorFlow here")
def test_tensorflow_is_seeded(tmp_path):
    """TensorFlow draws the same for the same seed, from the trial that imports it on."""

    def objective(params):
        import tensorflow

        return float(tensorflow.random.uniform(()))

    first, second, again = values(objective, tmp_path, [1, 2, 1])
    assert first == again != second


NOTEBOOK = """
from pathlib import Path
from manyfit.executors.processes import ProcessExecutor
from manyfit.testing.rig import Rig
from manyfit.worker.context import report

FACTOR = 10

def train(params):
    print("in the worker")
    report(0, loss=1.0)
    return FACTOR * params["x"]

run = Rig(ProcessExecutor(1), train, Path.cwd())
end = run.run(x=0.5)
run.executor.close()
print(end.metrics, run.log())
"""


def test_an_objective_of_a_notebook(tmp_path):
    """What a notebook defines is sent as it stands in the notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    assert notebook.cells[0].outputs[0].text == "{'loss': 5.0} in the worker\n\n"
