"""From what a user passes as `sampler` to a sampler, and a line about it."""

import subprocess
import sys

import optuna
import pytest

from manyfit.errors import ArgumentError, SpaceError
from manyfit.metric import Metric
from manyfit.pruners.median import MedianPruner
from manyfit.samplers.auto import make_sampler
from manyfit.samplers.earlier import Earlier
from manyfit.samplers.gp import GPSampler
from manyfit.samplers.grid import GridSampler
from manyfit.samplers.optuna import OptunaSampler
from manyfit.samplers.quasirandom import QuasiRandomSampler
from manyfit.samplers.random import RandomSampler
from manyfit.space import Float, Int, Space

SMALL = Space({"n": Int(1, 12)})
LARGE = Space({"x": Float(0, 1)})
LOSS = Metric("loss")


class Own:
    def tell(self, trial):
        pass

    def ask(self, number):
        return {"n": 1}


@pytest.mark.parametrize(
    ("given", "kind", "line"),
    [
        (
            "auto",
            GPSampler,
            "auto chose a Gaussian process (gp): each trial where the trials so far promise most",
        ),
        ("gp", GPSampler, "a Gaussian process (gp): each trial where"),
        ("grid", GridSampler, "grid: each of the 12 configurations once"),
        (
            "quasirandom",
            QuasiRandomSampler,
            "quasirandom: Sobol points, which fill the space evenly",
        ),
        ("random", RandomSampler, "random: each trial is drawn on its own"),
        ("tpe", OptunaSampler, "TPE: learns from the trials so far where good ones lie, after 10"),
        (optuna.samplers.RandomSampler(), OptunaSampler, "RandomSampler: Optuna's, as given"),
        (Own(), Own, "Own: as given"),
    ],
)
def test_words_and_objects(given, kind, line):
    """Each word, Optuna's samplers, and anything with tell and ask become samplers."""
    sampler, said = make_sampler(given, SMALL, LOSS, seed=0)

    assert isinstance(sampler, kind)
    assert said.startswith(line)
    assert SMALL.contains(sampler.ask(0))


def test_auto_mentions_the_grid_where_it_is_small():
    """A space of a few configurations is worth a word, one of one or infinitely many not."""
    assert make_sampler("auto", SMALL, LOSS, 0)[1].endswith(
        "The space has 12 configurations: sampler='grid' tries each"
    )
    assert "grid" not in make_sampler("auto", LARGE, LOSS, 0)[1]
    assert "grid" not in make_sampler("auto", Space({"n": Int(1, 10**6)}), LOSS, 0)[1]
    assert "grid" not in make_sampler("auto", Space({"fixed": 1}), LOSS, 0)[1]


def test_auto_leaves_very_many_params_to_tpe():
    """A Gaussian process of hundreds of params would take longer than it saves."""
    many = Space({f"x{i}": Float(0, 1) for i in range(101)})

    assert make_sampler("auto", many, LOSS, 0)[1].startswith("auto chose TPE")


@pytest.mark.parametrize("given", ["random", "tpe", Own(), optuna.samplers.RandomSampler()])
def test_only_a_gaussian_process_learns_from_earlier_studies(given):
    """A sampler that can't use them is refused before anything runs."""
    with pytest.raises(ArgumentError, match="prior_from needs a sampler that can learn"):
        make_sampler(given, SMALL, LOSS, 0, [Earlier([{"n": 1}], [0.5])])


def test_unknown_words():
    """The error lists the words there are."""
    with pytest.raises(ArgumentError) as caught:
        make_sampler("bayes", SMALL, LOSS, 0)

    assert str(caught.value) == (
        "sampler must be one of 'auto', 'gp', 'grid', 'nearby', 'quasirandom', 'random', 'tpe', "
        "but got 'bayes'"
    )


def test_classes_are_no_samplers():
    """Forgotten parentheses are pointed out."""
    with pytest.raises(ArgumentError, match="an instance, but got the class TPESampler: call it"):
        make_sampler(optuna.samplers.TPESampler, SMALL, LOSS, 0)


@pytest.mark.parametrize("given", [None, 3, object(), ["random"], MedianPruner()])
def test_anything_else(given):
    """What is no sampler is refused, and shown."""
    with pytest.raises(ArgumentError, match="with the methods tell and ask, but got"):
        make_sampler(given, SMALL, LOSS, 0)


def test_a_grid_needs_an_end():
    """Grid search over an infinite space is refused at once."""
    with pytest.raises(SpaceError, match="x may be any number"):
        make_sampler("grid", LARGE, LOSS, 0)


def test_light_samplers_load_nothing_heavy():
    """Random and grid search, and a sampler of one's own, import neither optuna nor scipy."""
    code = """
import sys
from manyfit.metric import Metric
from manyfit.samplers.auto import make_sampler
from manyfit.space import Int, Space
class Own:
    def tell(self, trial): ...
    def ask(self, number): ...
for given in ("random", "grid", Own()):
    make_sampler(given, Space({"n": Int(1, 2)}), Metric("loss"), 0)
print([name for name in ("optuna", "scipy", "mlflow", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
