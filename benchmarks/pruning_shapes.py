"""Made-up learning curves for benchmarks/pruning.py: what a pruner may meet, and the worst."""

from collections.abc import Iterator

import numpy as np

_POOL = 1000
_STEPS = 51


def shapes(seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and curves; each curve leads to a loss that is drawn from a bell on (0, 1)."""
    rng = np.random.default_rng(seed)
    end = rng.beta(2, 2, (_POOL, 1))
    time = np.linspace(0, 1, _STEPS)
    for steps in (1, 2, 3, 5, 51, 300):
        yield f"power law of {steps}", _power_law(rng, end, steps)
    for noise in (0.05, 0.2):
        curves = _power_law(rng, end, _STEPS)
        yield f"noise of {noise}", curves + rng.normal(0, noise, curves.shape)
    small = rng.normal(0, 0.005, (_POOL, _STEPS))
    fall = 1.5 - end
    yield "the better, the slower", end + fall * np.exp(-time * (1 + 12 * end)) + small
    pace = np.exp(rng.uniform(0, 3, (_POOL, 1)))
    yield "pace of its own", end + fall * np.exp(-time * pace) + small
    hump = (rng.random((_POOL, 1)) < 0.5) * (1 - end) * np.exp(-(((time - 0.15) / 0.1) ** 2))
    yield "half rise first", end + (1.2 - end) * np.exp(-5 * time) + hump + small
    worse = rng.random((_POOL, 1)) * (1 - end) * time**2
    yield "overfitting", end + fall * np.exp(-8 * time) + worse + small
    for latest in (0.3, 0.6):
        drop = rng.uniform(0.02, latest, (_POOL, 1))
        sudden = 1 - (1 - end) / (1 + np.exp(-(time - drop) / 0.03))
        yield f"sudden, by {latest:.0%}", sudden + small
    flat = np.repeat(1 + rng.random((_POOL, 1)), _STEPS - 1, axis=1)
    yield "no relation", np.concatenate([flat, end], axis=1)
    yield "all alike", np.ones((_POOL, _STEPS))


def _power_law(rng: np.random.Generator, end: np.ndarray, steps: int) -> np.ndarray:
    speed = rng.uniform(0.3, 1.5, (_POOL, 1))
    curves = end + (1.5 - end) * np.arange(1, steps + 1) ** -speed
    return curves + rng.normal(0, 0.005, curves.shape)
