"""The command `raytracker`, run as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "examples" / "data"
BAHAMAS = str(DATA / "bahamas.tif")
SF_BAY = str(DATA / "landsat7_sf_bay.tif")

# As pip installs it: Python puts this script's folder on its path, and not the current one.
_SCRIPT = """\
import sys
from raytracker.cli import main
sys.exit(main())
"""


def command(folder: Path, *args: str) -> list[str]:
    """Returns the command's line; its script is written to a folder."""
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    script = bin_ / "raytracker"
    script.write_text(_SCRIPT)
    return [sys.executable, str(script), *args]


def environment(**more: str) -> dict[str, str]:
    """Returns this process's environment, with this repository's raytracker and what is given."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


def run(
    line: Iterable[str], cwd: Path, timeout: float = 100, **env: str
) -> subprocess.CompletedProcess[str]:
    """Runs a process to its end, without a terminal."""
    return subprocess.run(
        list(line),
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
