"""Every sampler keeps the contract."""

import warnings

import optuna

from manyfit.samplers.auto import make_sampler
from manyfit.samplers.gp import GPSampler
from manyfit.samplers.grid import GridSampler
from manyfit.samplers.quasirandom import QuasiRandomSampler
from manyfit.samplers.random import RandomSampler
from manyfit.testing.samplers import SPACES, SamplerContract


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
    """Optuna's."""

    def make_sampler(self, space, metric, seed):
        """Make it."""
        return make_sampler("tpe", space, metric, seed)[0]


class GivenOptunaSampler(SamplerContract):
    """A sampler a user made: its random state is its own."""

    resumes_exactly = False

    def optuna_sampler(self, seed):
        """Return the user's instance."""
        raise NotImplementedError

    def make_sampler(self, space, metric, seed):
        """Wrap it."""
        return make_sampler(self.optuna_sampler(seed), space, metric, seed)[0]


class TestOptunaRandom(GivenOptunaSampler):
    """Optuna's random search."""

    def optuna_sampler(self, seed):
        """Seed it."""
        return optuna.samplers.RandomSampler(seed=seed)


class TestOptunaTpe(GivenOptunaSampler):
    """A TPE with settings of the user's own."""

    def optuna_sampler(self, seed):
        """Seed it."""
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=False)


class TestOptunaCmaEs(GivenOptunaSampler):
    """Evolution, of the numbers in a space."""

    def optuna_sampler(self, seed):
        """Seed it."""
        return optuna.samplers.CmaEsSampler(
            seed=seed, n_startup_trials=5, warn_independent_sampling=False
        )


class TestOptunaQmc(GivenOptunaSampler):
    """Optuna's quasi-random search."""

    def optuna_sampler(self, seed):
        """Seed it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.QMCSampler(seed=seed, warn_independent_sampling=False)
