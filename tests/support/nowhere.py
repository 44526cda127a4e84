"""The environment of somebody who has no AWS: no variable of it, and an empty home."""

from __future__ import annotations

from pathlib import Path

from .command import environment

_ELSEWHERE = ("AWS_", "RAY_", "RAYTRACKER_")


def without_aws(home: Path, **more: str) -> dict[str, str]:
    """Returns this process's environment without AWS, Ray's and ours, and with what is given.

    Args:
        home: An empty folder.
        more: What to add.
    """
    kept = {name: value for name, value in environment().items() if not name.startswith(_ELSEWHERE)}
    return {**kept, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", **more}
