"""What is packed, and what an import of it costs."""

import os
import subprocess
import sys
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import numpy as np
import pytest

import raytracker
from raytracker import JobItem, JobTable
from raytracker.imagery import describe, plan
from raytracker.run.beginning import How, begin
from tests.support.images import make_image
from tests.support.moto_s3 import moto_server

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("boto3", "botocore", "matplotlib", "moto", "numpy", "pyproj", "rasterio", "ray", "rich"),
    "shapely",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from the tree."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(folder.glob("*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """The wheel's METADATA."""
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_string(wheel.read(name).decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile):
    """Every module, the type marker and the licence; no tests, no examples."""
    names = set(wheel.namelist())
    modules = {f"raytracker/{path.name}" for path in ROOT.glob("raytracker/*.py")}
    assert modules | {"raytracker/py.typed"} <= names
    assert {name.split("/")[0] for name in names} == {
        "raytracker",
        f"raytracker-{raytracker.__version__}.dist-info",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_version_is_the_same_everywhere(metadata: Message):
    """The metadata's and the module's."""
    assert metadata["Version"] == raytracker.__version__


def test_the_command_is_installed(wheel: zipfile.ZipFile):
    """`raytracker` runs raytracker.cli:main."""
    name = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "raytracker = raytracker.cli:main" in wheel.read(name).decode()


def test_the_core_needs_ray_and_boto3_only(metadata: Message):
    """All else is in extras."""
    core = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert sorted(core) == ["boto3>=1.34.28", "ray>=2.53"]
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "cli",
        "dev",
        "embedded",
        "imagery",
        "parquet",
        "serve",
    }


def test_importing_the_package_imports_nothing_heavy():
    """`import raytracker` is for free; Ray, boto3 and rasterio come with the first use."""
    code = "import sys, raytracker; print(*sorted(m for m in sys.modules if '.' not in m))"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert not HEAVY & set(modules.split())


@pytest.mark.parametrize("module", ["errors", "ledger", "cost"])
def test_the_ledger_needs_neither_ray_nor_boto3(module: str):
    """The proof of the counts is pure Python; so is what they cost."""
    code = f"import sys, raytracker.{module}; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert not {"ray", "boto3"} & set(modules.split())


IN_COMMAND = """
import atexit, sys
atexit.register(lambda: print(*sys.modules))
sys.argv[0] = "raytracker"
from raytracker.cli import main
main()
"""


@pytest.mark.parametrize(
    ("args", "unused"),
    [
        ("--help", HEAVY - {"rich"}),
        ("list --table Jobs", HEAVY - {"boto3", "botocore", "rich"}),
        ("status scene --table Jobs", HEAVY - {"boto3", "botocore", "rich"}),
        ("status away --table Jobs", HEAVY - {"boto3", "botocore", "rich"}),
        ("errors scene --table Jobs", HEAVY - {"boto3", "botocore", "rich"}),
        ("delete away --table Jobs --yes", HEAVY - {"boto3", "botocore", "rich"}),
        ("map scene --table Jobs --output map.png", {"ray", "pyarrow"}),
    ],
)
def test_a_command_imports_what_it_uses(args: str, unused: set[str], tmp_path: Path):
    """Who asks how an image stands does not wait for GDAL; who draws one does not for Ray."""
    image = make_image(tmp_path / "scene.tif", np.ones((1, 64, 64), "uint8"))
    grid = plan(describe(image), 32)
    with moto_server() as endpoint:
        table = JobTable("Jobs", endpoint_url=endpoint)
        table.create()
        job = JobItem("scene", image_url=str(image))
        begin(job, grid.tiles_per_region, table, "error", grid.to_dict(), False, How())
        done = subprocess.run(
            [sys.executable, "-c", IN_COMMAND, *args.split()],
            env={**os.environ, "AWS_ENDPOINT_URL": endpoint},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert "Traceback" not in done.stderr, done.stderr
    modules = set(done.stdout.split())
    assert "raytracker.cli.command" in modules
    assert not unused & modules
