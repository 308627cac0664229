"""The protocol of a population of groups, which hides where their rows are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from manyfit.errors import ArgumentError
from manyfit.groups.job import GroupJob
from manyfit.groups.record.output import Output
from manyfit.groups.record.row import GroupRow, Schema, Table
from manyfit.groups.run.batch_runner import GroupBatch
from manyfit.trial import Params

# Stored params, by the text of the `shared_by` values.
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
    """Check that PySpark can pass columns to Python, for which it uses unquoted names.

    Raises:
        ArgumentError: The name of a column means something else when unquoted.
    """
    for name in columns:
        if "." in name or "`" in name:
            raise ArgumentError(
                f"Spark can't pass the column {name!r} to Python: rename it to something without "
                "dots and backticks (DataFrame.withColumnRenamed, or toDF for all of them)"
            )


class Runner(Protocol):
    """A slot that tunes one batch of groups after another, here or on a cluster."""

    @property
    def busy(self) -> bool:
        """Whether it has a batch that is not done."""

    def submit(self, batch: GroupBatch) -> None:
        """Begin a batch; returns before the process is up."""

    def poll(self) -> list[GroupRow]:
        """Return the rows of groups that ended since, in order, without waiting."""


class GroupKeys(Protocol):
    """The groups of a data set: their keys, and what tells whether their rows have changed."""

    @property
    def keys_schema(self) -> Schema:
        """The names and types of the key columns."""

    def count(self) -> int:
        """Return the number of groups."""

    def keys(self) -> Table:
        """Return one row per group, sorted by `keys.key_text`.

        Columns: the key columns, and other columns of `shared_by`. The keys of all groups are sent
        to the driver.
        """

    def sizes(self, keys: Table) -> Mapping[str, int]:
        """Return the number of rows of each of these groups that exists, by its text."""

    def digests(self) -> Table | None:
        """Return a digest of each group's rows (`resume.digests_of`).

        It is None if that would require reading all rows.
        """


class Population(GroupKeys, Protocol):
    """Groups that can be tuned: of a pandas or a Spark DataFrame, whole or in part."""

    @property
    def slots(self) -> int | None:
        """The number of groups tuned at once; None if unknown."""

    @property
    def remote(self) -> bool:
        """Whether groups are tuned on other machines."""

    def part(self, keys: Table) -> "Population":
        """Return the population of these groups only."""

    def without(self, keys: Table) -> "Population":
        """Return the population of all groups but these."""

    def run(self, job: GroupJob, points: Points | None = None) -> Iterator[Table]:
        """Tune every group; yields tables of rows (`row.row_schema`) as groups end.

        A failed group has a row, too. If the job has an output, rows are yielded after they have
        been written to it, without their models. Closing the iterator ends running groups.

        Args:
            job: What to do with every group.
            points: The exact points to try instead; see `GroupJob.at`. While the population is
                held, workers are kept between runs that differ only in these.

        Raises:
            ObjectiveError: The objective can't be sent to workers; nothing has run.
            ExecutorError: Workers can't be started, or the cluster is gone.
        """

    def written(self, output: Output) -> Table:
        """Check that rows can be written to an output; returns those this call has written.

        They have the columns of `row.row_schema`, without models.

        Raises:
            ArgumentError: The output contains something else.
            JournalError: The output can't be written.
        """

    def hold(self) -> None:
        """Keep the resources that make further runs cheap, until `close`."""

    def close(self) -> None:
        """Release these resources. Safe to call twice."""
