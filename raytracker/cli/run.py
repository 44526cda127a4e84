"""`raytracker run`: everything that can be refused is, before Ray starts; then process_image."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import ImageExists, JobCancelled, RayNotInitialized, RaytrackerError, TableUnavailable
from ..imagery import Grid
from ..imagery.names import is_in_s3
from ..job_table import JobItem, JobTable, check_image_id
from ..pipeline import (
    JOB,
    MAP,
    Assembly,
    Cut,
    Plan,
    ResultStore,
    Work,
    files_of,
    plan_image,
    process_image,
    workers_of,
)
from ..run import IfExists, in_time, once_free
from ..tracker import ImageTracker
from .display import Display
from .embedded import embedded_table
from .function import load_function
from .interrupt import Interrupted, Interruptible, Signals
from .show import EXIT_STATUS, in_short, one_line, print_json, print_summary, so_far
from .tables import resume_line

START_SECONDS = 30.0
AWAY_SECONDS = 2.0  # a table that does not answer for so long is not waited for at the end
LEAVE_SECONDS = 10.0
KNOCK_SECONDS = 5.0
POLL_SECONDS = 0.1
HANDLER_SECONDS = 0.01


def run_image(
    image: str,
    function: str,
    *,
    table_name: str,
    cut: Mapping[str, Any],
    assembly: Mapping[str, Any],
    keep_tiles: bool,
    batch_size: int | None,
    work: Work,
    image_id: str | None,
    if_exists: IfExists,
    redrive: bool,
    take_over: bool,
    output: str | None,
    keep_for: int | None,
    topics: Mapping[str, Any],
    as_json: bool,
    embedded: bool,
    allowed: Mapping[str, Any],
) -> int:
    """Runs an image, shows how it goes, and returns the exit status.

    The arguments are the command's; `cut` are those of `pipeline.Cut`, `assembly` those of
    `pipeline.Assembly`, `allowed` are `allow_url`
    and `allow_driver`, `topics` `status_topic` and `region_status_topic`.
    """
    files: dict[str, str] = {}
    # What a module prints when it is imported must not get between the job and its reader.
    with redirect_stdout(sys.stderr), Signals() as signals, ExitStack() as stack:
        call = load_function(function)
        workers_of(call, work)  # which refuses what is none
        display = stack.enter_context(Display())
        on_s3 = is_in_s3(image) or (output or "").startswith("s3://")
        table = _embedded(stack, table_name, on_s3, display) if embedded else JobTable(table_name)
        given: dict[str, Any] = {
            "table": table,
            "image_id": image_id,
            "output": output,
            "if_exists": if_exists,
            "take_over": take_over,
            "work": work,
            **allowed,
        }
        planned = plan_image(image, call, Cut(**cut), Assembly(**assembly), **given)
        image_id = planned.job.image_id
        check_image_id(image_id)
        before = _once_free(table, image_id, if_exists, take_over, display)
        display.say(_in_words(planned))
        display.doing("starting Ray")
        stack.enter_context(ray_at(None if embedded else os.environ.get("RAY_ADDRESS"), signals))
        display.doing("processing")
        process = partial(
            process_image,
            image,
            call,
            redrive=redrive,
            keep_for=keep_for,
            batch_size=batch_size,
            on_progress=display.update,
            **(given | {"image_id": image_id}),
            keep_tiles=keep_tiles,
            **topics,
            **cut,
            **assembly,
        )
        resume = None if embedded else resume_line(image_id, function, table_name, **allowed)
        run = _Run(process, display, table, image_id, before, resume)
        job, code = run.supervise(signals)
        if job is not None and planned.store is not None:
            display.doing("drawing the picture")
            files = _files(job, planned.grid, planned.store, display)
        display.end()
        if job is not None and not display.live:
            display.say(in_short(job))
    if job is not None and as_json:
        print_json(job, busy=display.busy, files=files, trouble=display.trouble)
    elif job is not None:
        print_summary(job, files, display.busy)
    return code


def _embedded(stack: ExitStack, name: str, on_s3: bool, display: Display) -> JobTable:
    table = embedded_table(stack, name, keeps_account=on_s3)
    where = f"embedded DynamoDB at {table.endpoint_url}"
    display.say(f"{where}, gone when this command ends; table {name}")
    return table


def _in_words(planned: Plan) -> str:
    tiles = planned.grid.tiles_per_region
    text = f"image {planned.job.image_id}: regions {len(tiles)}, tiles {sum(tiles)}"
    if not planned.is_begun:
        return text
    where = "no output" if planned.store is None else f"output {planned.store.url}"
    size = "x".join(map(str, planned.grid.tile_size))
    return f"{text}; going on with tiles of {size} of {planned.grid.info.url}, {where}"


def _once_free(
    table: JobTable, image_id: str, if_exists: str, take_over: bool, display: Display
) -> str | None:
    """Finds out whether the image can be run; returns the run that it has in the table.

    Raises:
        ImageExists: It has one, and that is not wanted.
        ImageInUse: Another process runs it, and lives.
        TableError: There is no such table, its key is another, or credentials are missing.
    """
    found = table.read(image_id)
    if found is not None and if_exists == "error":
        raise ImageExists(
            f"image {image_id!r} is in table {table.table_name!r} already "
            f"({found.status}, {so_far(found)}): --resume goes on with it, --redrive also runs "
            "its failed regions again, --if-exists restart begins from nothing"
        )
    if found is None:
        return None
    found = once_free(found, lambda: table.read(image_id), take_over=take_over, say=display.say)
    return found.tracker_run


@contextmanager
def ray_at(address: str | None, signals: Signals) -> Iterator[None]:
    """A connection to a Ray cluster; without an address, to one of its own.

    A Ray that is broken off while it starts leaves processes behind, so signals wait until then.
    """
    # Else Ray warns of what it will do about this variable some day.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    begin = partial(
        ray.init,
        address=address or "local",
        include_dashboard=False,
        log_to_driver=False,  # it would print to stdout what the function prints
        logging_level=logging.ERROR,
    )
    # Ray's processes end when the thread does that started them, so one is kept.
    with ThreadPoolExecutor(1) as thread:
        try:
            _knock(address or "local")
            _aside(thread, begin, signals)
        except Exception as err:
            what = f"no Ray at {address} (RAY_ADDRESS)" if address else "Ray did not start"
            raise RayNotInitialized(f"{what}: {one_line(err)}") from err
        try:
            signals.breaking_off()
            yield
        finally:
            _aside(thread, ray.shutdown, signals)


def _aside(thread: Executor, call: Callable[[], object], signals: Signals) -> None:
    """Calls Ray in a thread, while this one sees to it that signals wait.

    Ray puts handlers of its own in place of the command's: in C++ while it connects, and the
    system's default while it shuts down, which takes a second; in the main thread, Python's too.
    """
    signals.waiting()
    called = thread.submit(call)
    while not called.done():
        wait([called], HANDLER_SECONDS)
        signals.waiting()
    called.result()


def _knock(address: str) -> None:
    """Finds out whether somebody is at HOST:PORT: Ray itself would try for many minutes.

    Raises:
        OSError: Nobody is.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdecimal():  # and not "auto" or "local"
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


@dataclass(frozen=True)
class _Run:
    """One image on its way.

    Attributes:
        call: Processes it.
        display: Shows how far it is.
        table: Where its item is.
        image_id: Its key there.
        before: The run that the item belonged to until now.
        resume: The command that goes on with it, if its table stays.
    """

    call: Callable[[], JobItem]
    display: Display
    table: JobTable
    image_id: str
    before: str | None
    resume: str | None

    def supervise(self, signals: Signals) -> tuple[JobItem | None, int]:
        """Processes the image to its end or to a signal; returns the job and the exit status."""
        with Interruptible(self.call, then=signals.waiting) as work:
            try:
                job: JobItem | None = work.result()
            except JobCancelled:  # from elsewhere
                job = self.table.read(self.image_id)
            except Interrupted as signal:
                self.display.end()
                self.display.say(
                    f"{signal}: cancelling image {self.image_id} (once more: leave at once)"
                )
                return self._cancel(work), 128 + signal.number
        return job, 1 if job is None else EXIT_STATUS.get(job.status, 1)

    def _cancel(self, work: Interruptible[JobItem]) -> JobItem | None:
        """Cancels the image, durably, and says so; returns the job."""
        say = self.display.say
        try:
            if not self._has_begun(work):
                say(f"image {self.image_id} had not been started")
                return None
        except TableUnavailable as err:
            say(f"image {self.image_id} could not be cancelled: {one_line(err)}")
            say(self.display.seen or "nothing is known of what had been done")
            if self.resume is not None:
                say(f"what is in the table is kept; go on with: {self.resume}")
            return None
        except RaytrackerError as err:
            say(f"image {self.image_id} could not be cancelled: {one_line(err)}")
            return None
        try:
            ImageTracker.attach(self.image_id, table=self.table).cancel()
            job = self.table.read(self.image_id)
        except RaytrackerError as err:
            say(f"image {self.image_id} could not be cancelled: {one_line(err)}")
            job = None
        else:
            work.join(LEAVE_SECONDS)
            if job is not None and job.status == "CANCELLED":
                say(f"image {self.image_id} is cancelled, {so_far(job)}")
        if self.resume is not None and (job is None or job.status == "CANCELLED"):
            say(f"go on with: {self.resume}")
        return job

    def _has_begun(self, work: Interruptible[JobItem]) -> bool:
        """Waits until the image has a run of this command, to be cancelled; False: it won't.

        Raises:
            TableUnavailable: The table does not answer.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            ended = work.ended  # looked at first: what it did before its end is then seen
            found = in_time(lambda: self.table.read(self.image_id), AWAY_SECONDS)
            if found is not None and found.tracker_run not in (None, self.before):
                return True
            if ended:
                return False
            time.sleep(POLL_SECONDS)
        return False


def _files(job: JobItem, grid: Grid, store: ResultStore, display: Display) -> dict[str, str]:
    """Draws the picture; returns what lies where in the output.

    Signals wait meanwhile: GDAL and matplotlib are not to be broken off, and it takes seconds.
    """
    files = {name: f"{store.url}/{file}" for name, file in files_of(job).items()}
    if files:
        files = {"job": f"{store.url}/{JOB}", **files}
    try:
        from .map import features_of, picture_of

        store.write(MAP, picture_of(job, grid, features_of(store) if "results" in files else ()))
    except Exception as err:  # whatever it is, the job has ended as its status says
        display.say(f"no picture: {type(err).__name__}: {one_line(err)}")
        return files
    return {**files, "picture": f"{store.url}/{MAP}"}
