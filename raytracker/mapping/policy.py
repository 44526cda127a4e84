"""What is decided of tasks without Ray: how many failures are tolerated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How many tasks may fail before the image is stopped; in the words of AWS Step Functions.

    Args:
        count: So many may fail; None: any number.
        percentage: So many of a hundred tiles of the image may fail; None: all.

    Raises:
        ValueError: The count is below 0, or the percentage not between 0 and 100.
    """

    count: int | None = None
    percentage: float | None = None

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 0:
            raise ValueError(f"tolerated_failure_count={self.count}: it is at least 0")
        if self.percentage is not None and not 0 <= self.percentage <= 100:
            raise ValueError(f"tolerated_failure_percentage={self.percentage}: it is 0 to 100")

    def exceeded(self, failed_tasks: int, failed_tiles: int, tiles: int) -> bool:
        """Whether more failed than are tolerated."""
        return (self.count is not None and failed_tasks > self.count) or (
            self.percentage is not None and failed_tiles * 100 > self.percentage * tiles
        )
