"""A journal as version 2 wrote it: version 1 with chained checksums, another event, and notes."""

import zlib
from dataclasses import replace
from pathlib import Path

from manyfit.events import AttemptFinished, AttemptPruned, Noted, WorkDescribed
from manyfit.journal.file import FileJournal, read_events

GOLDEN = Path(__file__).with_name("journal_v2.jsonl")

DESCRIBED = WorkDescribed(
    {"Python": "3.11", "train": "0123456789abcdef", "größe": "fedcba9876543210"},
    {"sampler": "gp", "pruner": "auto", "lag": "None"},
    1767225600.375,
)
ADVISED = WorkDescribed(
    {"train": "0123456789abcdef"},
    {"sampler": "gp"},
    1767484901.0,
    advice=["größe"],
)
NOTED = AttemptFinished(
    8,
    1,
    {"val_loss": 0.0625},
    seconds=3.0,
    at=1767484803.5,
    notes={"checkpoint": "/models/8", "größe": "[64, 32]"},
)
SAID = Noted(10, 1, {"größe": "12"}, at=1767484902.0)
MEASURED = AttemptPruned(
    9,
    1,
    "hopeless",
    seconds=1.5,
    at=1767484805.5,
    usage={"cpu_seconds": 2.25, "peak_memory": 268435456},
)
TRACED = replace(
    DESCRIBED,
    objective={"Python": "3.11", "train": "0123456789abcdef"},
    at=1767484900.5,
    code={
        "name": "train",
        "module": "models",
        "import": "models:train",
        "file": "/home/me/models.py",
        "sha256": "00ff",
        "commit": "64bdde0",
        "dirty": "yes",
        "remote": "https://[redacted]@host/models.git",
    },
    packages={"numpy": "2.1.0"},
    data={"größe": "1f2e: x, y (2048 bytes)"},
    machine={"host": "here", "cores": "4"},
    unrecorded={"model": "type"},
)


def test_its_events_are_those_of_version_1_and_what_the_driver_ran() -> None:
    """Each line is read as the event it has always been."""
    first, second, described, *others, _asked, _started, noted = [*read_events(GOLDEN)][:44]

    before = list(read_events(GOLDEN.with_name("journal_v1.jsonl")))
    assert repr([first, second, *others]) == repr(before)  # NaN doesn't equal itself
    assert described == DESCRIBED
    assert noted == NOTED
    assert [*read_events(GOLDEN)][-6:-3] == [MEASURED, TRACED, ADVISED]
    assert [*read_events(GOLDEN)][-1] == SAID


def test_it_is_never_repaired(tmp_path: Path) -> None:
    """A driver that opens it finds nothing to mend."""
    (tmp_path / "journal.jsonl").write_bytes(GOLDEN.read_bytes())
    with FileJournal(tmp_path) as journal:
        assert len(list(journal.read())) == 52

    assert (tmp_path / "journal.jsonl").read_bytes() == GOLDEN.read_bytes()


def test_every_line_has_a_checksum_that_goes_on_from_the_one_before() -> None:
    """It stands at the end, where it can be checked before anything is parsed."""
    checksum = 0
    for line in GOLDEN.read_bytes().splitlines():
        body, seal = line[:-18], line[-18:]
        checksum = zlib.crc32(body, checksum)
        assert seal == b',"crc":"%08x"}' % checksum
