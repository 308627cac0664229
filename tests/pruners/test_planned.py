"""How lengths follow from params."""

from collections.abc import Callable, Iterable, Mapping
from math import ceil
from typing import Any

import pytest

from manyfit.pruners.planned import PlannedLengths
from manyfit.trial import Attempt, Finished, Measurement, Trial

Params = Mapping[str, Any]


def completed(params: Params, length: int) -> Trial:
    """Return a complete trial that reported at its last step only."""
    measurements = (Measurement(length - 1, {"loss": 0.5}, 0.0),)
    return Trial(0, params, attempts=(Attempt(1, "a", 0.0, measurements, end=Finished(0.5, {})),))


def learned(drawn: Iterable[Params], length: Callable[[Params], int]) -> PlannedLengths:
    """Learn from trials whose length is a function of their params."""
    planned = PlannedLengths()
    for params in drawn:
        planned.end(completed(params, length(params)))
    return planned


def drawn(count: int) -> list[dict[str, Any]]:
    """Return params of some trials, of which most have nothing to do with lengths."""
    return [
        {
            "lr": 0.1 / 7 ** (number % 5),
            "optimizer": ["sgd", "adam"][number % 2],
            "nesterov": number % 3 == 0,
            "epochs": 9 + 31 * number % 42,
            "batch": 16 + 53 * number % 113,
            "unit": ["epochs", "rows"][number // 2 % 2],
            "plan": ["short", "long"][number // 3 % 2],
        }
        for number in range(count)
    ]


LENGTHS: dict[str, tuple[int, Callable[[Params], int]]] = {
    "epochs": (3, lambda params: params["epochs"]),
    "a report in five epochs, of which the first counts 5": (3, lambda p: 5 * p["epochs"] + 1),
    "batches of a fixed number of epochs": (4, lambda params: ceil(30_000 / params["batch"])),
    "rows or epochs": (7, lambda p: p["epochs"] * (1000 if p["unit"] == "rows" else 1)),
    "an option": (7, lambda params: 10 if params["plan"] == "short" else 50),
    "batches": (7, lambda params: params["epochs"] * ceil(5000 / params["batch"])),
    "rounds": (8, lambda params: params["epochs"] * params["batch"]),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_is_predicted(name: str) -> None:
    """After some trials, the lengths of all others are known to a tenth."""
    count, length = LENGTHS[name]
    planned = learned(drawn(count), length)

    assert planned.rule is not None
    for params in drawn(40):
        assert planned.rule.length(params) == pytest.approx(length(params), rel=0.1)


def test_two_trials_show_no_rule() -> None:
    """Two lengths that are proportional to a param may be so by chance."""
    assert learned(drawn(2), LENGTHS["epochs"][1]).rule is None


def test_lengths_of_their_own() -> None:
    """Lengths that have nothing to do with params are explained by none."""
    lengths = iter([9, 14, 50, 23, 11, 31, 44, 17, 28, 12, 39, 20])

    assert learned(drawn(12), lambda _: next(lengths)).rule is None


def test_a_contradiction() -> None:
    """A trial that was stopped early leaves no rule, even if the next trials would fit again."""
    planned = learned(drawn(6), LENGTHS["epochs"][1])
    assert planned.rule is not None

    planned.end(completed({**drawn(7)[6], "epochs": 40}, 12))
    assert planned.rule is None
    planned.end(completed(drawn(8)[7], drawn(8)[7]["epochs"]))
    assert planned.rule is None


def test_another_rule_takes_over() -> None:
    """If a simple rule no longer holds, one that holds for all trials so far is found."""
    fixed = [{**params, "batch": 50} for params in drawn(5)]
    planned = learned([*fixed, *drawn(14)[5:]], LENGTHS["batches"][1])

    assert planned.rule is not None
    assert (planned.rule.times, planned.rule.over) == (("epochs",), ("batch",))


def test_what_is_not_known() -> None:
    """A new option, or a param that is missing or isn't a positive number, gives no length."""
    by_unit = learned(drawn(8), LENGTHS["rows or epochs"][1]).rule
    assert by_unit is not None
    assert by_unit.length({**drawn(1)[0], "unit": "tokens"}) is None

    by_epochs = learned(drawn(4), LENGTHS["epochs"][1]).rule
    assert by_epochs is not None
    for params in ({}, {"epochs": 0}, {"epochs": "many"}, {"epochs": True}, {"epochs": None}):
        assert by_epochs.length(params) is None


def test_a_rule_is_not_sought_forever() -> None:
    """A rule that is contradicted after more than 32 trials is dropped, and none is sought."""
    planned = learned(drawn(34), LENGTHS["epochs"][1])
    assert planned.rule is not None

    planned.end(completed({**drawn(1)[0], "epochs": 40}, 12))
    assert planned.rule is None


def test_without_params() -> None:
    """Trials without params have no rule."""
    assert learned([{}] * 5, lambda _: 9).rule is None


@pytest.mark.parametrize("value", [5e-324, 1e308])
def test_the_largest_and_smallest_numbers(value: float) -> None:
    """Params at the ends of what numbers can be are no rule, and no error."""
    lengths = iter(range(10, 90, 10))

    assert learned([{"x": value, "y": value}] * 8, lambda _: next(lengths)).rule is None
