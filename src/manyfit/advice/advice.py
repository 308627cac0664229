"""A piece of advice, with the rule that gave it."""

from dataclasses import dataclass

GUIDE = "docs/advice.md"


@dataclass(frozen=True, slots=True)
class Advice:
    """What stands out in a study, and what to do about it.

    Attributes:
        code: The rule that gave it, such as `"log-scale"`, which is also the name of the section
            that explains it in the guide.
        params: The params it is about; empty if it is about the study.
        message: The figures and what to do, in one or two sentences on one line.

    Example:
        >>> print(Advice("log-scale", ("lr",), "lr spans 4 decades: give it log=True"))
        lr spans 4 decades: give it log=True (docs/advice.md#log-scale)
    """

    code: str
    params: tuple[str, ...]
    message: str

    @property
    def link(self) -> str:
        """The section of the guide."""
        return f"{GUIDE}#{self.code}"

    def __str__(self) -> str:
        return f"{self.message} ({self.link})"
