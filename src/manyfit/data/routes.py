"""Chooses the route of shared data to the machines of a cluster."""

from dataclasses import dataclass
from typing import Literal

from manyfit.errors import ArgumentError

INLINE_LIMIT = 10_000_000  # bytes that may be sent with the work itself
BROADCAST_LIMIT = 1_000_000_000  # bytes; the driver and every executor hold a broadcast in memory


@dataclass(frozen=True)
class Route:
    """A route for shared data, with the reason in one line."""

    kind: Literal["inline", "broadcast", "storage"]
    reason: str


def choose_route(size: int, *, broadcast: bool, storage: str | None) -> Route:
    """Choose the cheapest route available for shared data.

    Args:
        size: The size of the shared data, in bytes; may be 0.
        broadcast: Whether the cluster can broadcast; through Spark Connect it can't.
        storage: A folder or URL that the driver and all workers can access; None if there is none.

    Raises:
        ArgumentError: The data are too large for every available route.

    Example:
        >>> choose_route(188_000_000, broadcast=False, storage="s3://bucket/tmp").reason
        '188.0 MB of shared data go through s3://bucket/tmp, since this cluster has no broadcast'
    """
    amount = f"{megabytes(size)} of shared data"
    if size <= INLINE_LIMIT:
        return Route("inline", f"{amount} travel with the work: {_at_most(INLINE_LIMIT)}")
    if broadcast and size <= BROADCAST_LIMIT:
        return Route(
            "broadcast", f"{amount} are broadcast to each machine: {_at_most(BROADCAST_LIMIT)}"
        )
    why = (
        f"they are more than the {megabytes(BROADCAST_LIMIT)} for a broadcast"
        if broadcast
        else "this cluster has no broadcast"
    )
    if storage is not None:
        return Route("storage", f"{amount} go through {storage}, since {why}")
    raise ArgumentError(
        f"{amount} need a place that the driver and all workers can access, since {why}. Give "
        "storage= a folder on a mounted volume or a URL such as s3://bucket/folder, or share a "
        "reference to data that is already in storage (such as manyfit.Parquet)"
    )


def megabytes(size: int) -> str:
    """Format a size in millions of bytes."""
    return f"{size / 1e6:.1f} MB"


def _at_most(limit: int) -> str:
    return f"they are at most {megabytes(limit)}"
