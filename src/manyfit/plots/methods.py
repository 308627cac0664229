"""The pictures of a study's result, as methods."""

from typing import Any, Protocol

from manyfit.errors import ArgumentError
from manyfit.plots import measures, params, study, work
from manyfit.plots.figure import figure
from manyfit.plots.study import Studied


class Weighed(Studied, Protocol):
    """A study whose params are weighed."""

    def importances(self) -> measures.Importances:
        """Return how much each param matters."""


class StudyPictures:
    """Pictures of a study, as plotly figures; each raises MissingExtraError without plotly.

    Repeats and trials outside the space are left out.
    """

    def plot_history(self: Studied) -> Any:
        """Return a figure of all values by trial, and the best so far."""
        return figure(study.history(self))

    def plot_curves(self: Studied) -> Any:
        """Return a figure of what trials reported of the tuned metric, step by step."""
        return figure(study.curves(self))

    def plot_importances(self: Weighed) -> Any:
        """Return a figure of how much each param matters, with 95 % intervals: `importances`."""
        return figure(measures.importances(self, self.importances().params))

    def plot_slices(self: Studied, *names: str) -> Any:
        """Return a figure of the values over each param, with the model's mean and 95 % band.

        The model is a Gaussian process of the trials, from eight completed ones on. Its line is a
        slice through the best trial.

        Args:
            names: The params; by default all; at most twelve are drawn.

        Raises:
            ArgumentError: There is no such param.
        """
        return figure(params.slices(self, params.model_of(self), _chosen(self, names)))

    def plot_contour(self: Studied, *names: str) -> Any:
        """Return a figure of the model's mean over two numeric params, others as in the best trial.

        Args:
            names: The two params; by default the first two.

        Raises:
            ArgumentError: There is no such param.
        """
        return figure(params.contour(self, params.model_of(self), _chosen(self, names)))

    def plot_parallel(self: Studied, *names: str) -> Any:
        """Return a figure with a line for each completed trial across its params.

        Args:
            names: The params; by default all; at most twelve are drawn.

        Raises:
            ArgumentError: There is no such param.
        """
        return figure(params.parallel(self, _chosen(self, names)))

    def plot_correlation(self: Studied) -> Any:
        """Return a figure of the rank correlations of the metrics of completed trials."""
        return figure(measures.correlation(self))

    def plot_durations(self: Studied) -> Any:
        """Return a figure of the distribution of how long trials took, by how they ended."""
        return figure(work.durations(self))

    def plot_timeline(self: Studied) -> Any:
        """Return a figure of which trial ran when on which slot; gaps are idle time."""
        return figure(work.timeline(self))

    def plot_failures(self: Studied) -> Any:
        """Return a figure of where in the space trials failed."""
        return figure(params.failures(self))


def _chosen(result: Studied, names: tuple[str, ...]) -> list[str]:
    unknown = [name for name in names if name not in result.space.params]
    if unknown:
        known = ", ".join(result.space.params) or "none"
        raise ArgumentError(f"there is no param {unknown[0]!r}: the space has {known}")
    return list(names) or list(result.space.params)
