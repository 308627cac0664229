"""Every executor keeps the contract."""

from manyfit.executors.inline import InlineExecutor
from manyfit.executors.processes import ProcessExecutor
from manyfit.executors.threads import ThreadExecutor
from manyfit.testing.executors import ExecutorContract


class TestInlineExecutor(ExecutorContract):
    """On the driver's thread."""

    def make_executor(self, parallelism):
        """Make it: it has one slot, whatever is asked."""
        return InlineExecutor()


class TestThreadExecutor(ExecutorContract):
    """In the driver's process."""

    def make_executor(self, parallelism):
        """Make it."""
        return ThreadExecutor(parallelism)


class TestProcessExecutor(ExecutorContract):
    """In processes of their own."""

    def make_executor(self, parallelism):
        """Make it."""
        return ProcessExecutor(parallelism)
