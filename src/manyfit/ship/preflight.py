"""Compares a worker with the driver before any trial: missing packages, other versions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from manyfit.ship.facts import facts
from manyfit.ship.listing import ShippingList

_HOW = (
    "install it on the workers: with %pip on Databricks, with an archive made by venv-pack or an "
    "image on YARN and Kubernetes, with pip on each machine elsewhere"
)


@dataclass(frozen=True)
class Findings:
    """The result of a comparison of a worker with the driver.

    Attributes:
        errors: Reasons why trials can't run there; each names both sides and says what to do.
        warnings: Differences that may not matter.
    """

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check(listing: ShippingList, facts_there: Mapping[str, Any], where: str) -> Findings:
    """Compare a worker with this process, the driver's.

    Differences that prevent an objective from being unpickled or started are errors: another minor
    version of Python or Manyfit, another implementation of Python, a missing package, a compiled
    module of the project. Another platform, other versions of packages, and a missing package whose
    import may never happen (`ShippingList.perhaps`) are warnings.

    Args:
        listing: What the objective needs.
        facts_there: The result of `facts(listing.imports)` on the worker.
        where: The worker's name in messages, such as its host.
    """
    here = facts(listing.imports)
    missing = [name for name in listing.packages if facts_there["packages"].get(name) is None]
    needed = [name for name in missing if name not in listing.perhaps]
    optional = [name for name in missing if name in listing.perhaps]
    errors = [*_python(here, facts_there, where), *_compiled(listing)]
    warnings = [*_machine(here, facts_there, where), *_other_versions(here, facts_there, where)]
    if needed:
        errors.append(
            f"{where} lacks {_listed(needed, listing)}, which the objective needs: {_HOW}"
        )
    if optional:
        warnings.append(
            f"{where} lacks {_listed(optional, listing)}, which the project imports in places that "
            f"may never run. If a trial fails there, {_HOW}"
        )
    return Findings(tuple(errors), tuple(warnings))


def _python(here: Mapping[str, Any], there: Mapping[str, Any], where: str) -> Iterator[str]:
    mine, its = (f"{side['implementation']} {side['python']}" for side in (here, there))
    if _minor(mine) != _minor(its):
        yield (
            f"{where} runs {its} and the driver {mine}: functions can't be sent between different "
            "minor versions. Give both the same, on Spark by PYSPARK_PYTHON and "
            "spark.pyspark.python"
        )
    if _minor(here["manyfit"]) != _minor(there["manyfit"]):
        yield (
            f"{where} has Manyfit {there['manyfit']} and the driver {here['manyfit']}: their minor "
            f"versions must be the same. Install manyfit=={here['manyfit']} on the workers"
        )


def _compiled(listing: ShippingList) -> Iterator[str]:
    for name, path in listing.compiled.items():
        if name not in listing.perhaps:
            yield (
                f"the project's module {name} is compiled ({path}), so it can't be sent to "
                "workers: install it there as a wheel, and name in ship= the modules to send"
            )


def _machine(here: Mapping[str, Any], there: Mapping[str, Any], where: str) -> Iterator[str]:
    mine, its = (f"{side['platform']} on {side['machine']}" for side in (here, there))
    if mine != its:
        yield (
            f"{where} runs {its} and the driver {mine}: results may differ in the last digits, and "
            "pickled objects of some packages can't be read"
        )
    if here["manyfit"] != there["manyfit"] and _minor(here["manyfit"]) == _minor(there["manyfit"]):
        yield f"{where} has Manyfit {there['manyfit']} and the driver {here['manyfit']}"


def _other_versions(here: Mapping[str, Any], there: Mapping[str, Any], where: str) -> Iterator[str]:
    others = [
        f"{name} {its} ({mine})"
        for name, mine in here["packages"].items()
        if mine and (its := there["packages"].get(name)) and _minor(its) != _minor(mine)
    ]
    if others:
        yield f"{where} has other versions than the driver (in brackets): {', '.join(others)}"


def _listed(names: list[str], listing: ShippingList) -> str:
    return ", ".join(f"{name} {listing.packages[name]}" for name in names)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
