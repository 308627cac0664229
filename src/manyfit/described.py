"""A recorded description of what a study runs, so that a resume can say what has changed."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from manyfit._labels import is_label, is_recorded
from manyfit._redact import is_secret_name
from manyfit.choice import Choice
from manyfit.data.shared import Shared
from manyfit.digest import digest_of
from manyfit.events import WorkDescribed
from manyfit.fingerprint import differences, fingerprint, folded, walk
from manyfit.origin import code_of, machine, packages
from manyfit.recorder import Recorder
from manyfit.space import Space

logger = logging.getLogger("manyfit")


def describe(
    objective: object,
    space: Space,
    settings: Mapping[str, object],
    at: float,
    advice: Iterable[str] = (),
) -> WorkDescribed:
    """Return a description of the work: digests of code and data, settings in words, versions.

    The space is recorded elsewhere, with labels for constants and options; this has digests of
    their contents.
    """
    parts = list(walk(objective))
    named = [*((name, value) for name, value, _ in parts), *space.constants.items()]
    return WorkDescribed(
        {**folded(parts), **dict(_values(space))},
        {name: in_words(each) for name, each in settings.items()},
        at,
        code=code_of(objective),
        packages=packages(),
        data={
            name: f"{value.digest}: {', '.join(value)} ({value.size} bytes)"
            for name, value in named
            if isinstance(value, Shared)
        },
        machine=machine(),
        unrecorded=dict(_unrecorded(space)),
        advice=tuple(advice),
    )


def record(
    recorder: Recorder, study: str, before: WorkDescribed | None, now: WorkDescribed
) -> WorkDescribed:
    """Record a description of the work if it has changed, and say what has changed.

    Returns:
        The description, with the advice that the study has been given before.
    """
    if before is not None:
        now = replace(now, advice=(*before.advice, *now.advice))
        if same(before, now):
            return before
    count = sum(trial.state.is_finished for trial in recorder.engine.trials)
    if before is not None and (said := notice(study, before, now, count)):
        logger.warning("%s", said)
    recorder.put(now)
    recorder.commit()
    return now


def _values(space: Space) -> Iterator[tuple[str, str]]:
    for name, value in space.constants.items():
        if not is_secret_name(name):
            yield f"the constant {name}", digest_of(value)
    for name, domain in space.params.items():
        if isinstance(domain, Choice) and domain.branches is None:
            for label, option in zip(domain.labels, domain.options, strict=True):
                if callable(option):
                    yield f"{name}={label}", digest_of(sorted(fingerprint(option).items()))


def _unrecorded(space: Space) -> Iterator[tuple[str, str]]:
    """Yield the names and types of values that the record has by label only."""
    for name, value in space.constants.items():
        if not is_recorded(name, value):
            yield name, type(value).__name__
    for name, domain in space.params.items():
        if isinstance(domain, Choice) and domain.branches is None:
            odd = [option for option in domain.options if not is_label(option)]
            if odd:
                yield name, type(odd[0]).__name__


def in_words(setting: Any) -> str:
    """Return the name of a sampler or pruner: the word, the settings, or the class.

    Example:
        >>> in_words("gp"), in_words(None), in_words(Space({}))
        ('gp', 'none', 'Space')
    """
    if setting is None:
        return "none"
    plain = isinstance(setting, str | int | float) or is_dataclass(setting)
    return str(setting) if plain else type(setting).__name__


def changes(before: WorkDescribed, now: WorkDescribed) -> list[str]:
    """Return the differences between two descriptions, one phrase each.

    Example:
        >>> one = WorkDescribed({"train": "1f"}, {"sampler": "gp"}, 0.0)
        >>> changes(one, WorkDescribed({"train": "2e"}, {"sampler": "tpe"}, 1.0))
        ['train has changed', 'sampler is tpe, and was gp']
    """
    phrases = []
    for name in differences(before.objective, now.objective):
        how = "is gone" if name not in now.objective else "is new"
        known = name in before.objective and name in now.objective
        phrases.append(f"{name} {'has changed' if known else how}")
    return phrases + [
        f"{name} is {value}, and was {before.settings[name]}"
        for name, value in now.settings.items()
        if before.settings.get(name, value) != value
    ]


def same(before: WorkDescribed, now: WorkDescribed) -> bool:
    """Return whether two descriptions are equal apart from the time."""
    return replace(before, at=now.at, advice=tuple(before.advice)) == now


def notice(study: str, before: WorkDescribed, now: WorkDescribed, results: int) -> str | None:
    """Return a notice of what has changed in a study since its results; None if nothing."""
    phrases = changes(before, now)
    if not phrases or not results:
        return None
    return (
        f"study {study} is not what it was: {', '.join(phrases)}. Its results so far "
        f"({results}) are kept and compared with the new ones. If old and new values can't be "
        "compared, give tune another name"
    )


def how_to_go_on(name: str, folder: Path) -> str:
    """Return a message that says how to resume an interrupted study."""
    return (
        f"study {name} was interrupted; it is recorded in {folder}. To continue it, make the same "
        f"call with the same name, {name!r}"
    )
