"""The commands that end what is in the table: `raytracker cancel` and `raytracker delete`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import (
    CredentialsRefused,
    InvalidImageId,
    JobVanished,
    LedgerError,
    TableError,
    TableUnavailable,
    TrackerSuperseded,
)
from .options import Refused
from .tables import ImageId, TableName, job_of, table_name_of
from .told import told

if TYPE_CHECKING:
    from ..actor.coordinator import Coordinator
    from ..job_table import JobItem, JobTable

CANCEL_SECONDS = 20.0
PAUSES = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds, after what the table did not take
CANCEL_EPILOG = """\
[bold]Examples:[/bold]

raytracker cancel scene.tif --table ImageJobs

raytracker list --silent --json | jq -r .image_id | xargs raytracker cancel

It needs no Ray: the item says CANCELLED, durably, when the command ends. A run that goes on \
learns of it with its next write, within a minute, and its tasks end then. \
`raytracker run --resume` goes on with it."""
DELETE_EPILOG = """\
[bold]Example:[/bold] raytracker delete scene.tif --table ImageJobs --yes

The item is all that goes: image and output stay where they are. A run that lives is not deleted: \
cancel it first, or --force."""

ImageIds = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE_ID...", help="Keys in the table, or paths of local files."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line, for each image.")
]


def cancel(image_ids: ImageIds, table: TableName = None, as_json: AsJson = False) -> None:
    """Cancel images, whether their runs live or not; those that have ended stay as they are."""
    with told():
        from ..job_table import JobTable

        name = table_name_of(table)
        done = [_cancel(image_id, JobTable(name), as_json) for image_id in image_ids]
    raise typer.Exit(0 if all(done) else 2)


def _cancel(image_id: str, table: JobTable, as_json: bool) -> bool:
    """Cancels an image, and says so; returns whether it could, so that others are not kept."""
    from .show import one_line

    try:
        _say(*cancelled(job_of(image_id, table.table_name), table), as_json)
    except CredentialsRefused:
        raise  # for all of them
    except (
        Refused,
        InvalidImageId,
        JobVanished,
        LedgerError,
        TableError,
        TrackerSuperseded,
    ) as err:
        typer.echo(f"raytracker: {one_line(err)}", err=True)
        return False
    return True


def cancelled(
    job: JobItem, table: JobTable, seconds: float = CANCEL_SECONDS
) -> tuple[JobItem, bool]:
    """Has an image end as CANCELLED, as its actor would: claims the item, and writes that.

    Another process that serves the run loses the item by the claim. It claims anew when it has
    something to write, and finds that the image has ended. What it was told since its last flush
    is told again then, and refused: those tiles are pending, and a resume runs them again.

    Args:
        job: The image.
        table: Its table.
        seconds: How long it may take.

    Returns:
        The item as it is then; and whether it had ended before.

    Raises:
        Refused: No run of raytracker's has it.
        JobVanished, TrackerSuperseded, LedgerError: It is gone, another run's, or damaged.
        RaytrackerError: The table did not take it in time.
    """
    if job.end_time is not None:
        return job, True
    if not job.tracker_run or job.tracker_ledger is None:
        raise Refused(
            f"image {job.image_id!r} is not run by raytracker, which cannot cancel it: ask who "
            "wrote its item, or take that away: `raytracker delete`"
        )
    deadline = time.monotonic() + seconds
    while not _ended(job, table):
        if time.monotonic() >= deadline:
            raise TableUnavailable(
                f"image {job.image_id!r}: not cancelled after {seconds:g} s: its run claims it "
                "back; try again, or end its driver"
            )
    return table.read(job.image_id) or job, False


def _ended(job: JobItem, table: JobTable) -> bool:
    """Ends an image; returns whether that is durable, or another process took the item."""
    from ..actor.coordinator import Coordinator

    run, keep_for = job.tracker_run or "", job.tracker_keep_for
    owner = Coordinator(job.image_id, run, table, keep_for=keep_for)
    owner.end("CANCELLED")
    for pause in PAUSES:
        owner.step()
        status = owner.status()
        if status.fault or isinstance(status.trouble, TableError):
            raise status.fault or status.trouble  # type: ignore[misc]  # one of them is
        if owner.finished:
            return not owner.moved
        if status.progress and status.progress.durable and owner.news.outbox.unsent():
            if not _sent(owner):
                return True  # the item keeps them for who serves the image next
            continue
        if status.trouble:
            time.sleep(pause)
    raise owner.status().trouble or TableUnavailable(f"image {job.image_id!r}: not cancelled")


def _sent(owner: Coordinator) -> bool:
    """Sends the last messages of an image that has SNS topics; returns whether they are sent."""
    from ..actor.posting import Sender
    from .show import one_line

    try:
        Sender().send_all(owner)
    except Exception as err:
        image = one_line(owner.image_id)
        typer.echo(f"raytracker: image {image}: SNS is not told: {one_line(err)}", err=True)
        return False
    return True


def delete(
    image_id: ImageId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also of a run that lives, which fails then; or one that is damaged."
        ),
    ] = False,
    table: TableName = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the item that was deleted, as one JSON object.")
    ] = False,
) -> None:
    """Delete the item of an image; the image and its output stay."""
    with told():
        from ..job_table import JobTable
        from .show import one_line

        name = table_name_of(table)
        job = _job(image_id, name, force)
        _check_over(job, force)
        if not yes and not typer.confirm(
            f"delete the item of image {one_line(job.image_id)} ({job.status}) from table {name}?",
            err=True,
        ):
            raise Refused("nothing was deleted")
        if not JobTable(name).delete(job, force=force):
            raise Refused(f"image {job.image_id!r} was written meanwhile, or deleted: look again")
        print(json.dumps(job.to_dict()) if as_json else f"deleted    {one_line(job.image_id)}")


def _job(image_id: str, table_name: str, force: bool) -> JobItem:
    """Returns an item; with force, of one that cannot be read, its key."""
    from ..job_table import JobItem, JobTable

    try:
        return job_of(image_id, table_name)
    except (LedgerError, TableError) as err:
        JobTable(table_name).read_item({"image_id": image_id})  # raises what the table refuses
        if not force:
            raise Refused(f"{err}; --force deletes it by its key, unread") from err
        return JobItem(image_id)


def _check_over(job: JobItem, force: bool) -> None:
    from ..job_table import Starter, is_alive

    who = Starter.of(job)
    if force or not is_alive(job, time.time()) or (who is not None and who.has_gone):
        return
    raise Refused(
        f"image {job.image_id!r} is run by {who or 'a process'}, and that lives: "
        "`raytracker cancel` ends it; --force deletes it all the same"
    )


def _say(job: JobItem, had_ended: bool, as_json: bool) -> None:
    from .show import one_line

    if as_json:
        known = {"image_id": job.image_id, "status": job.status, "had_ended": had_ended}
        print(json.dumps({**known, **job.tile_counts()}), flush=True)
        return
    before = ", as it had ended before" if had_ended else ""
    print(f"{job.status:<9}  {one_line(job.image_id)}{before}", flush=True)
