"""The documents of trials: their states, their parts, and their attachments."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from manyfit.hyperopt.exceptions import InvalidTrial
from manyfit.hyperopt.results import STATUS_NEW

JOB_STATE_NEW, JOB_STATE_RUNNING, JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_CANCEL = range(5)
JOB_STATES = [
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_CANCEL,
]

Document: TypeAlias = dict[str, Any]

_TIMES = ("book_time", "refresh_time")
_KEYS = ("tid", "spec", "result", "misc", "state", "owner", *_TIMES, "exp_key")
_KEYS_OF_MISC = ("tid", "cmd", "idxs", "vals")


def new_document(tid: Any, misc: Mapping[str, Any], exp_key: Any = None) -> Document:
    """Return the document of a trial that has not run."""
    return {
        "state": JOB_STATE_NEW,
        "tid": tid,
        "spec": None,
        "result": {"status": STATUS_NEW},
        "misc": dict(misc),
        "exp_key": exp_key,
        "owner": None,
        "version": 0,
        "book_time": None,
        "refresh_time": None,
    }


def checked(document: Any, exp_key: Any) -> None:
    """Check that a document has all its parts.

    Raises:
        InvalidTrial: It lacks one, or parts contradict each other.
    """
    if not isinstance(document, dict):
        raise InvalidTrial(f"a trial must be a dict, but got {document!r:.200}")
    misc = document.get("misc") or {}
    missing = [key for key in _KEYS if key not in document]
    missing += [f"misc[{key!r}]" for key in _KEYS_OF_MISC if key not in misc]
    if missing:
        raise InvalidTrial(f"a trial's document lacks {', '.join(missing)}: {document!r:.200}")
    if document["tid"] != misc["tid"]:
        raise InvalidTrial(f"a trial has the tid {document['tid']!r}, but misc {misc['tid']!r}")
    if document["exp_key"] != exp_key:
        raise InvalidTrial(f"exp_key must be {exp_key!r}, but got {document['exp_key']!r}")


class Attachments:
    """The attachments of a trial: values by name, that the objective returned beside its result."""

    def __init__(self, values: dict[str, Any], key: Callable[[str], str]) -> None:
        self._values = values
        self._key = key

    def __contains__(self, name: str) -> bool:
        return self._key(name) in self._values

    def __getitem__(self, name: str) -> Any:
        return self._values[self._key(name)]

    def __setitem__(self, name: str, value: Any) -> None:
        self._values[self._key(name)] = value

    def __delitem__(self, name: str) -> None:
        del self._values[self._key(name)]
