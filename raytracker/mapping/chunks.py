"""Tiles that travel in chunks: each is worked through, and says which tiles failed and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ..errors import InvalidFunction, RaytrackerError
from ..ledger import ERROR, SUCCESS, Outcomes, Span, classes_of, clip_reason
from ..reporter import reporter
from ..run import Run
from .dispatch import Chunk, Dispatch, Settled
from .executors import Executor, loss_of
from .failure import ProcessSpoiled, cause_of, failed_by
from .source import Finished, Source, Verdict

Key = tuple[int, int]


class Worked(NamedTuple):
    """What became of a chunk.

    Attributes:
        reasons: Why tiles failed, by (region, tile); all others succeeded.
        busy_seconds: For how long the user's function, or model, computed.
    """

    reasons: Mapping[Key, str]
    busy_seconds: float = 0.0


ChunkFunction = Callable[..., "Mapping[Key, str] | Worked"]


class Answer(NamedTuple):
    """What a chunk's process tells of it.

    Attributes:
        reasons: Why tiles failed, by number.
        seconds: How long it took.
        busy_seconds: As in `Worked`.
        idle_seconds: How long the process waited for it, after another one of the same image.
    """

    reasons: Mapping[int, str]
    seconds: float
    busy_seconds: float
    idle_seconds: float = 0.0


class Placed(NamedTuple):
    """A chunk at its place."""

    chunk: Chunk
    place: Any


class Chunked(Source):
    """The work of a function over tiles, in chunks that `Dispatch` cuts.

    Args:
        run: The run whose tiles they are.
        executor: Where chunks go.
        tiles: The numbers of the pending tiles, neighbours one after another.
        count: How many there are.
        retries: As in `Dispatch`.
        grain: As in `Dispatch`.
    """

    def __init__(
        self,
        run: Run,
        executor: Executor,
        tiles: Iterable[int],
        count: int,
        *,
        retries: int,
        grain: int,
    ) -> None:
        super().__init__()
        self._run = run
        self._executor = executor
        executor.wake = lambda: self.wake()
        self._dispatch = Dispatch(tiles, count, retries=retries, grain=grain)
        self._lock = threading.Lock()  # one thread draws, another one takes

    def next(self) -> Any | None:
        """As in `Source`: a chunk at its place, or what is to be made ready for some."""
        workers = max(1, self._executor.at_a_time)
        with self._lock:
            self._dispatch.workers = workers
            if self._dispatch.is_over:
                raise StopIteration
            waiting = self._dispatch.waiting
        if waiting and (first := self._executor.prepare(waiting)) is not None:
            return first
        return self._placed()

    def _placed(self) -> Placed | None:
        now = time.monotonic()
        with self._lock:
            kinds = self._dispatch.kinds(now)
        for suspect in kinds:
            place = self._executor.place(alone=suspect)
            if place is None:
                continue
            with self._lock:
                chunk = self._dispatch.next(now, suspect=suspect)
            if chunk is not None:
                return Placed(chunk, place)
            self._executor.refuse(place)
        return None

    def submit(self, item: Any) -> tuple[Any, Any]:
        """As in `Source`."""
        if isinstance(item, Placed):
            return self._executor.put(item.place, item.chunk), None
        return item.submit(), None

    def judge(self, item: Any, answer: Any, result: Any) -> Verdict:
        """As in `Source`; a chunk's key is the number of its tiles that are settled by it.

        Raises:
            InvalidFunction: The function is not of the kind that was promised.
        """
        if not isinstance(item, Placed):
            item.made(answer)
            return Verdict(None)
        self._executor.left(item.place, item.chunk, answer)
        with self._lock:
            settled = self._settled(item.chunk, answer)
        failed = {tile: reason for tile, reason in settled if reason is not None}
        spans = _spans(sorted((tile, reason is None) for tile, reason in settled))
        classes = classes_of(failed) if failed else ()
        return Verdict(Finished(len(settled), None, None), spans, failed, classes, of_tiles=True)

    def _settled(self, chunk: Chunk, answer: Any) -> list[Settled]:
        if isinstance(answer, Answer):
            self._run.worked.add(answer.busy_seconds, answer.seconds + answer.idle_seconds)
            return self._dispatch.finished(chunk, answer.reasons, answer.seconds)
        cause = cause_of(answer)
        if isinstance(cause, InvalidFunction):
            raise cause
        loss = loss_of(answer)
        if loss is None:
            return self._dispatch.finished(
                chunk, dict.fromkeys(chunk.tiles, failed_by(cause)), None
            )
        reason = str(cause) if isinstance(cause, ProcessSpoiled) else failed_by(cause)
        return self._dispatch.lost(chunk, loss, reason, time.monotonic())

    @property
    def trouble(self) -> str | None:
        """As in `Source`."""
        return self._executor.trouble

    def is_awaited(self, item: Any) -> bool:
        """As in `Source`: a worker that is being made is not."""
        return isinstance(item, Placed)

    def left(self, item: Any, answer: Any) -> None:
        """As in `Source`."""
        if isinstance(item, Placed):
            self._executor.left(item.place, item.chunk, answer)

    def cancel(self, item: Any, told: Any, *, force: bool) -> None:
        """As in `Source`."""
        if isinstance(item, Placed):
            self._executor.cancel(item.place, told, force=force)

    def close(self) -> None:
        """As in `Source`."""
        self._executor.close()


def reporting(run: Run, function: ChunkFunction) -> Callable[..., Answer]:
    """Returns the function as a process runs it, which reports what succeeded.

    It is called with the numbers of the tiles, and what the function takes before their keys.
    """
    spec, layout = run.spec, run.layout  # the run itself stays here

    def work_through(tiles: Sequence[int], *before: Any) -> Answer:
        started = time.perf_counter()
        keys = {layout.locate(tile): tile for tile in tiles}
        worked = function(*before, list(keys))
        told, busy = worked if isinstance(worked, Worked) else (worked, 0.0)
        reasons = {keys[key]: clip_reason(reason) for key, reason in told.items()}
        seconds = time.perf_counter() - started
        fine = _spans([(tile, True) for tile in tiles if tile not in reasons])
        # Whether errors are final, the driver decides; and where the run has ended, it learns it.
        # No receipt is waited for: the driver has the same in a moment, and tells it again.
        with suppress(RaytrackerError):
            if fine:
                reporter().report(spec, fine, {}, wait=False, held_elsewhere=True)
        return Answer(reasons, seconds, busy)

    return work_through


def _spans(tiles: Iterable[tuple[int, bool]]) -> list[Span]:
    outcomes = Outcomes()
    for tile, is_fine in tiles:
        outcomes.join(tile, SUCCESS if is_fine else ERROR)
    return list(outcomes.spans())
