"""The commands that run some images again: `raytracker redrive` and `raytracker resume`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .listed import OfModel, Silent, Since, WithStatus
from .options import AllowDriver, AllowUrl, Refused, concurrency_of, seconds_of, work_of
from .tables import TableName, job_of, table_name_of
from .told import told

if TYPE_CHECKING:
    from ..job_table import JobItem, JobTable
    from ..views import Wanted

INTERRUPTED = (130, 143)
FAILED = ("PARTIAL", "FAILED")
_HOW = """\
Cut, output and merge stand in their items. What fits is shown, and asked for; others are not \
touched.

RAY_ADDRESS: the Ray cluster to use; without it, a Ray of its own."""
REDRIVE_EPILOG = f"""\
[bold]Examples:[/bold]

raytracker redrive detect.py:ships scene-1.tif scene-2.tif --table ImageJobs

raytracker redrive detect.py:ships --status PARTIAL --since 2d --class OutOfMemoryError --yes

Pending and failed tiles of these images run, one image after the other, as `raytracker run \
--redrive` does it. Without IMAGE_ID and --status: of those that are PARTIAL or FAILED. {_HOW}"""
RESUME_EPILOG = f"""\
[bold]Examples:[/bold]

raytracker resume detect.py:ships scene-1.tif scene-2.tif --table ImageJobs

raytracker resume detect.py:ships --silent --since 2d --yes

Pending tiles of these images run, one image after the other, as `raytracker run --resume` does \
it; failed ones stay. Without IMAGE_ID: of those that were broken off, which are cancelled, \
stopped or silent. {_HOW}"""


def _command(is_redrive: bool) -> Callable[..., None]:
    """Returns the function of a command; both take the same."""

    def again(
        function: Annotated[
            str, typer.Argument(metavar="MODULE:FUNCTION", help="What runs on the tiles.")
        ],
        image_ids: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="IMAGE_ID...", help="Which images; none: those that the options say."
            ),
        ] = None,
        status: WithStatus = None,
        silent: Silent = False,
        since: Since = None,
        model: OfModel = None,
        reason: Annotated[
            str | None,
            typer.Option(
                metavar="PREFIX", help="With a failed tile whose reason begins like this."
            ),
        ] = None,
        class_name: Annotated[
            str | None,
            typer.Option("--class", metavar="NAME", help="With a failed tile of this class."),
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
        with told():
            name, statuses = table_name_of(table), frozenset(each.value for each in status or ())
            seconds = None if since is None else seconds_of("--since", since)
            from ..views import Wanted

            start = None if seconds is None else time.time() - seconds
            wanted = Wanted(statuses, silent=silent, since=start, model=model)
            work = work_of(
                num_cpus=num_cpus,
                num_gpus=num_gpus,
                concurrency=None if concurrency is None else concurrency_of(concurrency),
                fn_constructor_args=tuple(constructor_arg or ()),
                timeout=timeout,
            )
            allowed = {"allow_url": allow_url, "allow_driver": tuple(allow_driver or ())}
            how = {"batch_size": batch_size, "work": work, "take_over": force, "allowed": allowed}
            chosen = _Chosen(wanted, reason, class_name, is_redrive)
            if image_ids and chosen != _Chosen(Wanted(), None, None, is_redrive):
                raise Refused(
                    "which images is said by IMAGE_ID, or by --status, --silent, --since, --model, "
                    "--reason and --class: give one or the other"
                )
            jobs = _jobs(chosen, image_ids or [], name, yes)
            code = _run(jobs, function, name, {**how, "redrive": is_redrive})
        raise typer.Exit(code)

    which = "failed and pending" if is_redrive else "pending"
    again.__doc__ = f"Run the {which} tiles of some images, one image after the other."
    return again


redrive = _command(is_redrive=True)
resume = _command(is_redrive=False)


class _Chosen(NamedTuple):
    """Which images run again, where none is named.

    Attributes:
        wanted: What their items say.
        reason: How the reason of one of their failed tiles begins; None: in any way.
        class_name: The class of one of these; None: any.
        is_redrive: Whether they are those with failed tiles; else those with pending ones, with
            which nobody goes on.
    """

    wanted: Wanted
    reason: str | None
    class_name: str | None
    is_redrive: bool

    def fits(self, job: JobItem, now: float) -> bool:
        """Returns whether an image of a listing is one of them, but for its reasons."""
        from ..views import is_silent

        if not job.tracker_run or not self.wanted.fits(job, now):
            return False
        if self.is_redrive:
            return bool(self.wanted.statuses) or self.wanted.silent or job.status in FAILED
        settled = (job.region_success or 0) + (job.region_error or 0)
        is_left = job.end_time is not None or is_silent(job, now)
        return is_left and settled < (job.region_count or 0)


def _jobs(chosen: _Chosen, image_ids: list[str], table_name: str, yes: bool) -> list[JobItem]:
    """Returns the images that are to run, once they have been shown and asked for."""
    from ..job_table import JobTable
    from .show import one_line, so_far

    jobs = [job_of(each, table_name) for each in image_ids]
    jobs = jobs or _found(JobTable(table_name), chosen)
    for job in jobs:
        typer.echo(f"{one_line(job.image_id)}: {job.status}, {so_far(job)}", err=True)
    if not jobs:
        typer.echo("no image fits", err=True)
    deed = "redrive" if chosen.is_redrive else "resume"
    these = "this image" if len(jobs) == 1 else f"these {len(jobs)} images"
    if jobs and not yes and not typer.confirm(f"{deed} {these}?"):
        raise Refused("nothing was done")
    return jobs


def _found(table: JobTable, chosen: _Chosen) -> list[JobItem]:
    """Returns the images that fit, the newest first."""
    from ..job_table import jobs_in
    from ..views import newest

    now = time.time()
    fitting = (job for job in jobs_in(table) if chosen.fits(job, now))
    jobs = (table.read(job.image_id) for job in newest(fitting, None))
    return [job for job in jobs if job is not None and _has(job, chosen.reason, chosen.class_name)]


def _has(job: JobItem, prefix: str | None, class_name: str | None) -> bool:
    from ..errors import LedgerError
    from ..job_table import ledger_of
    from ..views import classes_in
    from .show import one_line

    if prefix is None and class_name is None:
        return True
    try:
        ledger = ledger_of(job)
    except LedgerError as err:  # the others are not to wait for it
        typer.echo(f"left out: {one_line(err)}", err=True)
        return False
    if class_name is not None and all(each.name != class_name for each in classes_in(ledger)):
        return False
    return prefix is None or any(text.startswith(prefix) for text in ledger.reasons().values())


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
                output=None,
                keep_for=job.tracker_keep_for,
                topics={},  # those of the item
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
