"""What an attempt uses of its machine."""

from pathlib import Path

import numpy as np
import pytest

from manyfit.worker.usage import Usage

MB = 1 << 20
CLEAR = Path("/proc/self/clear_refs")


def test_work_takes_processor_time():
    """Time that passes while a process waits doesn't count."""
    usage = Usage()
    while usage.now()["cpu_seconds"] < 0.02:
        sum(range(1000))

    assert usage.now()["cpu_seconds"] < 5


@pytest.mark.skipif(not CLEAR.exists(), reason="only Linux forgets a process's peak of memory")
def test_the_peak_is_that_of_the_attempt():
    """Memory that was held and freed counts, but for what an earlier attempt had freed."""
    np.ones(300 * MB, np.uint8)
    usage = Usage(own_process=True)
    base = usage.now()["peak_memory"]
    np.ones(100 * MB, np.uint8)
    peak = usage.now()["peak_memory"]

    assert 90 * MB < peak - base < 200 * MB
