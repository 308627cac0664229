"""The files that go with a task and come back: what params and metrics can't hold.

::

    driver: scratch/N/given     ──► worker: scratch/N/given
    driver: scratch/N/result-A  ◄── worker: scratch/N/result-A

Executors on this machine share the folder with their workers; others send the files. Both sides
remove what they no longer need.
"""

from pathlib import Path


def given_file(folder: Path, number: int) -> Path:
    """Return the path of the file that a task is given, in a folder that exists from now on.

    Args:
        folder: The study's folder, or that of a worker's machine.
        number: The task's number.
    """
    return scratch_of(folder, number) / "given"


def result_file(folder: Path, number: int, attempt: int) -> Path:
    """Return the path of the file that an attempt leaves, in a folder that exists from now on."""
    return scratch_of(folder, number) / f"result-{attempt}"


def scratch_of(folder: Path, number: int) -> Path:
    """Return a task's scratch folder, which exists from now on."""
    path = folder / "scratch" / str(number)
    path.mkdir(parents=True, exist_ok=True)
    return path
