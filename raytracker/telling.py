"""The half of ImageTracker that reports: from a task, an actor, or the driver itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .actor import Tentative
from .ledger import ERROR, SUCCESS, ClassSpan, Span, clip_reason, reason_of
from .mapping import attempt
from .ray_runtime import attempt_number, check_connected, running_attempt
from .run import View, classed, report_of, span_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Teller(View):
    """Reports the outcomes of regions and tiles."""

    def report(
        self,
        region: int | Sequence[int] | NDArray[Any],
        error: bool = False,
        reason: str | BaseException | None = None,
        tile: int | Sequence[int] | NDArray[Any] | None = None,
    ) -> None:
        """Reports the outcome of a region or a tile, or of many; returns at once.

        It is sent in the background, and again until it is durable. A success replaces an error
        reported before, never the other way round.

        Args:
            region: The region; or a list or numpy array of regions, of any integer type.
            error: Whether it failed.
            reason: Why it failed, cut to 200 bytes; of an exception, its type and first line. The
                word before the first colon is the class by which failed tiles are counted.
            tile: The tile in the region; None: all its tiles; or a list or array of tiles, which
                numpy broadcasts against `region`.

        Raises:
            UnknownRegion: The image has no such region or tile; then nothing is reported.
            TypeError: An argument is none of these; then nothing is reported.
            JobCancelled: The job was cancelled.
            TrackerSuperseded: Another run took the image over.
            JobVanished: The item was deleted.
        """
        self._report(*report_of(self._run.layout, region, tile, error, reason))

    def flush(self, timeout: float = 30) -> None:
        """Waits until all that this process reported is durable.

        Args:
            timeout: Seconds to wait.

        Raises:
            FlushTimeout: It was not durable in time; it is still held and sent.
            TableError: DynamoDB refuses the flush.
            TrackerSuperseded, JobVanished, JobCancelled, LedgerError: What ended this run.
        """
        inside = attempt.current(self._run.spec) is not None
        self._run.flush(timeout, received=inside)

    @contextmanager
    def region(self, region: int, *, retries: int | None = None) -> Iterator[None]:
        """Reports the region when the block ends: a success, or an error if it raises.

        The exception is the reason, and goes on. In a task it is an error if Ray does not try the
        task again: in one run by `map_unordered` the tracker knows that, in any other the actor
        finds it out from Ray, which takes some seconds. In an async actor, and in a thread that a
        task started, Ray does not tell: there it is an error at once. A success that comes later
        outranks it.

        Args:
            region: The region.
            retries: How often Ray tries the task again on exceptions, for who knows it: 0 makes the
                exception an error at once. None: it is found out.
        """
        with self._watching(region, None, retries):
            yield

    @contextmanager
    def tile(self, region: int, tile: int, *, retries: int | None = None) -> Iterator[None]:
        """Reports the tile when the block ends, as `region` does.

        Args:
            region: The region.
            tile: The tile in the region.
            retries: As for `region`.
        """
        with self._watching(region, tile, retries):
            yield

    @contextmanager
    def _watching(self, region: int, tile: int | None, retries: int | None) -> Iterator[None]:
        check_connected()  # not after the work
        layout = self._run.layout
        success, error = (span_of(layout, region, tile, each) for each in (SUCCESS, ERROR))
        try:
            yield
        except Exception as err:
            self._failed(error, reason_of(err), retries)
            raise
        self._report(success, {})

    def _failed(self, error: list[Span], reason: str, retries: int | None) -> None:
        """Reports an error of a running attempt, which counts unless Ray makes another."""
        [(first, outcomes)] = error
        running = running_attempt()
        if attempt.current(self._run.spec):  # it knows its retries
            is_told = True
        elif retries is not None:
            is_told = attempt_number() >= retries
        else:
            is_told = running is None
            if running is not None:
                text = clip_reason(reason)
                self._run.report_tentative(Tentative(first, len(outcomes), text, *running))
        if is_told:
            self._report(error, {first: reason}, classed(error, reason))

    def _report(
        self,
        spans: list[Span],
        reasons: Mapping[int, str],
        classes: Sequence[ClassSpan] = (),
    ) -> None:
        current = attempt.current(self._run.spec)
        if current:  # its errors wait for its end
            spans, reasons, classes = current.add(spans, reasons, classes), {}, ()
        if spans:
            self._run.report(spans, reasons, classes, held_elsewhere=current is not None)
