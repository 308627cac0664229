"""The colours of the page can be read, on light and on dark paper, also by colour-blind readers."""

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest

from manyfit.plots.chart import COLOURS

STYLE = files("manyfit.reports").joinpath("style.css").read_text(encoding="utf-8")
LIGHT, DARK = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)[:2]
# What protanopes and deuteranopes see, by Viénot et al., "Digital video colourmaps for checking
# the legibility of displays by dichromats" (1999), in linear RGB.
BLIND = (
    np.array([[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.004, -0.004, 1.0]]),
    np.array([[0.2927, 0.7073, 0.0], [0.2927, 0.7073, 0.0], [-0.0223, 0.0223, 1.0]]),
)


def linear(colour):
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    values = np.array([int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """The ratio of WCAG 2."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("block", "dark"), [(LIGHT, False), (DARK, True)])
def test_contrast(block, dark):
    """Text has at least 4.5 to 1 with what is behind it, marks and outlines 3 to 1: WCAG 2, AA."""
    known = dict(re.findall(r"--(\w+): (#\w+)", block))
    for paper in ("paper", "card"):
        for text in ("ink", "soft", "link"):
            assert contrast(known[text], known[paper]) >= 4.5
        assert contrast(known["focus"], known[paper]) >= 3.0
    for pair in COLOURS.values():
        assert contrast(pair[dark], known["paper"]) >= 3.0


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("sight", BLIND)
def test_states_look_different(sight, dark):
    """Complete, pruned and failed trials differ for those who see no red or no green."""
    seen = [
        np.clip(sight @ linear(COLOURS[role][dark]), 0, 1) ** (1 / 2.4)
        for role in ("complete", "pruned", "failed")
    ]
    for one, other in itertools.combinations(seen, 2):
        assert np.abs(one - other).max() > 0.1
