"""The plot of a comparison: mean regret by finished trials, with bands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.search.figures import Setting, Shared, interval

# Ours stand out; the peers keep their colours whatever is shown.
_COLOURS = {
    "manyfit": "#d1495b",
    "manyfit-gp": "#edae49",
    "manyfit-tpe": "#a26769",
    "optuna-tpe": "#00798c",
    "hyperopt-tpe": "#30638e",
    "optuna-gp": "#003d5b",
    "smac": "#7a9e7e",
    "random": "#9a9a9a",
}


def draw(shown: Sequence[tuple[Setting, Shared]], path: Path) -> None:
    """Draw a panel for each setting that was run, as an SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "manyfit", "svg.fonttype": "none", "font.size": 9})
    import matplotlib.pyplot as plt

    columns = len({setting.in_flight for setting, _ in shown})
    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(4.8 * columns, 3.4 * rows),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for axis, (setting, shared) in zip(axes.flat, shown, strict=False):
        _panel(axis, setting, shared)
    axes.flat[0].legend(frameon=False, fontsize=8)
    for axis in axes.flat[len(shown) :]:
        axis.remove()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _panel(axis: Any, setting: Setting, shared: Shared) -> None:
    for name, regrets in shared.regrets.items():
        trials = np.arange(1, regrets.shape[1] + 1)
        places = np.unique(np.geomspace(4, len(trials), 60).round().astype(int)) - 1
        low, high = interval(regrets[:, places])
        colour, width = _COLOURS[name], 2.0 if name.startswith("manyfit") else 1.2
        means = regrets[:, places].mean(axis=0)
        axis.plot(trials[places], means, color=colour, label=name, linewidth=width)
        axis.fill_between(trials[places], low, high, color=colour, alpha=0.12, linewidth=0)
    axis.set(yscale="log", xlabel="finished trials", ylabel="mean regret")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:.2g}")
    axis.set_title(
        f"{setting.n_trials} trials, {setting.in_flight} in flight ({len(shared.cells)} pairs)"
    )
    axis.grid(visible=True, which="both", linewidth=0.3, alpha=0.5)
