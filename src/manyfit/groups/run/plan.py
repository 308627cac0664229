"""Plans the order in which groups are tuned on a cluster, and which of them share a task.

Groups differ in size, and the largest ones determine the end: they come first, each in a task of
its own. The others are known only as cells of several groups, so that not all keys have to be sent
to the driver. Cells are packed into tasks of equal weight, and tasks into waves, which shrink
towards the end.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

# The fixed cost of a fit, in rows.
FIXED = 100
# A group is large if it exceeds 1 / 8 of a slot's share.
_LARGE = 8
_MOST_LARGE = 256
TASKS = 4  # tasks per slot in a wave; a slot may get one more or less
_LEAST = 2  # groups per slot in a wave, at least


@dataclass(frozen=True, slots=True)
class Unit:
    """Groups that stay together.

    Attributes:
        code: The hash of a large group's key, or the number of a cell.
        weight: The number of rows, plus `FIXED` for each group.
        groups: The number of groups; 1 for a large group.
        is_large: Whether it is a large group.
    """

    code: int
    weight: int
    groups: int = 1
    is_large: bool = False


@dataclass(frozen=True, slots=True)
class Wave:
    """The tasks of one job, in the order in which they start.

    Attributes:
        tasks: The units of each task.
    """

    tasks: tuple[tuple[Unit, ...], ...]

    @property
    def weight(self) -> int:
        """The weight of all units."""
        return sum(unit.weight for task in self.tasks for unit in task)

    @property
    def groups(self) -> int:
        """The number of groups in all units."""
        return sum(unit.groups for task in self.tasks for unit in task)


class Plan:
    """Divides groups into waves.

    Args:
        large: Candidates for tasks of their own; those that aren't large enough stay in their
            cells.
        cells: All groups by cell, including large ones.
        cell_of: The cell of each candidate, by its code.
        slots: The number of tasks that run at once.

    Attributes:
        alone: The codes of the groups that have tasks of their own.
        left: The weight of the remaining cells.

    Example:
        >>> plan = Plan([Unit(7, 900)], [Unit(0, 1000, 2), Unit(1, 100)], {7: 0}, slots=2)
        >>> [unit.code for task in plan.first().tasks for unit in task], plan.next(1000).groups
        ([7], 2)
    """

    def __init__(
        self, large: Sequence[Unit], cells: Sequence[Unit], cell_of: dict[int, int], slots: int
    ) -> None:
        self._slots = slots
        total = sum(cell.weight for cell in cells)
        least = max(total / (slots * _LARGE), 1)
        chosen = sorted((u for u in large if u.weight > least), key=lambda unit: -unit.weight)
        self._large = [Unit(u.code, u.weight, 1, True) for u in chosen[:_MOST_LARGE]]
        self.alone = frozenset(unit.code for unit in self._large)
        taken: dict[int, list[Unit]] = {}
        for unit in self._large:
            taken.setdefault(cell_of[unit.code], []).append(unit)
        rest = [_without(cell, taken.get(cell.code, ())) for cell in cells]
        self._cells = sorted((c for c in rest if c.groups), key=lambda cell: -cell.weight)
        self.left = sum(cell.weight for cell in self._cells)

    def first(self) -> Wave:
        """Return the large groups, the largest first; empty if there are none."""
        large, self._large = self._large, []
        return Wave(tuple((unit,) for unit in large))

    def next(self, weight: float, tasks: int = TASKS) -> Wave:
        """Return a wave of about this weight; empty when nothing is left.

        Args:
            weight: The intended weight; the wave always has some groups for each slot.
            tasks: The number of tasks per slot.
        """
        units: list[Unit] = []
        groups = taken = 0
        # Heavy and light units alternate, so that each wave has both.
        while self._cells and (taken < weight or groups < _LEAST * self._slots):
            unit = self._cells.pop(0 if len(units) % 2 == 0 else -1)
            units.append(unit)
            taken += unit.weight
            groups += unit.groups
        self.left -= taken
        return Wave(_packed(units, self._slots * tasks))


def _without(cell: Unit, large: Sequence[Unit]) -> Unit:
    weight = cell.weight - sum(unit.weight for unit in large)
    return Unit(cell.code, weight, cell.groups - len(large))


def _packed(units: Sequence[Unit], tasks: int) -> tuple[tuple[Unit, ...], ...]:
    """Pack units into tasks of equal weight: always the heaviest unit into the lightest task.

    The result is at most a third worse than the optimum (Graham, "Bounds on multiprocessing timing
    anomalies", 1969).
    """
    bins: list[list[Unit]] = [[] for _ in range(min(tasks, len(units)))]
    heap = [(0, place) for place in range(len(bins))]
    for unit in sorted(units, key=lambda unit: (-unit.weight, unit.code)):
        weight, place = heapq.heappop(heap)
        bins[place].append(unit)
        heapq.heappush(heap, (weight + unit.weight, place))
    bins.sort(key=lambda task: -sum(unit.weight for unit in task))
    return tuple(map(tuple, bins))
