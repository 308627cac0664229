"""The acquisition function, expected improvement, and the search for its maximum."""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import erfcx, ndtr

from manyfit.samplers.cube import Array, Cube, Rows

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
# The number of best rows that get neighbours, and the number of rounds, each closer to them.
_INCUMBENTS = 8
_ROUNDS = 5


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Return the logarithm of the expected improvement on a loss; it is always finite.

    Ament et al., "Unexpected improvements to expected improvement for Bayesian optimization"
    (2023), equations 8 and 9, for minimisation: log(σ) + log h(z) with z = (best - μ) / σ and
    h(z) = φ(z) + z Φ(z).
    """
    return np.asarray(np.log(deviation) + _log_h((best - mean) / deviation))


def log_augmentation(deviation: Array, noise: float) -> Array:
    """Return the logarithm of the factor by which noise lessens what one more trial teaches.

    It is 1 - √(v / (σ² + v)) with the noise's variance v (Huang et al., "Global optimization of
    stochastic black-box systems via sequential kriging meta-models", 2006, equation 12). Expected
    improvement alone repeats the best configuration again and again if the model takes a jump
    near it for noise.
    """
    share = deviation**2 / (deviation**2 + noise)
    return np.asarray(np.log(share) - np.log1p(np.sqrt(1.0 - share)))


def _log_h(z: Array) -> Array:
    """Return log(φ(z) + z Φ(z))."""
    near, far = np.maximum(z, -1.0), np.minimum(z, -1.0)
    plain = np.log(np.exp(-0.5 * near * near - _LOG_SQRT_2PI) + near * ndtr(near))
    # φ(z) times 1 + z √(π/2) erfcx(-z/√2). For z below -1e3 the second factor is about z⁻²: there
    # the difference of two numbers near 1 has no digits left.
    ratio = 1.0 + far * math.sqrt(math.pi / 2.0) * erfcx(-far / math.sqrt(2.0))
    tail = np.where(far < -1e3, -2.0 * np.log(-far), np.log(np.maximum(ratio, 1e-15)))
    return np.where(z > -1.0, plain, -0.5 * far * far - _LOG_SQRT_2PI + tail)


def candidates(
    cube: Cube,
    score: Callable[[Rows], Array],
    anywhere: Rows,
    incumbents: Rows,
    rng: np.random.Generator,
) -> Rows:
    """Return configurations, the highest score first, found by a search that narrows each round.

    Args:
        cube: The space, as rows.
        score: The function to maximise.
        anywhere: Configurations from all over the space.
        incumbents: Configurations tried so far, best first; the search starts near these.
        rng: The source of randomness.
    """
    count = len(anywhere) // 2
    rows = np.concatenate([anywhere, cube.neighbours(incumbents[:_INCUMBENTS], count, 0.15, rng)])
    scores = score(rows)
    for round_ in range(_ROUNDS):
        best = rows[np.argsort(-scores, kind="stable")[:_INCUMBENTS]]
        near = cube.neighbours(best, count // 2, 0.1 * 0.4**round_, rng)
        rows = np.concatenate([rows, near])
        scores = np.concatenate([scores, score(near)])
    return rows[np.argsort(-scores, kind="stable")]
