"""The first steps of the README, each as printed, from the wheel, where there is no AWS."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support.nowhere import without_aws

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"## First steps\n.*?```\n(.*?)```", re.DOTALL)
MARK = "-- that was it --"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of programs, of an environment with the wheel and what its extra asks for.

    What it depends on is this environment's: pip finds it there, and would fetch nothing.
    """
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    dependencies = folder / "dependencies"
    dependencies.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if "raytracker" not in each.name:  # that of the tree, which is no wheel
            (dependencies / each.name).symlink_to(each)
    venv.create(folder / "env", with_pip=False)
    [site] = (folder / "env").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    python, [wheel] = folder / "env" / "bin" / "python", folder.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "-q"]
    done = subprocess.run([*pip, f"{wheel}[cli]"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rio = "import sys; from rasterio.rio.main import main_group; sys.exit(main_group())"
    (folder / "env" / "bin" / "rio").write_text(f"#!{python}\n{rio}\n")
    (folder / "env" / "bin" / "rio").chmod(0o755)
    return folder / "env" / "bin"


def steps() -> list[tuple[str, str]]:
    """Returns the commands, and what is printed of each."""
    [printed] = SECTION.findall((ROOT / "README.md").read_text())
    found = []
    for step in re.split(r"^\$ ", printed, flags=re.MULTILINE)[1:]:
        end = step.index("\nEND\n") + len("\nEND\n") if "<<'END'" in step else step.index("\n") + 1
        found.append((step[:end], step[end:]))
    return found


def same(text: str) -> str:
    """Returns what does not change from time to time, and from place to place."""
    text = re.sub(r"^(after \d+ s, |SUCCESS: ).*\n", "", text, flags=re.MULTILINE)  # no terminal
    text = re.sub(r"^.*(\(raylet\)|authentication).*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\S*/first/", "/first/", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S+", "TIME", text)
    changing = r"127\.0\.0\.1:\d+|\(\w+; `exit`\)|\b\d+ (s\b|writes, \d+ WCU)|\b\d+%"
    return re.sub(changing, "#", text)


def typed(shell: subprocess.Popen[str], command: str) -> str:
    """Types a command into a shell that goes on; returns what it and its like print."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    print(command, end="", file=shell.stdin, flush=True)
    # What is typed after this one is for the shell that it opens, and not for this one to read.
    shown = shell.stdout.readline() if command == "raytracker dev\n" else ""
    print(f"echo '{MARK}' $?", file=shell.stdin, flush=True)
    for line in shell.stdout:
        if line.startswith(MARK):
            assert line == f"{MARK} 0\n", shown
            return shown
        shown += line
    raise AssertionError(shown)


def test_the_first_steps(installed: Path, tmp_path: Path):
    """Five commands: what they print is what is printed."""
    home, folder = tmp_path / "home", tmp_path / "first"
    home.mkdir()
    folder.mkdir()
    path = f"{installed}{os.pathsep}/usr/bin{os.pathsep}/bin"
    env = {**without_aws(home), "PATH": path, "SHELL": "/bin/sh", "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("PYTHONPATH", None)
    commands = steps()
    assert len(commands) == 5
    shell = subprocess.Popen(
        ["/bin/sh"],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with shell:
        for command, printed in commands:
            assert same(typed(shell, command)) == same(printed), command
        shell.stdin.close()
    assert sorted(path.name for path in (folder / "out").glob("*.*")) == [
        "job.json",
        "map.png",
        "results.geojson",
    ]
