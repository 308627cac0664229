"""What a proposal costs in CPU time, by the number of trials so far."""

import argparse
import time

from benchmarks.search import functions
from benchmarks.search.contenders import CONTENDERS

# Seven params: whole and real numbers on both scales, and choices.
_TASK = "mixed"


def seconds(contender: str, count: int) -> list[float]:
    """Return the CPU seconds of each of `count` proposals, asking and telling, one in flight."""
    task = functions.makers()[_TASK]()
    sampler = CONTENDERS[contender](task.space, 0, count)
    found: list[float] = []
    for number in range(count):
        began = time.process_time()
        params = sampler.ask(number)
        asked = time.process_time() - began
        loss = task.loss(params)
        began = time.process_time()
        sampler.tell(number, params, loss)
        found.append(asked + time.process_time() - began)
    return found


def write(arguments: argparse.Namespace) -> None:
    """Print CPU milliseconds as a table, for each count the mean over the last quarter before it.

    Manyfit relearns hyperparameters about once in a quarter, so that cost is included.
    """
    counts = sorted(arguments.trials)
    print("|  |" + "".join(f" {count} |" for count in counts))
    print("|---|" + "---|" * len(counts))
    for name in arguments.contenders:
        each = seconds(name, counts[-1])
        means = [sum(each[n - n // 4 : n]) / (n // 4) for n in counts]
        print(f"| `{name}` |" + "".join(f" {1e3 * mean:.1f} |" for mean in means), flush=True)
