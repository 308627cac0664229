"""The seam between how groups are tuned and where their rows are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from manyfit.errors import ArgumentError
from manyfit.groups.job import GroupJob
from manyfit.groups.record.output import Output
from manyfit.groups.record.row import Schema, Table
from manyfit.trial import Params

# By the text of the `shared_by` values, stored params.
Points: TypeAlias = Mapping[str, Sequence[Params]]


def is_frame(data: object, package: str) -> bool:
    """Whether data are a DataFrame of a package, or of a subclass; does not import the package.

    Example:
        >>> is_frame([1, 2], "pandas")
        False
    """
    return any(
        each.__name__ == "DataFrame" and f"{each.__module__}.".startswith(f"{package}.")
        for each in type(data).__mro__
    )


def check_columns(have: Sequence[Any], wanted: Sequence[str]) -> None:
    """Check that a frame has some columns.

    Raises:
        ArgumentError: One is missing, or two columns have the same name.
    """
    for name in wanted:
        if name not in have:
            listed = ", ".join(map(str, have))
            raise ArgumentError(f"{name!r} is not a column of the data, which has {listed:.300}")
    if len(set(have)) < len(have):
        raise ArgumentError("the data have two columns of the same name")


def check_names(columns: Sequence[str]) -> None:
    """Check that PySpark can hand columns to Python, where it looks them up by unquoted names.

    Raises:
        ArgumentError: One has a name that means something else then.
    """
    for name in columns:
        if "." in name or "`" in name:
            raise ArgumentError(
                f"Spark can't hand the column {name!r} to Python: rename it to something without "
                "dots and backticks (DataFrame.withColumnRenamed, or toDF for all of them)"
            )


class GroupKeys(Protocol):
    """The groups of a data set: their keys, and what tells whether their rows have changed."""

    @property
    def keys_schema(self) -> Schema:
        """The names and types of the key columns."""

    def count(self) -> int:
        """Return how many groups there are."""

    def keys(self) -> Table:
        """Return a row a group, sorted by `keys.key_text`.

        Columns: the key columns, and those of `shared_by` that are none.
        All groups' keys come to the driver.
        """

    def sizes(self, keys: Table) -> Mapping[str, int]:
        """Return how many rows each of some groups has, by its text; those that are there."""

    def digests(self) -> Table | None:
        """Return a digest of each group's rows (`resume.digests_of`).

        None where that would take a pass over all of them.
        """


class Population(GroupKeys, Protocol):
    """Groups that can be tuned: of a pandas or a Spark DataFrame, whole or in part."""

    @property
    def slots(self) -> int | None:
        """How many groups are tuned at once; None if that isn't known."""

    def part(self, keys: Table) -> "Population":
        """Return the population of these groups only."""

    def without(self, keys: Table) -> "Population":
        """Return the population of all groups but these."""

    def run(self, job: GroupJob, points: Points | None = None) -> Iterator[Table]:
        """Tune every group; yields tables of rows (`row.row_schema`) as groups end.

        A group that fails is a row like the others. Where the job has an output, they are on it
        when they are yielded, and without their models. Closing the iterator ends what runs.

        Args:
            job: What is done with every group.
            points: What is tried instead, and nothing else: see `GroupJob.at`. Between runs that
                differ only in this, workers are kept while the population is held.

        Raises:
            ObjectiveError: The objective can't be sent to workers; nothing has run.
            ExecutorError: Workers can't be started, or the cluster is gone.
        """

    def written(self, output: Output) -> Table:
        """Make sure that rows can be written to an output; returns those this call has written.

        Without models, and with the columns of `row.row_schema`.

        Raises:
            ArgumentError: What is there already is something else.
            JournalError: It can't be written.
        """

    def hold(self) -> None:
        """Keep what makes further runs cheap, until `close`."""

    def close(self) -> None:
        """Release what is held. Safe to call twice."""
