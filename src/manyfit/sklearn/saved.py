"""What sharing fronts has saved: reported fold by fold, and summed up for a search."""

from collections.abc import Iterable
from typing import Any

from manyfit.front_plan import Savings
from manyfit.sklearn.fitted_store import Tally
from manyfit.trial import Trial

_REUSED, _KEPT, _SECONDS, _BYTES = "fronts_reused", "fronts_kept", "seconds_saved", "fronts_bytes"


def saved_by(fits: Any, fold: int) -> dict[str, float]:
    """Return metrics of what the latest fit saved, once; those that are 0 are left out."""
    tally = getattr(fits, "tally", None)
    if tally is None:
        return {}
    fits.tally = Tally()
    values = {
        _REUSED: tally.reused,
        _KEPT: tally.kept,
        _SECONDS: tally.seconds,
        _BYTES: tally.most_bytes,
    }
    return {f"split{fold}_{name}": float(value) for name, value in values.items() if value}


def savings_of(trials: Iterable[Trial], budget: int) -> Savings:
    """Return what trials have saved on all machines; `most_bytes` is that of one machine.

    Args:
        trials: The trials of a search.
        budget: The bytes allowed on each machine.
    """
    found: dict[str, list[float]] = {}
    for trial in trials:
        for measurement in trial.measurements:
            for key, value in measurement.metrics.items():
                found.setdefault(key.partition("_")[2], []).append(value)
    return Savings(
        hits=int(sum(found.get(_REUSED, ()))),
        made=int(sum(found.get(_KEPT, ()))),
        seconds=sum(found.get(_SECONDS, ())),
        most_bytes=int(max(found.get(_BYTES, ()), default=0)),
        budget=budget,
    )
