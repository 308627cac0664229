"""Which way shared data takes to the machines of a cluster, and why."""

from dataclasses import dataclass
from typing import Literal

from manyfit.errors import ArgumentError

INLINE_LIMIT = 10_000_000  # bytes; sent with the work itself
BROADCAST_LIMIT = 1_000_000_000  # bytes; the driver and every executor hold a broadcast in memory


@dataclass(frozen=True)
class Route:
    """A way for shared data, with the reason for people."""

    kind: Literal["inline", "broadcast", "storage"]
    reason: str


def choose_route(size: int, *, broadcast: bool, storage: str | None) -> Route:
    """Choose the cheapest way that exists for shared data.

    Args:
        size: Bytes of the shared data; 0 is fine.
        broadcast: Whether the cluster can broadcast; through Spark Connect it can't.
        storage: A folder or URL that the driver and all workers see; None when there is none.

    Raises:
        ArgumentError: It is too large for every way that exists.

    Example:
        >>> choose_route(188_000_000, broadcast=False, storage="s3://bucket/tmp").reason
        '188.0 MB of shared data go through s3://bucket/tmp, since this cluster has no broadcast'
    """
    amount = f"{megabytes(size)} of shared data"
    if size <= INLINE_LIMIT:
        return Route("inline", f"{amount} travel with the work: {_at_most(INLINE_LIMIT)}")
    if broadcast and size <= BROADCAST_LIMIT:
        return Route("broadcast", f"{amount} are broadcast by Spark: {_at_most(BROADCAST_LIMIT)}")
    why = (
        f"they are more than the {megabytes(BROADCAST_LIMIT)} for a broadcast"
        if broadcast
        else "this cluster has no broadcast"
    )
    if storage is not None:
        return Route("storage", f"{amount} go through {storage}, since {why}")
    raise ArgumentError(
        f"{amount} need a place that the driver and all workers see, since {why}. Give "
        "storage= a folder on a mounted volume or a URL such as s3://bucket/folder, or share a "
        "reference to data that lies in storage already (manyfit.Parquet, for one)"
    )


def megabytes(size: int) -> str:
    """Return a size for people, in millions of bytes."""
    return f"{size / 1e6:.1f} MB"


def _at_most(limit: int) -> str:
    return f"they are at most {megabytes(limit)}"
