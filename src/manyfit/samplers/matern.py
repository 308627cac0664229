"""The Matérn function with ν = 5/2, from which the kernels of Gaussian processes are made."""

import math

import numpy as np

from manyfit.samplers.cube import Array

SQRT5 = math.sqrt(5.0)


def matern(a: Array) -> Array:
    """Return the function of a = √5 r, whose memory it uses (GPML equation 4.17).

    GPML is Rasmussen & Williams, "Gaussian processes for machine learning" (2006).
    """
    decay = np.exp(-a)
    a += a * a / 3.0
    a += 1.0
    a *= decay
    return a
