"""What goes between a process and an image's actor.

No answer is a bare exception: Ray Client raises what a method returns, if that is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import JobCancelled, JobEnded, JobStopped, RaytrackerError
from ..ledger import ERROR, ClassSpan, Span, class_of, spans_of
from ..progress import Progress


@dataclass(frozen=True)
class Tentative:
    """An error of an attempt that Ray may repeat: nothing yet, until that is known.

    Attributes:
        first: The first of the tiles, which are neighbours.
        count: How many they are.
        reason: Why they failed.
        task: The task's id, hexadecimal.
        attempt: How often Ray had tried the task before.
    """

    first: int
    count: int
    reason: str
    task: str
    attempt: int

    def final(self) -> Batch:
        """Returns it as what counts."""
        spans, why = [(self.first, ERROR * self.count)], {self.first: self.reason}
        classes = [(*spans[0], class_of(self.reason))]
        return Batch(spans, why, sole=True, classes=classes)


class Batch(NamedTuple):
    """Outcomes on their way to the actor.

    Attributes:
        spans: The outcomes of neighbouring tiles.
        reasons: Why tiles failed, by tile number.
        sole: Whether nobody but the actor may hold it: Ray ends its sender, and no driver knows it.
        tentative: Errors of attempts that Ray may repeat.
        classes: The classes of failed tiles.
    """

    spans: Sequence[Span]
    reasons: Mapping[int, str]
    sole: bool = False
    tentative: Sequence[Tentative] = ()
    classes: Sequence[ClassSpan] = ()

    @classmethod
    def of(cls, outcomes: Mapping[int, int], reasons: Mapping[int, str]) -> Batch:
        """Returns the batch of these outcomes, by tile number."""
        return cls(list(spans_of(outcomes)), reasons)

    def __bool__(self) -> bool:
        return bool(self.spans or self.reasons or self.tentative or self.classes)


class Ack(NamedTuple):
    """The answer to a report.

    Attributes:
        owner: The process that answers. When it changes, all that is not durable goes again.
        received: The mark of what this process has received, this report included.
        durable: The mark up to which that is in DynamoDB.
        ends_soon: Whether so few tiles are pending that the image may end within a moment.
        flush_in: Seconds until the next planned flush, before which nothing more becomes durable.
        ended: The image has ended, and this batch would have changed it: let go of it once
            `received` is durable, and say so. None: it would not.
        fault: Why this run takes no more reports, or None.
        trouble: Why nothing becomes durable at present: TableError, until somebody changes
            something, or TableUnavailable, until the table is reached; or None.
        failures: How many requests to the table have failed; who asked anew waits for one more.
    """

    owner: str
    received: int
    durable: int
    ends_soon: bool
    flush_in: float
    ended: JobEnded | None
    fault: RaytrackerError | None
    trouble: RaytrackerError | None
    failures: int = 0


class Status(NamedTuple):
    """How an image stands.

    Attributes:
        progress: How far it has come; None before the claim.
        fault: What ended this run, or None.
        trouble: As in `Ack`.
        failures: As in `Ack`.
    """

    progress: Progress | None
    fault: RaytrackerError | None
    trouble: RaytrackerError | None
    failures: int = 0


class LedgerView(NamedTuple):
    """A copy of an image's ledger.

    Attributes:
        encoded: What `Ledger.decode` makes the ledger of; None before the claim.
        reasons: Why tiles failed, by tile number.
        fault: What ended this run, or None.
        trouble: As in `Ack`.
        classes: The encoded classes of the failed tiles.
    """

    encoded: bytes | None
    reasons: Mapping[int, str]
    fault: RaytrackerError | None
    trouble: RaytrackerError | None
    classes: bytes = b""


def ended_early(image_id: str, state: str) -> RaytrackerError:
    """Returns what a report to a job that was cancelled or stopped raises."""
    if state == "STOPPED":
        return JobStopped(f"image {image_id!r} was stopped: too many of its tasks failed")
    return JobCancelled(f"image {image_id!r} was cancelled; it takes no more reports")


def ended_late(image_id: str) -> JobEnded:
    """Returns what is answered to news of an image that has ended."""
    return JobEnded(
        f"image {image_id!r} has ended: what is reported since then is not counted; "
        "a resume with redrive=True runs again what failed"
    )
