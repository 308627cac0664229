"""The tables of a comparison in Markdown, put between the markers of the README."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from benchmarks.search import results
from benchmarks.search.figures import Runs, Setting, Shared, interval, reaches

README = Path(__file__).with_name("README.md")
PLOT = Path(__file__).with_name("regret.svg")
_MARKERS = ("<!-- report -->", "<!-- end of report -->")
_CHECKPOINTS = (16, 20, 24, 32, 48, 64, 96, 128, 200)


def write(arguments: argparse.Namespace) -> None:
    """Print the tables; with `--update` put them into the README, and the plot beside it."""
    runs = Runs(results.read(*arguments.results), arguments.tasks)
    text = "\n".join(_sections(runs, arguments))
    print(text)
    if arguments.update:
        from benchmarks.search.plot import draw

        before, _, rest = README.read_text(encoding="utf-8").partition(_MARKERS[0])
        _, _, after = rest.partition(_MARKERS[1])
        README.write_text(f"{before}{_MARKERS[0]}\n{text}\n{_MARKERS[1]}{after}", encoding="utf-8")
        draw(list(settings(runs, arguments)), PLOT)


def settings(runs: Runs, arguments: argparse.Namespace) -> Iterator[tuple[Setting, Shared]]:
    """Yield each setting that was run, with what the contenders share in it."""
    for n_trials in arguments.trials:
        for in_flight in arguments.in_flight:
            setting = Setting(in_flight, n_trials)
            names = runs.contenders(setting, arguments.contenders)
            shared = runs.shared(setting, names)
            if names and shared.cells:
                yield setting, shared


def _sections(runs: Runs, arguments: argparse.Namespace) -> Iterator[str]:
    for setting, shared in settings(runs, arguments):
        count = len({task for task, _ in shared.cells})
        yield f"\n### {setting.n_trials} trials, {setting.in_flight} in flight\n"
        yield (
            f"Mean regret by the number of finished trials, over {len(shared.cells)} pairs of a "
            f"task and a seed ({count} tasks), with 95 % bootstrap intervals.\n"
        )
        yield from _means(shared)
        yield "\nThe median of the same pairs.\n"
        yield from _medians(shared)
        yield from _failures(shared)
        yield "\nCPU milliseconds for a suggestion, asking and telling: all trials, the last ten.\n"
        yield from _costs(shared)
        if arguments.ours in shared.regrets:
            yield f"\n`{arguments.ours}` against each of the others, on all pairs the two share.\n"
            yield from _duels(runs, setting, arguments)
        yield f"\nMean regret of each task after {setting.n_trials} trials.\n"
        yield from _tasks(shared)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _means(shared: Shared) -> Iterator[str]:
    points = _checkpoints(shared)
    rows = []
    for name, regrets in shared.regrets.items():
        columns = regrets[:, [n - 1 for n in points]]
        low, high = interval(columns)
        cells = zip(columns.mean(axis=0), low, high, strict=True)
        rows.append([f"`{name}`", *(f"{mean:.3f} ({a:.3f}-{b:.3f})" for mean, a, b in cells)])
    yield from _table(["", *map(str, points)], rows)


def _medians(shared: Shared) -> Iterator[str]:
    points = _checkpoints(shared)
    rows = [
        [f"`{name}`", *(f"{np.median(regrets[:, n - 1]):.3f}" for n in points)]
        for name, regrets in shared.regrets.items()
    ]
    yield from _table(["", *map(str, points)], rows)


def _checkpoints(shared: Shared) -> list[int]:
    length = next(iter(shared.regrets.values())).shape[1]
    return [n for n in _CHECKPOINTS if n <= length]


def _failures(shared: Shared) -> Iterator[str]:
    if any(shares.any() for shares in shared.failed.values()):
        yield "\nThe share of trials that failed.\n"
        shares = [f"{shares.mean():.1%}" for shares in shared.failed.values()]
        yield from _table([f"`{name}`" for name in shared.failed], [shares])


def _costs(shared: Shared) -> Iterator[str]:
    names = list(shared.seconds)
    rows = [
        ["all", *(f"{1e3 * shared.seconds[name].mean():.1f}" for name in names)],
        ["last", *(f"{1e3 * shared.seconds[name][:, -10:].mean():.1f}" for name in names)],
    ]
    yield from _table(["", *(f"`{name}`" for name in names)], rows)


def _duels(runs: Runs, setting: Setting, arguments: argparse.Namespace) -> Iterator[str]:
    ours, n = arguments.ours, setting.n_trials
    others = [name for name in runs.contenders(setting, arguments.contenders) if name != ours]
    head = ["against", "pairs", f"its regret at {n}", f"ours at {n}"]
    head += [f"trials we need to reach its {n}", "median task", "tasks won / lost", "pairs won"]
    rows = []
    for other in others:
        shared = runs.shared(setting, [ours, other])
        if shared.cells:
            rows.append([f"`{other}`", *_duel(shared, ours, other)])
    yield from _table(head, rows)


def _duel(shared: Shared, ours: str, other: str) -> Iterator[str]:
    a, b = shared.regrets[ours], shared.regrets[other]
    yield str(len(shared.cells))
    yield f"{b[:, -1].mean():.3f}"
    yield f"{a[:, -1].mean():.3f}"
    needed = reaches(a.mean(axis=0), b[:, -1].mean())
    yield "more" if needed is None else str(needed)
    mine, theirs = shared.by_task(ours), shared.by_task(other)
    yield _median_of([reaches(mine[name], theirs[name][-1]) for name in mine])
    ends = [(mine[name][-1], theirs[name][-1]) for name in mine]
    yield f"{sum(x < y for x, y in ends)} / {sum(x > y for x, y in ends)}"
    ties = np.mean(a[:, -1] == b[:, -1])
    yield f"{np.mean(a[:, -1] < b[:, -1]):.0%}" + (f", tied {ties:.0%}" if ties else "")


def _median_of(needed: Sequence[int | None]) -> str:
    median = np.median([np.inf if each is None else each for each in needed])
    return f"{median:g}" if np.isfinite(median) else "more"


def _tasks(shared: Shared) -> Iterator[str]:
    names = list(shared.regrets)
    curves = {name: shared.by_task(name) for name in names}
    rows = [
        [task, *(f"{curves[name][task][-1]:.3f}" for name in names)] for task in curves[names[0]]
    ]
    yield from _table(["task", *(f"`{name}`" for name in names)], rows)
