"""The command `raytracker redrive`: the failed tiles of some images run again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..views import Status
from .options import AllowDriver, AllowUrl, Refused, concurrency_of, seconds_of
from .tables import TableName, job_of, table_name_of
from .told import told

if TYPE_CHECKING:
    from ..job_table import JobItem, JobTable
    from ..views import Wanted

INTERRUPTED = (130, 143)
FAILED = ("PARTIAL", "FAILED")
REDRIVE_EPILOG = """\
[bold]Examples:[/bold]

raytracker redrive detect.py:ships scene-1.tif scene-2.tif --table ImageJobs

raytracker redrive detect.py:ships --status PARTIAL --since 2d --reason "OutOfMemoryError" --yes

Pending and failed tiles of these images run, one image after the other, as `raytracker run \
--redrive` does it; cut, output and merge stand in their items. Others are not touched.

RAY_ADDRESS: the Ray cluster to use; without it, a Ray of its own."""


def redrive(
    function: Annotated[
        str, typer.Argument(metavar="MODULE:FUNCTION", help="What runs on the tiles.")
    ],
    image_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE_ID...", help="Which images; none: those that the options say."
        ),
    ] = None,
    status: Annotated[
        list[Status] | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="With this one; repeat it for several.",
            show_default="PARTIAL and FAILED",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="With news in the last 2d, 12h or 30m.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Of this model.")] = None,
    reason: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="With a failed tile whose reason begins like this."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also with another function than they began with.")
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="As for `run`, and so are the next five.")
    ] = None,
    num_cpus: Annotated[float | None, typer.Option(metavar="N")] = None,
    num_gpus: Annotated[float | None, typer.Option(metavar="N")] = None,
    concurrency: Annotated[str | None, typer.Option(metavar="N|LEAST:MOST")] = None,
    constructor_arg: Annotated[list[str] | None, typer.Option(metavar="TEXT")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS")] = None,
    table: TableName = None,
    allow_url: AllowUrl = False,
    allow_driver: AllowDriver = None,
) -> None:
    """Run the failed and pending tiles of some images again, one image after the other."""
    with told():
        name = table_name_of(table)
        seconds = None if since is None else seconds_of("--since", since)
        from ..job_table import JobTable
        from ..views import Wanted

        wanted = Wanted(
            frozenset(each.value for each in status or ()) or frozenset(FAILED),
            since=None if seconds is None else time.time() - seconds,
            model=model,
        )
        if image_ids:
            jobs = [job_of(each, name) for each in image_ids]
        else:
            jobs = _found(JobTable(name), wanted, reason)
        _show(jobs)
        these = "this image" if len(jobs) == 1 else f"these {len(jobs)} images"
        if jobs and not yes and not typer.confirm(f"redrive {these}?"):
            raise Refused("nothing was done")
        allowed = {"allow_url": allow_url, "allow_driver": tuple(allow_driver or ())}
        from ..pipeline import Work

        work = Work(
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            concurrency=None if concurrency is None else concurrency_of(concurrency),
            fn_constructor_args=tuple(constructor_arg or ()),
            timeout=timeout,
        )
        how = {"batch_size": batch_size, "work": work, "take_over": force, "allowed": allowed}
        code = _run(jobs, function, name, how)
    raise typer.Exit(code)


def _found(table: JobTable, wanted: Wanted, reason: str | None) -> list[JobItem]:
    """Returns the images that fit, the newest first."""
    from ..job_table import jobs_in
    from ..views import newest

    now = time.time()
    fitting = (job for job in jobs_in(table) if wanted.fits(job, now) and job.tracker_run)
    jobs = (table.read(job.image_id) for job in newest(fitting, None))
    return [job for job in jobs if job is not None and (reason is None or _has(job, reason))]


def _has(job: JobItem, prefix: str) -> bool:
    from ..errors import LedgerError
    from ..job_table import ledger_of
    from .show import one_line

    try:
        reasons = ledger_of(job).reasons().values()
    except LedgerError as err:  # the others are not to wait for it
        typer.echo(f"left out: {one_line(err)}", err=True)
        return False
    return any(reason.startswith(prefix) for reason in reasons)


def _show(jobs: list[JobItem]) -> None:
    from .show import one_line, so_far

    for job in jobs:
        typer.echo(f"{one_line(job.image_id)}: {job.status}, {so_far(job)}", err=True)
    if not jobs:
        typer.echo("no image fits", err=True)


def _run(
    jobs: list[JobItem],
    function: str,
    table_name: str,
    how: dict[str, Any],
) -> int:
    """Runs one after the other; returns the worst of their exit statuses."""
    from ..errors import RaytrackerError
    from ..pipeline import Cut
    from .run import run_image
    from .show import one_line

    codes: dict[str, int] = {}
    for job in jobs:
        try:
            codes[job.image_id] = run_image(
                job.image_id,
                function,
                table_name=table_name,
                cut=Cut()._asdict(),
                assembly={},
                keep_tiles=False,
                image_id=job.image_id,
                if_exists="resume",
                redrive=True,
                output=None,
                keep_for=job.tracker_keep_for,
                as_json=False,
                embedded=False,
                **how,
            )
        except RaytrackerError as err:
            typer.echo(f"raytracker: {one_line(err)}", err=True)
            codes[job.image_id] = 2
        if codes[job.image_id] in INTERRUPTED:
            break
    done = sum(code == 0 for code in codes.values())
    typer.echo(f"{done} of {len(jobs)} images are a SUCCESS now", err=True)
    return max(codes.values(), default=0)
