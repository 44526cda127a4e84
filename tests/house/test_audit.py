"""`tools/audit` says what it knows, and that it knows nothing where the service is away."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("status", "says", "ends", "told"),
    [
        (0, "No known vulnerabilities found", 0, "no known vulnerability"),
        (1, "Found 1 known vulnerability in 1 package\nray 1.0 CVE-1", 1, "ray 1.0 CVE-1"),
        (1, "ERROR: Dependency not found on PyPI: affine", 2, "nothing is known of vulner"),
        (1, "requests.exceptions.ConnectionError: pypi.org", 2, "ConnectionError: pypi.org"),
    ],
)
def test_what_it_says(tmp_path: Path, status: int, says: str, ends: int, told: str) -> None:
    """A service that can't be reached is no good news."""
    for name, script in (
        ("pip-licenses", "echo licences of $2"),
        ("pip-audit", f"cat >&2 <<'END'\n{says}\nEND\nexit {status}"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    line = [str(ROOT / "tools" / "audit"), str(tmp_path), "python"]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == ends
    assert "licences of python" in ended.stdout
    assert told in ended.stdout + ended.stderr
