"""Tiles that travel in chunks: a task works through each, and says which tiles failed and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray import exceptions as rays

from ..errors import RaytrackerError
from ..ledger import ERROR, SUCCESS, Outcomes, Span, reason_of
from ..ray_runtime import check_sendable
from ..reporter import reporter
from ..run import Run
from .dispatch import Chunk, Dispatch, Loss, Settled
from .failure import cause_of
from .source import Finished, Source, Verdict

Key = tuple[int, int]
ChunkFunction = Callable[[Sequence[Key]], Mapping[Key, str]]

_OF_THE_NODE = (
    rays.NodeDiedError,
    rays.LocalRayletDiedError,
    rays.ObjectLostError,
    rays.TaskCancelledError,  # by us, or with whoever owned it: no tile is to blame
)


class Chunked(Source):
    """The work of a function over tiles, in chunks that `Dispatch` cuts.

    Args:
        run: The run whose tiles they are.
        function: Is given (region, tile) of each; returns why tiles failed. What it raises is the
            reason of all of them.
        tiles: The numbers of the pending tiles, neighbours one after another.
        count: How many there are.
        options: Ray's, for each task.
        retries: As in `Dispatch`.
        workers: Returns how many chunks are worked through at a time, about.

    Raises:
        TypeError: The function cannot be pickled.
        ValueError: It is too large, with all that it refers to.
    """

    def __init__(
        self,
        run: Run,
        function: ChunkFunction,
        tiles: Iterable[int],
        count: int,
        *,
        options: Mapping[str, Any],
        retries: int,
        workers: Callable[[], int],
    ) -> None:
        self._layout = run.layout
        self._dispatch = Dispatch(tiles, count, retries=retries)
        self._lock = threading.Lock()  # one thread draws, another one takes
        self._sourceers = workers
        work_through = _reporting(run, function)
        check_sendable(work_through)
        # Who decides what is tried again is one place, and that is not Ray.
        own = {"name": "tiles", **options, "max_retries": 0, "num_returns": 1}
        self._remote = ray.remote(**own)(work_through)

    def next(self) -> Chunk | None:
        """As in `Source`."""
        workers = self._sourceers()
        with self._lock:
            self._dispatch.workers = workers
            chunk = self._dispatch.next(time.monotonic())
            if chunk is None and self._dispatch.is_over:
                raise StopIteration
        return chunk

    def submit(self, item: Chunk) -> tuple[Any, Any]:
        """As in `Source`."""
        return self._remote.remote(item.tiles), None

    def judge(self, item: Chunk, answer: Any, result: Any) -> Verdict:
        """As in `Source`; a chunk's key is the number of its tiles that are settled by it."""
        with self._lock:
            settled = self._settled(item, answer)
        failed = {tile: reason for tile, reason in settled if reason is not None}
        spans = _spans(sorted((tile, reason is None) for tile, reason in settled))
        return Verdict(Finished(len(settled), None, None), spans, failed, of_tiles=True)

    def _settled(self, chunk: Chunk, answer: Any) -> list[Settled]:
        if not isinstance(answer, BaseException):
            reasons, seconds = answer
            return self._dispatch.finished(chunk, reasons, seconds)
        reason = reason_of(cause_of(answer))
        loss = _loss(answer)
        if loss is None:
            return self._dispatch.finished(chunk, dict.fromkeys(chunk.tiles, reason), None)
        return self._dispatch.lost(chunk, loss, reason, time.monotonic())


def _loss(error: BaseException) -> Loss | None:
    """Returns why a task did not come back; None: it did, with what it raised."""
    if isinstance(error, rays.OutOfMemoryError):
        return Loss.MEMORY
    if isinstance(error, _OF_THE_NODE):
        return Loss.NODE
    return Loss.PROCESS if isinstance(error, rays.WorkerCrashedError) else None


def _reporting(run: Run, function: ChunkFunction) -> Any:
    """Returns the function as a task runs it, which reports what succeeded."""
    spec, layout = run.spec, run.layout  # the run itself stays here

    def work_through(tiles: Sequence[int]) -> tuple[dict[int, str], float]:
        started = time.perf_counter()
        keys = {layout.locate(tile): tile for tile in tiles}
        reasons = {keys[key]: reason for key, reason in function(list(keys)).items()}
        seconds = time.perf_counter() - started
        fine = _spans([(tile, True) for tile in tiles if tile not in reasons])
        # Whether errors are final, the driver decides; and where the run has ended, it learns it.
        with suppress(RaytrackerError):
            if fine:
                reporter().report(spec, fine, {}, held_elsewhere=True)
        return reasons, seconds

    return work_through


def _spans(tiles: Iterable[tuple[int, bool]]) -> list[Span]:
    outcomes = Outcomes()
    for tile, is_fine in tiles:
        outcomes.join(tile, SUCCESS if is_fine else ERROR)
    return list(outcomes.spans())
