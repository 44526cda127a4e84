"""What a process weighs, and the CPU that it used; as Linux tells it."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

MB = 1e6
TICKS = os.sysconf("SC_CLK_TCK")


def unique_mb(pid: int | str = "self") -> float:
    """Returns the memory, in MB, that only this process has: what its end would free."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"^Private_\w+: +(\d+)", rollup, re.M)) * 1024 / MB


class Peak:
    """How far the memory of a process rises above what it is now.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        (self._folder / "clear_refs").write_text("5")  # the high-water mark, back to now
        self._before = self._status("VmRSS")

    def mb(self) -> float:
        """Returns by how many MB it was higher, at most, than at the beginning."""
        return (self._status("VmHWM") - self._before) * 1024 / MB

    def _status(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+)", (self._folder / "status").read_text(), re.M)
        assert found is not None
        return int(found[1])


def cpu_seconds(pid: int) -> float:
    """Returns the CPU that a process has used so far, all its threads together."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python lacks


def stolen_seconds() -> float:
    """Returns for how long CPUs of this virtual machine had work, and ran that of another one."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / TICKS


def cpu_seconds_of_all() -> float:
    """Returns the CPU that this process has used so far, and all that are below it."""
    parents, seconds = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has just ended
                fields = (folder / "stat").read_text().rpartition(") ")[2].split()
                parents[int(folder.name)] = int(fields[1])
                seconds[int(folder.name)] = sum(map(int, fields[11:15])) / TICKS

    def is_ours(pid: int) -> bool:
        while pid not in (0, os.getpid()):
            pid = parents.get(pid, 0)
        return pid != 0

    return sum(used for pid, used in seconds.items() if is_ours(pid))
