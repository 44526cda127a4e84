"""The driver's side: tasks in bounded number, each reported by the driver when it has finished.

The driver reports what a task can't: that its worker was killed, ran out of memory, or was lost
with its node. And it reports once more what tasks reported themselves, because a worker may be
killed before its own report is durable.
"""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from .. import actor
from ..errors import JobStopped, RayNotInitialized, RaytrackerError
from ..ledger import ERROR, SUCCESS, Span
from ..reporter import reporter
from . import attempt
from .waiting import end_early

if TYPE_CHECKING:
    from .tracker import ImageTracker

TASKS_PER_CPU = 4
POLL_SECONDS = 0.1
STOP_SECONDS = 30.0

Key = int | tuple[int, int]
Item = tuple[Key, tuple[Any, ...]]
Result = tuple[Key, Any, BaseException | None]
_End = BaseException | None


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


class Results(Iterator[Result]):
    """The results of `ImageTracker.map_unordered`, in the order in which tasks finish.

    Tasks run whether or not this is read. Closing or dropping it cancels what is in flight; a task
    that is in a call into C then, and does not leave it, is ended some seconds later.
    """

    _drain: _Drain | None = None

    def __init__(
        self,
        tracker: ImageTracker,
        remote_function: Any,
        items: Iterable[Item],
        *,
        max_in_flight: int | None,
        timeout: float | None,
        tolerance: Tolerance,
    ) -> None:
        if max_in_flight is None:
            max_in_flight = TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight={max_in_flight}: it is at least 1")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"timeout={timeout}: it is more than 0 seconds")
        # The thread must not hold this object, or dropping it would go unnoticed.
        self._drain = drain = _Drain(
            tracker,
            _tracked(tracker, remote_function, timeout),
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
        tracker: ImageTracker,
        function: Any,
        items: Iterator[Item],
        max_in_flight: int,
        tolerance: Tolerance,
    ) -> None:
        self.results: queue.SimpleQueue[Result | _End] = queue.SimpleQueue()
        self.stop = threading.Event()
        self._tracker = tracker
        self._function = function
        self._items = items
        self._max_in_flight = max_in_flight
        self._tolerance = tolerance
        self._failed_tasks = self._failed_tiles = 0
        self._in_flight: dict[Any, Key] = {}
        self._cluster = actor.cluster()

    def run(self) -> None:
        end: _End = None
        self._tracker._mapping(+1)
        try:
            more = self._submit()
            while self._in_flight and not self.stop.is_set():
                if actor.cluster() != self._cluster:  # or Ray would start another by itself
                    raise RayNotInitialized("the cluster of these tasks has gone")
                for reference in self._finished():
                    self._take(reference)
                if self._is_past_tolerance():
                    raise self._stopped()
                if more:
                    more = self._submit()
        except BaseException as err:  # of the items' iterator, or of a key: the consumer's to see
            end = err
        finally:
            self._tracker._mapping(-1)
            self.results.put(end)
            self._cancel()

    def _cancel(self) -> None:
        """Cancels what is in flight; ends the workers of what does not come back to Python."""
        left = list(self._in_flight)
        for force in (False, True):
            if not left or not ray.is_initialized():
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
            _numbers(self._tracker, key)  # an unknown region is told before its task runs
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
        numbers = _numbers(self._tracker, key)
        try:
            result, spans, reasons = ray.get(reference)
        except Exception as err:
            cause = _cause(err)
            self._failed_tasks += 1
            self._failed_tiles += len(numbers)
            first = numbers[0]
            self._report([(first, ERROR * len(numbers))], {first: reason(cause)})
            self.results.put((key, None, cause))
        else:
            self._report(spans, reasons)
            self.results.put((key, result, None))

    def _report(self, spans: Sequence[Span], reasons: Mapping[int, str]) -> None:
        reporter().report(self._tracker._spec, spans, reasons)

    def _is_past_tolerance(self) -> bool:
        tiles = self._tracker._layout.tile_count
        return self._tolerance.exceeded(self._failed_tasks, self._failed_tiles, tiles)

    def _stopped(self) -> JobStopped:
        """Ends the job as it stands, durably; returns what the consumer is told."""
        tracker = self._tracker
        for reference in self._in_flight:
            ray.cancel(reference)
        end_early(tracker, "STOPPED", STOP_SECONDS)
        return JobStopped(
            f"image {tracker.image_id!r} was stopped: {self._failed_tasks} tasks failed, which "
            f"are {self._failed_tiles} of its {tracker._layout.tile_count} tiles; tolerated are "
            + " and ".join(
                text
                for value, text in (
                    (self._tolerance.count, f"{self._tolerance.count} tasks"),
                    (self._tolerance.percentage, f"{self._tolerance.percentage} % of the tiles"),
                )
                if value is not None
            )
        )


def _tracked(tracker: ImageTracker, remote_function: Any, timeout: float | None) -> Any:
    """Returns a remote function that runs the given one, and returns what it reported as well."""
    if not hasattr(remote_function, "remote") or not hasattr(remote_function, "bind"):
        raise TypeError(f"{remote_function!r} is no remote function: decorate it with @ray.remote")
    node = remote_function.bind()  # the same for f and for f.options(...)
    options = {name: value for name, value in node.get_options().items() if value is not None}
    if options.get("num_returns", 1) != 1:
        raise TypeError(f"num_returns={options['num_returns']!r}: map_unordered takes one result")
    function: Callable[..., Any] = node._body
    options.setdefault("name", getattr(function, "__name__", "tile"))

    @functools.wraps(function)
    def run(key: Key, args: tuple[Any, ...]) -> Any:
        numbers = _numbers(tracker, key)
        with attempt.running(tracker._spec) as this, attempt.limited(timeout):
            result = function(*args)
        untold = [(numbers[0], this.outcomes.untold(numbers[0], SUCCESS * len(numbers)))]
        this.add(untold, {})
        # Where the run has ended, the driver learns of it; the result is still a result.
        with suppress(RaytrackerError):
            reporter().report(tracker._spec, untold, {})
        return result, list(this.outcomes.spans()), this.reasons

    del run.__wrapped__  # Ray checks the arguments against it
    return ray.remote(run) if not options else ray.remote(**options)(run)


def _numbers(tracker: ImageTracker, key: Key) -> range:
    """Returns the numbers of the tiles that a key names.

    Raises:
        UnknownRegion: The image has no such region or tile.
    """
    if not isinstance(key, tuple):
        return tracker._layout.tiles(key)
    number = tracker._layout.tile_number(*key)
    return range(number, number + 1)


def reason(error: BaseException) -> str:
    """Returns an exception as a reason: its type and the first line of its text."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _cause(error: BaseException) -> BaseException:
    """Returns what the task raised, without Ray's wrapping; else Ray's own error."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error
