"""The exceptions. All derive from `RaytrackerError`; OSML's keep OSML's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RaytrackerError(Exception):
    """Anything that raytracker raises on purpose."""


# --- OSML Model Runner's names (aws.osml.model_runner.database.exceptions, 2.3.0) ---


class DDBUpdateException(RaytrackerError):
    """An update has nothing to write."""


class DDBBatchWriteException(RaytrackerError):
    """DynamoDB left items of a batch unprocessed after all retries."""


class StartImageException(RaytrackerError):
    """The job item could not be written."""


class CompleteRegionException(RaytrackerError):
    """A region could not be counted."""


class IsImageCompleteException(RaytrackerError):
    """The job item lacks the counts that say whether the image is complete."""


class EndImageException(RaytrackerError):
    """The job item could not be ended."""


class GetImageRequestItemException(RaytrackerError):
    """The job item could not be read."""


class InvalidImageRequestException(RaytrackerError, ValueError):
    """A request message is malformed; the text names the field."""


# --- the table ---


class TableMismatch(RaytrackerError):
    """A table of that name is there, but it is not a job table; the text says what differs."""


class TableError(RaytrackerError):
    """DynamoDB refuses, and will until somebody changes something (rights, table, item)."""


class CredentialsRefused(TableError):
    """AWS does not accept these credentials, or there are none; the next request looks anew."""


class TableUnavailable(RaytrackerError):
    """DynamoDB did not answer, or asked to come again; the same request may succeed later."""


# --- the job ---


class ImageExists(StartImageException):
    """An item for this image is there already; say what to do with it through `if_exists`."""


class InvalidImageId(RaytrackerError, ValueError):
    """An image_id is a string of 1 to 2,048 bytes of UTF-8."""


class JobVanished(RaytrackerError):
    """The image's item is not in the table any more: deleted, by somebody or by the table's TTL."""


class TrackerSuperseded(RaytrackerError):
    """Another run has taken the image over; nothing of this one is written any more."""


class ImageInUse(RaytrackerError):
    """Another process runs the image, and shows that it lives; `take_over=True` takes it away."""


class ResumeMismatch(RaytrackerError, ValueError):
    """A resume asks for something else than the item's: layout, cut, image or function.

    Args:
        text: What, and what to do.
        differences: (name, theirs, ours) of each option that differs, where that is known.
    """

    def __init__(self, text: str, differences: Sequence[tuple[str, Any, Any]] = ()) -> None:
        super().__init__(text)
        self.differences = tuple(differences)


class JobCancelled(RaytrackerError):
    """The job was cancelled; it takes no more reports."""


class JobStopped(JobCancelled):
    """More tasks failed than were tolerated; the job has ended and takes no more reports."""


class JobEnded(RaytrackerError):
    """The image has ended, and what is reported since then is not counted; a redrive betters it."""


class ImageStalled(RaytrackerError):
    """Nothing runs and nothing is reported any more, but regions are pending."""


class TaskFailed(RaytrackerError):
    """A task raised what does not travel: type and text are told, the exception itself is lost."""


class TaskTimeout(RaytrackerError, TimeoutError):
    """A task took longer than it may."""


class LedgerError(RaytrackerError, ValueError):
    """An item's ledger cannot be read: it is damaged, or a later version wrote it."""


class InvalidLayout(RaytrackerError, ValueError):
    """The regions asked for are none, or more than an item holds."""


class InvalidEstimate(RaytrackerError, ValueError):
    """What is to be estimated makes no sense, such as a negative time."""


class UnknownRegion(RaytrackerError, LookupError):
    """The image has no such region or tile."""


# --- the cluster ---


class RayNotInitialized(RaytrackerError):
    """Ray is not running in this process; raytracker never starts it by itself."""


class ForkedProcess(RaytrackerError):
    """A process that was forked from a connected one has its parent's connection, and none."""


class ActorUnavailable(RaytrackerError):
    """The image's actor cannot be started or reached."""


class ReporterFault(RaytrackerError):
    """A defect: what a process reported could not be sent, or the thread that sends had ended."""


class FlushTimeout(RaytrackerError, TimeoutError):
    """Not everything that this process reported was durable in time."""


class WaitTimeout(RaytrackerError, TimeoutError):
    """The image was not settled and durable in time."""


# --- imagery ---


class InvalidImage(RaytrackerError, ValueError):
    """The image is missing or cannot be read."""


class InvalidGrid(RaytrackerError, ValueError):
    """Tile size, overlap, region size or region of interest do not fit the image or each other."""


class OutputError(RaytrackerError):
    """Results cannot be written where they were asked for, or not from every node."""


class NotMerged(OutputError):
    """A job is done and counted, but its results are still in pieces; a resume only merges them."""


# --- the command ---


class InvalidFunction(RaytrackerError, ValueError):
    """What is given as a function is none, or does not do what a function is to do."""


class ModelFailed(RaytrackerError):
    """No worker could make the model."""


class CannotBePlaced(RaytrackerError):
    """No node has what a task or a worker asks for, and no autoscaler will bring one."""
