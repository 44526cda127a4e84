"""The driver's side: tasks in bounded number, each reported by the driver when it has finished.

The driver reports what a task can't: that its worker was killed, ran out of memory, or was lost
with its node. And it reports once more what tasks reported themselves, because a worker may be
killed before its own report is durable.
"""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray

from ..errors import JobStopped, RayNotInitialized, RaytrackerError
from ..ledger import ERROR, SUCCESS, Layout, Span, reason_of
from ..ray_runtime import check_connected, cluster, is_connected, unwrap
from ..reporter import reporter
from ..run import Run, end_early
from . import attempt
from .policy import Tolerance

TASKS_PER_CPU = 4
POLL_SECONDS = 0.1
STOP_SECONDS = 30.0

Key = int | tuple[int, int]
Item = tuple[Key, tuple[Any, ...]]
Result = tuple[Key, Any, BaseException | None]
_End = BaseException | None


class Results(Iterator[Result]):
    """The results of `ImageTracker.map_unordered`, in the order in which tasks finish.

    Tasks run whether or not this is read. Closing or dropping it cancels what is in flight; a task
    that is in a call into C then, and does not leave it, is ended some seconds later.
    """

    _drain: _Drain | None = None

    def __init__(
        self,
        run: Run,
        remote_function: Any,
        items: Iterable[Item],
        *,
        max_in_flight: int | None,
        timeout: float | None,
        tolerance: Tolerance,
    ) -> None:
        check_connected()
        if max_in_flight is None:
            max_in_flight = TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight={max_in_flight}: it is at least 1")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"timeout={timeout}: it is more than 0 seconds")
        # The thread must not hold this object, or dropping it would go unnoticed.
        self._drain = drain = _Drain(
            run,
            _tracked(run, remote_function, timeout),
            iter(items),
            max_in_flight,
            tolerance,
        )
        self._results = drain.results
        self._ended = False
        threading.Thread(target=drain.run, daemon=True, name="raytracker-map").start()

    def __next__(self) -> Result:
        if self._ended:
            raise StopIteration
        entry = self._results.get()
        if isinstance(entry, tuple):
            return entry
        self._ended = True
        if entry is not None:
            raise entry
        raise StopIteration

    def close(self) -> None:
        """Submits no more tasks, and cancels those in flight."""
        if self._drain is not None:
            self._drain.stop.set()

    def __del__(self) -> None:
        self.close()


class _Drain:
    """Submits tasks and takes their results, in a thread of its own."""

    def __init__(
        self,
        run: Run,
        function: Any,
        items: Iterator[Item],
        max_in_flight: int,
        tolerance: Tolerance,
    ) -> None:
        self.results: queue.SimpleQueue[Result | _End] = queue.SimpleQueue()
        self.stop = threading.Event()
        self._run = run
        self._function = function
        self._items = items
        self._max_in_flight = max_in_flight
        self._tolerance = tolerance
        self._failed_tasks = self._failed_tiles = 0
        self._in_flight: dict[Any, Key] = {}
        self._cluster = cluster()

    def run(self) -> None:
        with self._run.mapping():
            end = self._drain()
        self.results.put(end)
        self._cancel()

    def _drain(self) -> _End:
        """Runs all tasks; returns what ended it early, for the consumer to see."""
        try:
            more = self._submit()
            while self._in_flight and not self.stop.is_set():
                if cluster() != self._cluster:  # or Ray would start another by itself
                    raise RayNotInitialized("the cluster of these tasks has gone")
                for reference in self._finished():
                    self._take(reference)
                if self._is_past_tolerance():
                    raise self._stopped()
                if more:
                    more = self._submit()
        except BaseException as err:  # of the items' iterator, or of a key
            return err
        return None

    def _cancel(self) -> None:
        """Cancels what is in flight; ends the workers of what does not come back to Python."""
        left = list(self._in_flight)
        for force in (False, True):
            if not left or not is_connected():
                return
            for reference in left:
                ray.cancel(reference, force=force)
            _, left = ray.wait(
                left, num_returns=len(left), timeout=attempt.GRACE_SECONDS, fetch_local=False
            )

    def _submit(self) -> bool:
        """Submits until enough are in flight; returns whether there may be more items."""
        while len(self._in_flight) < self._max_in_flight and not self.stop.is_set():
            try:
                key, args = next(self._items)
            except StopIteration:
                return False
            _numbers(self._run.layout, key)  # an unknown region is told before its task runs
            self._in_flight[self._function.remote(key, args)] = key
        return True

    def _finished(self) -> list[Any]:
        references = list(self._in_flight)
        ready, _ = ray.wait(references, num_returns=1, timeout=POLL_SECONDS)
        if ready:  # and whatever else is ready by now
            ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
        return ready

    def _take(self, reference: Any) -> None:
        key = self._in_flight.pop(reference)
        numbers = _numbers(self._run.layout, key)
        try:
            result, spans, reasons = ray.get(reference)
        except Exception as err:
            cause = _cause(err)
            self._failed_tasks += 1
            self._failed_tiles += len(numbers)
            first = numbers[0]
            self._report([(first, ERROR * len(numbers))], {first: reason_of(cause)})
            self.results.put((key, None, cause))
        else:
            self._report(spans, reasons)
            self.results.put((key, result, None))

    def _report(self, spans: Sequence[Span], reasons: Mapping[int, str]) -> None:
        self._run.report(spans, reasons)

    def _is_past_tolerance(self) -> bool:
        tiles = self._run.layout.tile_count
        return self._tolerance.exceeded(self._failed_tasks, self._failed_tiles, tiles)

    def _stopped(self) -> JobStopped:
        """Ends the job as it stands, durably; returns what the consumer is told."""
        for reference in self._in_flight:
            ray.cancel(reference)
        end_early(self._run, "STOPPED", STOP_SECONDS)
        return JobStopped(
            f"image {self._run.image_id!r} was stopped: {self._failed_tasks} tasks failed, which "
            f"are {self._failed_tiles} of its {self._run.layout.tile_count} tiles; tolerated are "
            + " and ".join(
                text
                for value, text in (
                    (self._tolerance.count, f"{self._tolerance.count} tasks"),
                    (self._tolerance.percentage, f"{self._tolerance.percentage} % of the tiles"),
                )
                if value is not None
            )
        )


def _tracked(run: Run, remote_function: Any, timeout: float | None) -> Any:
    """Returns a remote function that runs the given one, and returns what it reported as well."""
    function, options = unwrap(remote_function)
    if options.get("num_returns", 1) != 1:
        raise TypeError(f"num_returns={options['num_returns']!r}: map_unordered takes one result")
    spec, layout = run.spec, run.layout
    options.setdefault("name", getattr(function, "__name__", "tile"))

    @functools.wraps(function)
    def attempted(key: Key, args: tuple[Any, ...]) -> Any:
        numbers = _numbers(layout, key)
        with attempt.running(spec) as this, attempt.limited(timeout):
            result = function(*args)
        untold = [(numbers[0], this.outcomes.untold(numbers[0], SUCCESS * len(numbers)))]
        this.add(untold, {})
        # Where the run has ended, the driver learns of it; the result is still a result.
        with suppress(RaytrackerError):
            reporter().report(spec, untold, {})
        return result, list(this.outcomes.spans()), this.reasons

    del attempted.__wrapped__  # Ray checks the arguments against it
    return ray.remote(attempted) if not options else ray.remote(**options)(attempted)


def _numbers(layout: Layout, key: Key) -> range:
    """Returns the numbers of the tiles that a key names.

    Raises:
        UnknownRegion: The image has no such region or tile.
    """
    if not isinstance(key, tuple):
        return layout.tiles(key)
    number = layout.tile_number(*key)
    return range(number, number + 1)


def _cause(error: BaseException) -> BaseException:
    """Returns what the task raised, without Ray's wrapping; else Ray's own error."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error
