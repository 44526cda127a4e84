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
from tests.support.shell import Shell, lasting, steps

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"## First steps\n.*?```console\n(.*?)```", re.DOTALL)

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


def test_the_first_steps(installed: Path, tmp_path: Path):
    """Five commands: what they print is what is printed."""
    home, folder = tmp_path / "home", tmp_path / "first"
    home.mkdir()
    folder.mkdir()
    path = f"{installed}{os.pathsep}/usr/bin{os.pathsep}/bin"
    env = {**without_aws(home), "PATH": path, "SHELL": "/bin/sh", "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("PYTHONPATH", None)
    [printed] = SECTION.findall((ROOT / "README.md").read_text())
    commands = steps(printed)
    assert len(commands) == 5
    with Shell(folder, env) as shell:
        for command, output in commands:
            shown, status = shell.type(command)
            assert (lasting(shown, folder), status) == (lasting(output), 0), command
    assert sorted(path.name for path in (folder / "out").glob("*.*")) == [
        "job.json",
        "map.png",
        "results.geojson",
    ]
