"""The end of `manyfit show NAME`: how to reproduce what is on record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manyfit.cli.page import Page
from manyfit.reports.recorded import listed, told

# The packages that usually decide the result; others are left out.
_TELLING = (
    *("manyfit", "numpy", "scipy", "pandas", "scikit-learn", "xgboost", "xgboost-cpu", "lightgbm"),
    *(
        "catboost",
        "keras",
        "tensorflow",
        "torch",
        "jax",
        "transformers",
        "pyspark",
        "optuna",
        "mlflow",
    ),
)
_SHA = 12


def show_record(page: Page, folder: Path) -> None:
    """Print how a study or a call was made: its seed, code, data, packages and machine."""
    page.say("\nHow to reproduce:")
    found = dict(told(folder))
    width = max(map(len, found))
    for title, each in found.items():
        page.say(f"  {title:<{width}}  {each if isinstance(each, str) else _brief(title, each)}")


def record_of(folder: Path) -> dict[str, Any]:
    """Return all that `show_record` prints, for JSON."""
    return dict(told(folder))


def _brief(title: str, items: Mapping[str, str]) -> str:
    if title == "packages":
        telling = {name: items[name] for name in _TELLING if name in items}
        rest = len(items) - len(telling)
        return f"{listed(telling)}{', and' if telling else ''} {rest} more: --json has them"
    return listed({name: text[:_SHA] if name == "sha256" else text for name, text in items.items()})
