"""ImageTracker: the handle that people hold, in the driver and in tasks."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property, lru_cache
from types import TracebackType
from typing import Any

import ray

from .actor import Spec
from .errors import RaytrackerError
from .events import Subscriber
from .image_request import ImageRequest
from .job_table import KEEP_SECONDS, JobItem, JobTable, Topics, ledger_of
from .ledger import Layout
from .mapping import (
    ChunkFunction,
    Given,
    Results,
    Tolerance,
    WorkerPool,
    map_chunks,
    map_items,
)
from .run import (
    Begun,
    How,
    IfExists,
    Wait,
    begin,
    end_early,
    end_settled,
    go_on,
    job_item,
    job_table,
    keep,
    leave,
    patiently,
    read_tracked,
)
from .telling import Teller

POOL_SIZE = 2


class ImageTracker(Teller):
    """Knows how far one image has come; made by `start`, `resume` or `attach`, never directly.

    It pickles to a few hundred bytes: pass it to tasks as an argument. All it says is about one run
    of one image; when another run takes the image over, it raises TrackerSuperseded.

    Attributes:
        image_id: The image.
        run: The run, a uuid.
        table: The job table.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._pickled,)

    @cached_property
    def _pickled(self) -> bytes:
        return bytes(ray.cloudpickle.dumps((self._run.spec, self._run.layout.encode())))

    # --- beginning ---

    @classmethod
    def start(
        cls,
        job: JobItem | ImageRequest | str,
        *,
        regions: int | Sequence[int],
        table: JobTable | str,
        if_exists: IfExists = "error",
        flush_interval: float = 1.0,
        max_wcu_per_second: float = 25.0,
        pool: str | None = None,
        pool_size: int = POOL_SIZE,
        grid: Mapping[str, Any] | None = None,
        redrive: bool = False,
        keep_for: float | timedelta | None = KEEP_SECONDS,
        ends: bool = True,
        take_over: bool = False,
        on_event: Subscriber | None = None,
        status_topic: str | None = None,
        region_status_topic: str | None = None,
    ) -> ImageTracker:
        """Starts tracking an image; returns when its job item is in DynamoDB.

        Args:
            job: The job item, a request to make it of, or an image_id.
            regions: The number of regions, of one tile each; or the number of tiles of each.
            table: The job table, or the name of one that boto3's configuration finds.
            if_exists: What to do when the item is there: "error" refuses, "resume" goes on where
                it stands, "restart" begins again from nothing.
            flush_interval: Seconds between flushes, at least.
            max_wcu_per_second: Write capacity units that the flushes use, at most, on average.
            pool: The name of a pool: a fixed number of actors, the same for all images of the pool,
                hosts them. None: the image has an actor of its own.
            pool_size: How many actors the pool has; the same for all its images.
            grid: How the image was cut: JSON-able; a later resume must bring an equal one.
            redrive: Whether a resume makes failed tiles pending again.
            keep_for: Seconds, or a timedelta, that the item is kept after the last sign of life of
                the run, which this handle is one of, too; None: for ever.
            ends: Whether it ends by itself once all is settled, or at `end()`; a resume keeps that.
            take_over: Whether a process that runs the image, and lives, is superseded. Else two
                minutes are waited for a sign of life of one that may have gone.
            on_event: Called with each event (`raytracker.events`) in the image's actor, in a thread
                of its own; what it raises is logged. Ray must be able to pickle it.
            status_topic: ARN of an SNS topic that is told how the image stands, as OSML's is; a
                resume keeps it. None: IMAGE_STATUS_TOPIC of the environment, if set; empty: none.
            region_status_topic: The same of its regions, and REGION_STATUS_TOPIC.

        Raises:
            ImageExists: The item is there, and `if_exists` is "error".
            ImageInUse: Another process runs it, and lives.
            InvalidLayout: There is no region, one without a tile, or more than an item holds.
            InvalidImageId: The image_id is empty or longer than DynamoDB allows.
            ResumeMismatch: A resume with another layout or grid than the item's.
            ValueError: A number, `pool`, `on_event` or a topic is none; nothing is written.
            RayNotInitialized: This process is not connected to a Ray cluster.
            TableError: DynamoDB refuses the write.
            TableUnavailable: DynamoDB did not answer for half a minute.
        """
        pace = flush_interval, max_wcu_per_second, keep_for
        topics = Topics.of(status_topic, region_status_topic)
        how = How.of(*pace, pool, pool_size, ends, take_over, on_event, topics)
        begun = begin(job_item(job), regions, job_table(table), if_exists, grid, redrive, how)
        return cls._ready(begun)

    @classmethod
    def resume(
        cls,
        image_id: str,
        *,
        table: JobTable | str,
        redrive: bool = False,
        flush_interval: float = 1.0,
        max_wcu_per_second: float = 25.0,
        pool: str | None = None,
        pool_size: int = POOL_SIZE,
        keep_for: float | timedelta | None = KEEP_SECONDS,
        take_over: bool = False,
        on_event: Subscriber | None = None,
    ) -> ImageTracker:
        """Goes on with an image where its item stands, also after its cluster has gone.

        Args:
            image_id: The image.
            table: The job table, or its name.
            redrive: Whether failed tiles become pending again.
            flush_interval: Seconds between flushes, at least.
            max_wcu_per_second: Write capacity units that the flushes use, at most, on average.
            pool: As for `start`; the pool of the run before is not kept.
            pool_size: As for `start`.
            keep_for: As for `start`; that of the run before is not kept.
            take_over: As for `start`.
            on_event: As for `start`; that of the run before is not kept.

        Raises:
            JobVanished: There is no such item.
            ImageInUse: Another process runs it, and lives.
            ResumeMismatch: No run ever tracked the item.
            LedgerError: The item's ledger cannot be read.
            ValueError: A number, `pool` or `on_event` is none; nothing is written.
            RayNotInitialized: This process is not connected to a Ray cluster.
        """
        pace = flush_interval, max_wcu_per_second, keep_for
        how = How.of(*pace, pool, pool_size, take_over=take_over, on_event=on_event)
        return cls._ready(go_on(image_id, job_table(table), how, redrive=redrive))

    @classmethod
    def attach(cls, image_id: str, *, table: JobTable | str) -> ImageTracker:
        """Returns a handle of the run that is going on, or has ended; needs no Ray to read.

        Args:
            image_id: The image.
            table: The job table, or its name.

        Raises:
            JobVanished: There is no such item.
            ResumeMismatch: No run ever tracked the item.
            LedgerError: The item's ledger cannot be read.
        """
        table = job_table(table)
        found = patiently(lambda: read_tracked(table, image_id))
        # Who attached does not end it, so its end is waited for.
        return cls(Spec.of(found, table), ledger_of(found).layout)

    @classmethod
    def _ready(cls, begun: Begun) -> ImageTracker:
        tracker = cls(begun.spec, begun.layout)
        tracker._run.is_fresh = begun.before is None
        keep(tracker._run, begun.before)
        return tracker

    # --- the driver's side ---

    def map_unordered(
        self,
        remote_function: Any,
        items: Iterable[Given],
        max_in_flight: int | None = None,
        *,
        timeout: float | None = None,
        tolerated_failure_count: int | None = None,
        tolerated_failure_percentage: float | None = None,
    ) -> Results:
        """Runs a Ray task for each item, and reports its region or tile when it has finished.

        Tasks are submitted at once, and go on whatever the consumer does; their results stay with
        Ray until they are taken. (Inside a Ray task or actor they are submitted while the consumer
        waits for a result, or for the image.) A task that returns is a success of its key, but for
        what was told of it, by itself or by its own tasks; one that finally fails, for whatever
        cause, is an error with that reason. What an attempt told that Ray repeats is nothing, but
        for successes. Dropping the iterator, or Ctrl-C, cancels what is in flight, and ends the
        workers of tasks that have not left a call into C five seconds later.

        Args:
            remote_function: A function with `@ray.remote`, or its `.options(...)`.
            items: (key, args) or (key, args, kwargs), read lazily; a key is a region, or (region,
                tile). Arguments are passed as Ray passes them: references among them are resolved.
            max_in_flight: How many tasks are submitted and not finished, at most; None: four for
                each CPU that the cluster has at the moment.
            timeout: Seconds that an attempt of a task may take, from when it begins to run; it is
                then interrupted, and an error with that reason unless Ray tries it again.
            tolerated_failure_count: So many regions may be errors, or tiles where keys are tiles,
                those of earlier runs included. When one more fails, the job is stopped as it
                stands, durably: what is in flight is cancelled, and JobStopped raised.
            tolerated_failure_percentage: The same, in percent of the image's tiles.

        Yields:
            (key, result, error), in the order in which tasks finish; error is None, or the
            exception that the task failed with, or that its result could not be fetched with.

        Raises:
            TypeError: The function is not a remote one, does not return one result, or cannot be
                pickled; or an item is none.
            ValueError: A limit is out of its range, or the function too large with what it refers
                to: give that as an argument.
            UnknownRegion: An item's key is none of the image's.
            JobStopped: More failed than is tolerated.
        """
        return map_items(
            self._run,
            remote_function,
            items,
            max_in_flight=max_in_flight,
            timeout=timeout,
            tolerance=Tolerance(tolerated_failure_count, tolerated_failure_percentage),
        )

    def map_chunks(
        self,
        function: ChunkFunction,
        *,
        workers: WorkerPool | None = None,
        options: Mapping[str, Any] | None = None,
        retries: int = 2,
        grain: int = 1,
        order: Iterable[int] | None = None,
        max_in_flight: int | None = None,
        tolerated_failure_count: int | None = None,
        tolerated_failure_percentage: float | None = None,
    ) -> Results:
        """Runs a function over the pending tiles, many in one Ray task, and reports each.

        A chunk grows until it takes about half a second, and is how tiles travel, nothing more: a
        tile that fails is tried again alone, and one whose process dies is found by halving, while
        its mates succeed. What is lost with its node goes again, and counts for nothing; so does a
        tile's first want of memory. Ray's own retries are off.

        Args:
            function: Called in tasks as `function([(region, tile), ...])`, or in workers as
                `function(model, [...])`; returns a mapping with the reason of each that failed, {}
                if none did, or a `Worked`. What it raises is the reason of all; InvalidFunction
                ends the map.
            workers: What works through them; None: Ray tasks.
            options: Of the tasks, as `ray.remote` takes them, such as `num_cpus` and `resources`.
            retries: How often a tile is tried again that fails, or dies with its process alone.
            grain: So many tiles a chunk, or a multiple.
            order: The numbers of all tiles of the image, counted region by region, in the order in
                which they go; None: as they are counted.
            max_in_flight: As for `map_unordered`, in chunks; workers have two each.
            tolerated_failure_count: As for `map_unordered`, in tiles.
            tolerated_failure_percentage: As for `map_unordered`.

        Yields:
            (how many tiles were settled, None, None), as chunks finish.

        Raises:
            TypeError: The function cannot be pickled.
            ValueError: A limit is out of its range, or the function too large.
            JobStopped: More failed than is tolerated.
            ModelFailed: No worker has a model.
            InvalidFunction: What the function raised.
        """
        return map_chunks(
            self._run,
            function,
            workers=workers,
            options=options or {},
            retries=retries,
            grain=grain,
            order=order,
            max_in_flight=max_in_flight,
            tolerance=Tolerance(tolerated_failure_count, tolerated_failure_percentage),
        )

    # --- waiting and ending ---

    def wait(self, timeout: float | None = None, *, stall_timeout: float | None = None) -> JobItem:
        """Waits until every region is settled and durable, or the job was cancelled or stopped.

        The end of one that was begun with `ends=False` only who has attached to it waits for.

        Args:
            timeout: Seconds to wait; None: as long as it takes.
            stall_timeout: Seconds without progress after which ImageStalled is raised if Ray shows
                nothing that runs or is queued: who knows that no idle actor will report. None:
                after a minute, and only if it is certain that nothing is left which could report:
                no task, no actor, no other driver. `math.inf`: never.

        Returns:
            The job item.

        Raises:
            WaitTimeout: It was not so in time; the text names the pending regions, and what is
                wrong with the table or the actor.
            ImageStalled: Nothing can come any more; the text names the regions.
            TableError: DynamoDB refuses, and will until somebody changes something.
            ActorUnavailable: The actor cannot be started or reached.
            TrackerSuperseded, JobVanished, LedgerError: What ended this run.
        """
        return self._saw(Wait(self._run, timeout, stall_timeout).result())

    def end(self, timeout: float = 30) -> JobItem:
        """Ends a settled image that was begun with `ends=False`; durable when it returns.

        Args:
            timeout: Seconds to wait.

        Returns:
            The ended job item.

        Raises:
            RaytrackerError: Tiles are pending.
            ActorUnavailable: The actor cannot be reached.
            WaitTimeout: It was not durable in time.
            TrackerSuperseded, JobVanished, LedgerError: What ended this run.
        """
        return self._saw(end_settled(self._run, timeout))

    def cancel(self, timeout: float = 30) -> None:
        """Ends the job as it stands; durable when it returns. Later reports raise JobCancelled.

        One that has ended already stays as it is.

        Args:
            timeout: Seconds to wait.

        Raises:
            ActorUnavailable: The actor cannot be reached.
            WaitTimeout: It was not durable in time.
            TrackerSuperseded, JobVanished, LedgerError: What ended this run.
        """
        end_early(self._run, "CANCELLED", timeout)

    def __enter__(self) -> ImageTracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.flush()
        except RaytrackerError:
            if error is None:
                raise
            # The block's own exception tells more; what was not durable runs again in a resume.
        if error is not None:
            leave(self._run)


@lru_cache(maxsize=64)
def _unpickle(pickled: bytes) -> ImageTracker:
    # A tracker goes with every task: it is taken apart once, and put together once a process.
    spec, layout = pickle.loads(pickled)
    return ImageTracker(spec, Layout.decode(layout))
