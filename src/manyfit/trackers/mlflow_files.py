"""The files of a trial in MLflow: its output and traceback, without credentials."""

from pathlib import Path

from manyfit._redact import redact
from manyfit.trial import Trial, log_name

# Bytes. Only the end of a longer log is kept.
MAX_LOG = 4_000_000


def files_of(trial: Trial, folder: Path) -> dict[str, str]:
    """Return the output and the traceback of an ended trial, by file name."""
    files = {}
    for attempt in trial.attempts:
        log = folder / "logs" / log_name(trial.number, attempt.number)
        suffix = "" if len(trial.attempts) == 1 else f"-{attempt.number}"
        text = _tail(log)
        if text:
            files[f"output{suffix}.log"] = redact(text)
    if trial.traceback:
        files["traceback.txt"] = redact(trial.traceback)
    return files


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_LOG))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text if size <= MAX_LOG else f"[the first {size - MAX_LOG} bytes are left out]\n{text}"
