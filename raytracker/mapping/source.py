"""Where an engine's tasks come from, and what their answers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ..ledger import Span


class Finished(NamedTuple):
    """A task that has finished.

    Attributes:
        key: What it was for.
        result: A reference of what it returned; None if it failed, or returned nothing of interest.
        error: What it failed with, or None.
    """

    key: Any
    result: Any
    error: BaseException | None


@dataclass(frozen=True)
class Verdict:
    """What a task's answer means.

    Attributes:
        finished: What whoever consumes the results is told.
        spans: What became of which tiles.
        reasons: Why tiles failed, by number.
        of_tiles: Whether it was for tiles, not for a region.
    """

    finished: Finished
    spans: Sequence[Span] = ()
    reasons: Mapping[int, str] = field(default_factory=dict)
    of_tiles: bool = False


class Source(Protocol):
    """Tasks, one after another, of which an engine sees to a bounded number at a time."""

    def next(self) -> Any | None:
        """Returns what the next task is for; None where that is to be seen a little later.

        Raises:
            StopIteration: There is nothing more.
        """

    def submit(self, item: Any) -> tuple[Any, Any]:
        """Submits its task; returns references of what it tells, and of its result or None."""

    def judge(self, item: Any, answer: Any, result: Any) -> Verdict:
        """Returns what an answer means: what the task told, or the exception in its place."""
