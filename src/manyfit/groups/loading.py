"""Reads the result of a call of `tune_groups` from its record, without the data."""

from pathlib import Path

from manyfit._names import from_file_name
from manyfit._optional import load
from manyfit.archive import is_of_groups, space_of, study_folder, study_names
from manyfit.errors import ArgumentError
from manyfit.groups.record.models import FILE, read_models
from manyfit.groups.record.output import MODEL
from manyfit.groups.record.resume import models_in_outputs
from manyfit.groups.record.row import Table
from manyfit.groups.record.state import MODEL_AT, CallState, plain, read_state
from manyfit.groups.result.result import GroupsResult
from manyfit.trackers.progress import counted


def load_groups(name: str, *, folder: str | Path = ".manyfit") -> GroupsResult:
    """Read the result of a call of `tune_groups`, without its data and without running anything.

    It works even while the call runs or after a crash. The result equals that of the call:
    `predict`, tables and plots work. Choices that are not plain values (functions, classes) are
    returned as their labels.

    Args:
        name: The call's name.
        folder: The folder given to `tune_groups`.

    Raises:
        ArgumentError: There is no such call; the message lists those there are.
        NoResultError: The call never started.
        JournalCorruptError: Its record is damaged.
        JournalError: It can't be read, or a newer Manyfit wrote it.

    Example:
        >>> import manyfit, pandas
        >>> home = getfixture("tmp_path")
        >>> result = manyfit.tune_groups(
        ...     pandas.DataFrame({"shop": [*"aab"], "price": [1.0, 2.0, 7.0]}), by="shop",
        ...     objective=lambda shop, params: abs(params["level"] - shop["price"].mean()),
        ...     space={"level": manyfit.Float(0.0, 10.0)}, metric="error", n_trials=2, name="shops",
        ...     tracker=None, progress=None, folder=home,
        ... )
        >>> load_groups("shops", folder=home) == result
        True
    """
    home = home_of(name, folder)
    return result_of(read_state(home), home)


def home_of(name: str, folder: str | Path) -> Path:
    """Return the folder of a recorded call.

    Raises:
        ArgumentError: There is no such call; the message lists those there are.
    """
    home = study_folder(name, folder)
    if not is_of_groups(home):
        root = Path(folder)
        calls = [each for each in study_names(root) if is_of_groups(study_folder(each, root))]
        raise ArgumentError(
            f"there is no call of tune_groups named {from_file_name(name)!r} in {root}; there are: "
            f"{', '.join(calls) or 'none'}"
        )
    return home


def result_of(state: CallState, folder: Path) -> GroupsResult:
    """Return the result of a recorded call.

    Args:
        state: The state of the call, from its record.
        folder: The folder of the call.
    """
    created = state.created
    rows, lost = _with_models(state.located(), folder)
    last = state.calls[-1] if state.calls else None
    return GroupsResult(
        name=from_file_name(folder.name),
        folder=folder,
        metric=state.metric,
        space=space_of(created),
        by=tuple(created.by),
        mode=created.mode,
        reason=state.reason,
        rows=rows,
        notes=(*state.notes, *([_gone(lost, folder)] if lost else [])),
        output=last.output or None if last else None,
        model_outputs=models_in_outputs(state),
    )


def _with_models(rows: Table, folder: Path) -> tuple[Table, int]:
    """Return rows with the models that the record keeps, and the number of models it has lost."""
    arrow = load("pyarrow")
    places = rows.column(MODEL_AT).to_pylist()
    if not any(places):
        return plain(rows), 0
    found = read_models(folder, places)
    own = rows.column(MODEL).to_pylist()  # rows of older Manyfits contain their models
    models = [model or mine for model, mine in zip(found, own, strict=True)]
    lost = sum(bool(place) and not model for place, model in zip(places, found, strict=True))
    index = rows.schema.get_field_index(MODEL)
    field = rows.schema.field(index)
    return plain(rows.set_column(index, field, arrow.array(models, field.type))), lost


def _gone(lost: int, folder: Path) -> str:
    return (
        f"the models of {counted(lost, 'group')} are gone from {folder / FILE}, or damaged: the "
        "same call tunes these groups again"
    )
