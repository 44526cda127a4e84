"""Who runs an image, and until when that run may be taken for alive."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

from .item import JobItem

ALIVE_SECONDS = 150  # from the last write of a run: so long its silence means nothing
SIGN_SECONDS = 60.0  # between writes of a run that is heard from, though nothing changes
_MAX_PID = 2**31 - 1  # what the system's call takes
MAX_CHARACTERS = 64  # of each text that tells who runs an image


class Starter(NamedTuple):
    """The process that began a run, as the item tells of it (`tracker_started_by`).

    Attributes:
        host: The name of its machine.
        pid: Its number there.
        user: Who runs it.
        job: Its job in Ray.
        since: When the run began, in epoch ms.
        place: What tells its machine and container from another of the same name; empty: unknown.
    """

    host: str
    pid: int
    user: str
    job: str
    since: int
    place: str

    @classmethod
    def this(cls, job: str) -> Starter:
        """Returns this process, which begins a run now."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container may have no name for it
            user = str(os.getuid())
        host = socket.gethostname()
        since = int(time.time() * 1000)
        return cls(_short(host), os.getpid(), _short(user), _short(job), since, _place())

    @classmethod
    def of(cls, item: JobItem) -> Starter | None:
        """Returns who runs an item's image; None where that is not said, or not understood."""
        try:
            told: dict[str, Any] = json.loads(item.tracker_started_by or "")
            texts = (_short(str(told[name])) for name in ("host", "user", "job", "place"))
            host, user, job, place = texts
            pid, since = int(told["pid"]), int(told["since"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None
        return cls(host, pid, user, job, since, place) if 0 <= pid <= _MAX_PID else None

    def to_text(self) -> str:
        """Returns it as the item has it."""
        return json.dumps(self._asdict())

    @property
    def is_here(self) -> bool:
        """Whether that process is this one."""
        return self.is_near and self.pid == os.getpid()

    @property
    def has_gone(self) -> bool:
        """Whether that process is known to be there no more; one elsewhere is not known of."""
        if not self.is_near or self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is another user's
            return False
        return False

    @property
    def is_near(self) -> bool:
        """Whether it is of this very machine and container, where its number means something."""
        return bool(self.place) and (self.host, self.place) == (
            _short(socket.gethostname()),
            _place(),
        )

    def __str__(self) -> str:
        job = f", Ray job {self.job}" if self.job else ""
        return f"{self.user} on {self.host} (process {self.pid}{job}, since {_clock(self.since)})"


def is_alive(item: JobItem, now: float) -> bool:
    """Returns whether an item's run may be taken for alive, now in epoch seconds."""
    until = item.tracker_alive_until
    has_ended = item.end_time is not None or not item.tracker_run
    return not has_ended and isinstance(until, int) and until > now


def silent_since(read: JobItem, names: dict[str, str], values: dict[str, Any]) -> str:
    """Returns the end of a condition: the run before has given no sign of life since it was read.

    we read: alive until 12:00     it is 12:01, so nobody is left
    the run before: a flush, alive until 12:03
    we write                       refused; we read again, and wait or give up
    """
    names["#tracker_alive_until"] = "tracker_alive_until"
    if read.tracker_alive_until is None:
        return " AND attribute_not_exists(#tracker_alive_until)"
    values[":alive"] = read.tracker_alive_until
    return " AND #tracker_alive_until = :alive"


def alive_until(now: float) -> int:
    """Returns until when a run that writes now may be taken for alive, both in epoch seconds."""
    return int(now) + ALIVE_SECONDS


def latest_sign(item: JobItem) -> float:
    """Returns when an item was written, at least, in epoch seconds, as it says itself.

    Whatever the clock of this machine says, it is not earlier now.
    """
    alive = item.tracker_alive_until or 0
    return max(
        (item.start_time or 0) / 1000, (item.end_time or 0) / 1000, float(alive - ALIVE_SECONDS)
    )


def at_least(read: JobItem, now: float | None = None) -> float:
    """Returns the time in epoch seconds, but none before an item just read was written.

    A clock may have been set back.

    Args:
        read: The item.
        now: The time; None: as the machine's clock says.
    """
    return max(time.time() if now is None else now, latest_sign(read))


def expiry(now: float, keep_for: int | None) -> int | None:
    """Returns when an item written now may be deleted, in epoch seconds; None: never."""
    return None if keep_for is None else int(now + keep_for)


def last_news(item: JobItem) -> int | None:
    """Returns when an item was written last, or its image ended, in epoch ms, as far as it says."""
    if item.end_time is not None:
        return item.end_time
    if item.tracker_alive_until is not None:
        return (item.tracker_alive_until - ALIVE_SECONDS) * 1000
    if item.expire_time is not None and item.tracker_keep_for is not None:
        return (item.expire_time - item.tracker_keep_for) * 1000
    if item.start_time is not None:
        return item.start_time + (item.processing_duration or 0) * 1000
    return None


def _short(text: str) -> str:
    return text[:MAX_CHARACTERS]


def _clock(milliseconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(milliseconds / 1000))
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)


def _place() -> str:
    """Returns what no other machine has, nor another container of this one; empty: not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot[:13]} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: the name has to do
        return f"{os.uname().sysname} {socket.gethostname()}"
