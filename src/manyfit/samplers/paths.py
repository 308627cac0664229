"""Functions drawn from a Gaussian process that is conditioned on trials.

A property of the function, such as a variance, is computed for each of many such functions; its
spread shows how well the trials determine it. A function is drawn by pathwise conditioning (Wilson
et al., "Efficiently sampling functions from Gaussian process posteriors", 2020, equation 12)::

    f(x) = p(x) + k(x, X) (K + σ² I)⁻¹ (y - p(X) - ε)

with a function p from the prior and noise ε. p is a sum of random Fourier features (Rahimi and
Recht, "Random features for large-scale kernel machines", 2007), whose frequencies follow the
spectral density of the Matérn function with ν = 5/2: Student's t with 5 degrees of freedom (GPML
equation 4.15).

Hyperparameters are drawn, too, from the normal distribution around the most probable ones that has
the curvature of the posterior density there (Laplace's approximation; GPML section 3.4).
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import numpy as np

from manyfit.samplers.cube import Array, Points
from manyfit.samplers.surrogate import (
    Prior,
    Theta,
    effects_of_choices,
    fit,
    inverted,
    kernel,
    negative_log_posterior,
    scaled,
)

# A function that returns one column of values for each function drawn: (points, functions).
Path: TypeAlias = Callable[[Points], Array]

# Features for the joint part of the kernel, and for each number in the additive part.
_JOINT, _EACH = 512, 64
# The step in the logs of hyperparameters for the finite differences of the gradient.
_STEP = 1e-3


def draw_thetas(points: Points, losses: Array, count: int, rng: np.random.Generator) -> list[Theta]:
    """Return hyperparameters: the most probable ones, then `count - 1` others from around them.

    Args:
        points: n configurations without trends.
        losses: Their losses, standardised, shape (n,).
        count: The number to return.
        rng: The source of randomness.
    """
    best = fit(points, losses)
    means, deviations = Prior().moments(points.dimensions)
    slope = negative_log_posterior(points, losses, means, deviations)
    steps = _STEP * np.eye(len(means))
    hessian = np.array(
        [slope(best.logs + step)[1] - slope(best.logs - step)[1] for step in steps]
    ) / (2 * _STEP)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    # The prior alone gives a curvature of 1 / deviation²: less is rounding, or a bound's doing.
    spread = vectors / np.sqrt(np.maximum(values, 1.0 / deviations.max() ** 2))
    drawn = best.logs + rng.standard_normal((count - 1, len(means))) @ spread.T
    inside = np.clip(drawn, means - 4.0 * deviations, means + 4.0 * deviations)
    return [best, *map(Theta, inside)]


def draw_paths(
    theta: Theta, points: Points, losses: Array, count: int, rng: np.random.Generator
) -> Path:
    """Return `count` functions drawn from the process that is conditioned on losses.

    Args:
        theta: Hyperparameters.
        points: n configurations without trends.
        losses: Their losses, standardised, shape (n,).
        count: The number of functions.
        rng: The source of randomness.
    """
    _, _, noise = theta.variances
    features = _features(theta, points, rng)
    known = features(points)
    weights = rng.standard_normal((known.shape[1], count))
    noises = math.sqrt(noise) * rng.standard_normal((len(points), count))
    _, inverse = inverted(kernel(theta, points, points) + noise * np.eye(len(points)))
    alpha = inverse @ (losses[:, None] - known @ weights - noises)

    def path(others: Points) -> Array:
        return np.asarray(features(others) @ weights + kernel(theta, others, points) @ alpha)

    return path


def _features(theta: Theta, like: Points, rng: np.random.Generator) -> Path:
    """Return a function to features, whose dot products approximate the kernel."""
    additive, joint, _ = theta.variances
    wide = scaled(theta, like[:0]).shape[1]
    directions = _frequencies(rng, wide, _JOINT) / math.sqrt(like.typical)
    turns = rng.uniform(0.0, 2.0 * math.pi, _JOINT)
    alone = list(_features_of_each(theta, like, rng))

    def features(points: Points) -> Array:
        together = np.cos(scaled(theta, points) @ directions + turns)
        apart = [math.sqrt(additive / like.typical) * of(points) for of in alone]
        return np.hstack([*apart, math.sqrt(2.0 * joint / _JOINT) * together])

    return features


def _features_of_each(theta: Theta, like: Points, rng: np.random.Generator) -> Iterator[Path]:
    numbers = like.numbers.shape[1]
    for column, length in enumerate(theta.lengths[:numbers]):
        frequencies = _frequencies(rng, 1, _EACH) / length
        turns = rng.uniform(0.0, 2.0 * math.pi, _EACH)

        def of_number(
            points: Points, column: int = column, waves: Array = frequencies, turns: Array = turns
        ) -> Array:
            active = points.active[:, column, None] * math.sqrt(2.0 / _EACH)
            return np.asarray(active * np.cos(points.numbers[:, column, None] @ waves + turns))

        yield of_number
    yield partial(effects_of_choices, theta)


def _frequencies(rng: np.random.Generator, dimensions: int, count: int) -> Array:
    """Return frequencies of the Matérn function, shape (dimensions, count)."""
    normal = rng.standard_normal((dimensions, count))
    return np.asarray(normal / np.sqrt(rng.chisquare(5.0, count) / 5.0))
