"""Every sampler keeps the contract."""

import warnings

import optuna
import pytest

from manyfit.samplers.auto import make_sampler
from manyfit.samplers.gp import GPSampler
from manyfit.samplers.grid import GridSampler
from manyfit.samplers.quasirandom import QuasiRandomSampler
from manyfit.samplers.random import RandomSampler
from manyfit.testing.samplers import (
    INFINITE,
    LOSS,
    SPACES,
    SamplerContract,
    proposals,
    rehearse,
)

MIXED = {name: {**SPACES, **INFINITE}[name] for name in ("options", "branches", "reals")}


class TestRandomSampler(SamplerContract):
    """Each trial on its own."""

    def make_sampler(self, space, metric, seed):
        """Make it."""
        return RandomSampler(space, seed)


class TestQuasiRandomSampler(SamplerContract):
    """Sobol points."""

    def make_sampler(self, space, metric, seed):
        """Make it."""
        return QuasiRandomSampler(space, seed)


class TestGridSampler(SamplerContract):
    """Everything once, in order."""

    spaces = SPACES
    seeded = False

    def make_sampler(self, space, metric, seed):
        """Make it."""
        return GridSampler(space, seed)


class TestGP(SamplerContract):
    """A Gaussian process."""

    def make_sampler(self, space, metric, seed):
        """Make it."""
        return GPSampler(space, metric, seed)


class TestTpe(SamplerContract):
    """Optuna's, on spaces that have every kind of param between them."""

    spaces = MIXED

    def make_sampler(self, space, metric, seed):
        """Make it."""
        return make_sampler("tpe", space, metric, seed)[0]


class TestOptunaCmaEs(SamplerContract):
    """A sampler a user made, which keeps a random state of its own: evolution, of numbers."""

    resumes_exactly = False

    def make_sampler(self, space, metric, seed):
        """Wrap it."""
        evolution = optuna.samplers.CmaEsSampler(
            seed=seed, n_startup_trials=5, warn_independent_sampling=False
        )
        return make_sampler(evolution, space, metric, seed)[0]


def own_tpe(seed):
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=False)


def quasirandom(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.QMCSampler(seed=seed, warn_independent_sampling=False)


@pytest.mark.parametrize("make", [optuna.samplers.RandomSampler, own_tpe, quasirandom])
def test_other_samplers_of_optunas(make):
    """Seeded alike they give the same study, of points in the space, however its trials end."""
    for name, space in {**SPACES, **INFINITE}.items():
        samplers = [make_sampler(make(seed=7), space, LOSS, 7)[0] for _ in range(2)]
        one, other = (rehearse(sampler, space, 20) for sampler in samplers)

        assert one == other, name
        assert len({space.key(params) for params in proposals(one)}) >= 10, name
        for params in proposals(one):
            space.check(params)
