"""Where an engine's tasks come from, and what their answers mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ray

from ..ledger import ClassSpan, Span


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
        finished: What whoever consumes the results is told; None: nothing.
        spans: What became of which tiles.
        reasons: Why tiles failed, by number.
        classes: The classes of failed tiles.
        of_tiles: Whether it was for tiles, not for a region.
    """

    finished: Finished | None
    spans: Sequence[Span] = ()
    reasons: Mapping[int, str] = field(default_factory=dict)
    classes: Sequence[ClassSpan] = ()
    of_tiles: bool = False


class Source(ABC):
    """Tasks, one after another, of which an engine sees to a bounded number at a time.

    Attributes:
        wake: Called when there may be something more; the engine sets it.
    """

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None

    @abstractmethod
    def next(self) -> Any | None:
        """Returns what the next task is for; None where that is to be seen a little later.

        Raises:
            StopIteration: There is nothing more.
        """

    @abstractmethod
    def submit(self, item: Any) -> tuple[Any, Any]:
        """Submits its task; returns references of what it tells, and of its result or None."""

    @abstractmethod
    def judge(self, item: Any, answer: Any, result: Any) -> Verdict:
        """Returns what an answer means: what the task told, or the exception in its place."""

    @property
    def trouble(self) -> str | None:
        """Why nothing goes on at present, or None."""
        return None

    def is_awaited(self, item: Any) -> bool:
        """Whether a task's answer must be seen even when nothing more is wanted."""
        return True

    def left(self, item: Any, answer: Any) -> None:
        """Takes note of an answer when nothing more is wanted."""
        return

    def cancel(self, item: Any, told: Any, *, force: bool) -> None:
        """Cancels a task; with force, ends its process if need be.

        Args:
            item: What it is for.
            told: The reference of what it tells.
            force: Whether it has had its chance.
        """
        ray.cancel(told, force=force)

    def close(self) -> None:
        """Nothing more is wanted."""
        return
