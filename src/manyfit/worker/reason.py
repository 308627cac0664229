"""The reason in an exception; for Spark's and CatBoost's, without what is wrapped around it."""

import re

_MOST = 300
_SPARKS = ("py4j", "pyspark")
# Their exceptions may have, as text, one of the user's Python code that they called.
_WRAPPING = (*_SPARKS, "_catboost")

# The exception of Python code in a Spark task: the line after its frames.
_RAISED = re.compile(r"Traceback \(most recent call last\):\n(?:(?:[ \t].*)?\n)+(\S.*)")
# Java's exceptions, each up to its frames or a blank line; the last is the root cause. Each line
# can match in one way only: while a pattern tries many, no other thread of this process runs.
_THROWN = re.compile(
    r"^(?:Caused by)?: (.+(?:\n(?![ \t]+at |[ \t]+\.\.\. \d+ more|Caused by: ).+)*)", re.MULTILINE
)
_OF_TASK = re.compile(r"^.*Lost task .*? \(TID \d+\) \(.*?\): ", re.DOTALL)
_PACKAGE = re.compile(r"^(?:[a-z][\w$]*\.)+(?=[A-Z])")
# The uid of a stage of Spark ML, which differs for each object.
_UID = re.compile(r"\b([A-Z]\w*)_[0-9a-f]{12}\b")


def reason_of(error: BaseException) -> str:
    """Return an exception's class and message; for Spark's and CatBoost's, those of the root cause.

    The uids of Spark ML's stages are left out, so that equal causes have equal reasons.

    Example:
        >>> reason_of(ValueError("no depth")), reason_of(KeyError())
        ('ValueError: no depth', 'KeyError')
    """
    name, text = type(error).__name__, message(error).strip()
    if type(error).__module__.partition(".")[0] in _WRAPPING:
        text = _UID.sub(r"\1", text)
        if cause := _cause_in(text):
            return cause
        text = text.partition("\n\nJVM stacktrace:")[0]
    return f"{name}: {text}" if text else name


def _cause_in(text: str) -> str | None:
    """Return the root cause, in a Python task or in Java; None if there is only a message.

    Example:
        >>> _cause_in('''An error occurred while calling o12.fit.
        ... : org.apache.spark.SparkException: failed due to: java.lang.Error: no
        ...     at org.apache.spark.Some.where(Some.scala:1)
        ... Caused by: java.lang.Error: no
        ... way
        ...     at java.base/java.lang.Thread.run(Thread.java:840)
        ...     ... 24 more''')
        'Error: no way'
    """
    if raised := _RAISED.findall(text):
        return str(raised[-1])
    if not (thrown := _THROWN.findall(text)):
        return None
    return _PACKAGE.sub("", _OF_TASK.sub("", " ".join(thrown[-1].split())))


def message(error: BaseException) -> str:
    """Return an exception's message, even if its `__str__` raises."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - it is the user's code
        return "<its message can't be shown: str() of it failed>"


def one_line(text: str) -> str:
    r"""Return the first line that isn't empty, shortened if it is long.

    Example:
        >>> one_line("no depth\nof 3")
        'no depth …'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = lines[0] if lines else ""
    cut = len(lines) > 1 or len(first) > _MOST
    return first[:_MOST] + (" …" if cut else "")
