"""Samplers side by side: see README.md."""

import os

# Before NumPy comes in: a sampler's CPU seconds are to be those of one thread.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
