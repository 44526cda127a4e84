"""What a person sees first: names, what is missing, reprs, and short errors."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

import raytracker
from raytracker import ImageTracker, JobItem, JobTable, Progress, Work, Workers
from raytracker.actor import Spec
from raytracker.errors import RaytrackerError, TableError
from raytracker.imagery import describe
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger
from raytracker.pipeline import ResultStore
from tests.support.command import environment

# As where these are not installed.
WITHOUT = """\
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
IMAGERY = ("affine", "rasterio", "shapely")


def without(missing: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Runs a program where some packages are missing."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing) + code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- names ---


def test_the_module_shows_its_public_names():
    """As a notebook completes them; no helpers, before and after their first use."""
    names = set(dir(raytracker))
    assert names == {*raytracker.__all__, "__version__"}
    assert {"ImageTracker", "process_image", "EmbeddedDynamoDB"} <= names
    assert all(getattr(raytracker, name) is not None for name in names)
    assert set(dir(raytracker)) == names


def test_an_extra_that_is_missing_is_named():
    """By each name that needs it; the others do without."""
    code = f"""
import raytracker
for name in {raytracker.__all__}:
    try:
        exec("from raytracker import " + name)
    except ImportError as err:
        print(f"{{name}}: {{type(err).__name__}}: {{err}}")
"""
    said = without(IMAGERY, code).stdout.splitlines()
    cure = 'pip install "raytracker[imagery]"'
    names = [line.partition(":")[0] for line in said]
    assert names == ["process_image", "collect", "Work", "Workers"]
    for line in said:
        name = line.partition(":")[0]
        assert line.startswith(f"{name}: ModuleNotFoundError: No module named ")
        assert line.endswith(f"; {name} needs it: {cure}")


def test_the_error_of_a_missing_extra_is_short():
    """It is raised where the import is written, and nothing above it."""
    ended = without(IMAGERY, "from raytracker import process_image")
    assert ended.stderr.count("Traceback") == 1
    assert 'needs it: pip install "raytracker[imagery]"' in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("missing", ["rasterio", "matplotlib", "rich"])
def test_the_command_without_its_extra(tmp_path: Path, missing: str):
    """typer may be there for another program's sake."""
    (tmp_path / "detect.py").write_text("def detect(pixels, tile): return None")
    code = (
        f"import os; os.chdir({str(tmp_path)!r}); sys.argv[1:] = "
        "['run', 'scene.tif', 'detect.py:detect', '--table', 'jobs']\n"
        "from raytracker.cli import main; main()"
    )
    ended = without((missing,), code)
    if missing == "matplotlib":  # for the picture only, at the end
        assert "scene.tif cannot be opened" in ended.stderr
        return
    assert ended.returncode == 1
    assert ended.stderr == (
        f"raytracker: No module named '{missing}'; install what the command needs with: "
        'pip install "raytracker[cli]"\n'
    )


def test_the_package_runs_as_the_command():
    """`python -m raytracker`."""
    line = [sys.executable, "-m", "raytracker"]
    ended = subprocess.run([*line, "--version"], env=environment(), capture_output=True, text=True)
    assert ended.stdout == f"raytracker {raytracker.__version__}\n"
    shown = subprocess.run([*line, "-h"], env=environment(), capture_output=True, text=True).stdout
    assert "Usage: raytracker [OPTIONS]" in shown


@pytest.mark.parametrize(
    ("words", "completed"),
    [("st", "status"), ("run --embed", "--embedded"), ("run --edges p", "pad"), ("de", "dev")],
)
def test_a_shell_completes_it(words: str, completed: str):
    """As bash asks."""
    asked = {
        "_RAYTRACKER_COMPLETE": "complete_bash",
        "COMP_WORDS": f"raytracker {words}",
        "COMP_CWORD": str(words.count(" ") + 1),
    }
    line = [sys.executable, "-m", "raytracker"]
    ended = subprocess.run(line, env=environment(**asked), capture_output=True, text=True)
    assert completed in ended.stdout.split()


def test_completion_can_be_installed(tmp_path: Path):
    """For the name `raytracker`, also when Python was asked to run the package."""
    env = {
        **environment(),
        "HOME": str(tmp_path),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    line = [sys.executable, "-m", "raytracker", "--show-completion", "bash"]
    shown = subprocess.run(line, env=env, capture_output=True, text=True)
    assert "complete -o default -F _raytracker_completion raytracker" in shown.stdout


# --- reprs ---


def test_a_tracker_is_not_made_by_its_name():
    """The error names what makes one."""
    for args in ((), ("scene-1",), ("scene-1", 64)):
        with pytest.raises(TypeError, match=r"ImageTracker\.start\(.*\.resume\(.*\.attach\("):
            ImageTracker(*args)


def test_a_tracker_in_a_line(moto_table: JobTable):
    """Its size, and the status that it was told last: a repr asks nobody."""
    spec = Spec("scene-1", "run", moto_table)
    assert repr(ImageTracker(spec, Layout.of(64))) == "<ImageTracker 'scene-1': 64 regions>"
    layout = Layout.of([600] * 2)
    tracker = ImageTracker(spec, layout)
    assert repr(tracker) == "<ImageTracker 'scene-1': 2 regions, 1,200 tiles>"
    moto_table.start(JobItem(image_id="scene-1"), run="run", layout=layout)
    tracker.progress()
    assert repr(tracker) == "<ImageTracker 'scene-1': 2 regions, 1,200 tiles, last seen STARTED>"


def test_progress_in_a_line():
    """What counts, tiles first; no regions where they are tiles, no rate at the end."""
    ledger = Ledger(Layout.of([600] * 2))
    ledger.merge([(0, SUCCESS * 599 + ERROR + SUCCESS)], {})
    progress = Progress.of(ledger, status="IN_PROGRESS", durable=True, tiles_per_second=4.0)
    assert repr(progress) == (
        "<Progress: IN_PROGRESS, 600 of 1,200 tiles, 1 failed, 1 of 2 regions, 4.0 tiles/s, "
        "about 0:02:30 left>"
    )
    ledger = Ledger(Layout.of(2))
    ledger.merge([(0, SUCCESS * 2)], {})
    done = Progress.of(ledger, status="SUCCESS", durable=True, tiles_per_second=4.0)
    assert repr(done) == "<Progress: SUCCESS, 2 of 2 regions>"


class Model:
    def __call__(self, pixels, tile):
        return None


def test_workers_in_a_line():
    """How many are ready, and how many they may become."""
    assert repr(Workers(Model)) == "<Workers: 0 of Model are ready, 1 or more>"
    workers = Workers(Model, Work(concurrency=(1, 8)))
    assert repr(workers) == "<Workers: 0 of Model are ready, 8 at most>"


# --- errors ---


def test_an_error_of_the_table_stands_alone(monkeypatch: pytest.MonkeyPatch):
    """Its text says all that boto3's did, whose sixty lines would stand above it."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    with pytest.raises(TableError, match="no AWS region") as told:
        ImageTracker.attach("scene-1", table="jobs")
    shown = "".join(traceback.format_exception(told.value))
    assert shown.count("Traceback") == 1
    assert "NoRegionError" not in shown


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda folder: describe(folder / "gone.tif"), "gone.tif cannot be opened as an image"),
        (lambda folder: describe(folder / "text.tif"), "text.tif cannot be opened as an image"),
        (lambda folder: ResultStore(folder / "text.tif").check_shared(), "text.tif"),
    ],
)
def test_an_error_of_a_file_stands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Path], object], told: str
):
    """What GDAL and the system say is in its text."""
    monkeypatch.setattr("ray.nodes", lambda: [{"NodeID": "n", "Alive": True}])
    (tmp_path / "text.tif").write_text("no pixels")
    with pytest.raises(RaytrackerError, match=told) as error:
        call(tmp_path)
    shown = "".join(traceback.format_exception(error.value))
    assert shown.count("Traceback") == 1
