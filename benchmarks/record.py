"""benchmarks/results.json: one record of each run of a bench, a line each."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import raytracker

from .harness import Bench

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results.json")


def append(bench: Bench, seconds: float) -> None:
    """Appends what a bench measured, and on what.

    Args:
        bench: The bench.
        seconds: How long it took.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    about = {"date": now, "seconds": round(seconds), "machine": machine()}
    records = [*read(), bench.record() | about]
    RESULTS.write_text("[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n")


def read() -> list[dict[str, Any]]:
    """Returns all records, the oldest first."""
    found: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return found


def latest() -> dict[str, dict[str, Any]]:
    """Returns the last record of each bench."""
    return {record["bench"]: record for record in read()}


def machine() -> dict[str, Any]:
    """Returns what the figures depend on."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "ray": version("ray"),
        "raytracker": raytracker.__version__,
        "commit": _commit(),
    }


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.+)", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


def _commit() -> str | None:
    """The commit, with a + where the package has been changed since; None outside of git."""
    try:
        return _git("rev-parse", "--short", "HEAD") + (
            "+" if _git("status", "--porcelain", "raytracker") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    return subprocess.check_output(
        ["git", *arguments], cwd=ROOT, text=True, stderr=subprocess.DEVNULL
    ).strip()
