"""MODULE:FUNCTION: found and sent to workers, or refused in one line that says why."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from raytracker.cli.function import load_function
from raytracker.errors import InvalidFunction


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, and modules and a path that are as before afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", ".")])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("spec", ["here:double", "here.py:double", "./here.py:double"])
def test_a_function_is_found_in_the_current_folder(folder: Path, spec: str):
    """By the module's name and by its path."""
    (folder / "here.py").write_text("def double(x): return 2 * x")
    assert load_function(spec)(4) == 8


def test_a_file_finds_what_lies_beside_it(folder: Path):
    """As a script does, wherever it is run from."""
    (folder / "sub").mkdir()
    (folder / "sub" / "helper.py").write_text("FACTOR = 3")
    (folder / "sub" / "main_.py").write_text(
        "import helper\ndef triple(x): return helper.FACTOR * x"
    )
    assert load_function("sub/main_.py:triple")(4) == 12


def test_a_file_does_not_take_another_modules_place(folder: Path):
    """A file named json.py leaves json as it is."""
    import json

    (folder / "json.py").write_text("def nothing(): return None")
    assert load_function("json.py:nothing")() is None
    assert sys.modules["json"] is json


def test_it_travels_by_value(folder: Path):
    """A process that has not got the module can run the function, with the module's globals."""
    import ray

    (folder / "faraway.py").write_text("FACTOR = 5\ndef times(x): return FACTOR * x")
    data = ray.cloudpickle.dumps(load_function("faraway:times"))
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)(4))"
    child = subprocess.run(
        [sys.executable, "-c", code], input=data, capture_output=True, cwd="/", check=True
    )
    assert child.stdout.strip() == b"20"
    with pytest.raises(AttributeError):
        pickle.dumps(lambda: None)  # what plain pickle makes of such a thing


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("here", "'here': give MODULE:FUNCTION or FILE.py:FUNCTION"),
        (":f", "':f': give MODULE:FUNCTION"),
        ("here:", "'here:': give MODULE:FUNCTION"),
        ("absent.py:f", "absent.py: there is no such file"),
        ("absent:f", "absent does not import: ModuleNotFoundError: No module named 'absent'"),
        (
            "broken:f",
            "broken does not import: RuntimeError: first second (broken.py, line 3)",
        ),
        ("syntax.py:f", "syntax.py does not import: SyntaxError"),
        ("leaves:f", "leaves does not import: SystemExit: 3 (leaves.py, line 2)"),
        ("here:dobule", "here has no function 'dobule'; its functions are: double"),
        ("here:FACTOR", "here:FACTOR is of type int, not a function"),
        (
            "here:remote",
            "here:remote is a remote function: name the plain one, without @ray.remote",
        ),
        ("here:locked", "here:locked cannot be sent to Ray's workers: TypeError: cannot pickle"),
    ],
)
def test_what_cannot_be_run_is_refused(folder: Path, spec: str, says: str):
    """In one line that names it and says why."""
    (folder / "here.py").write_text(
        "import threading, ray, functools\n"
        "FACTOR = 2\n"
        "def double(x): return FACTOR * x\n"
        "remote = ray.remote(double)\n"
        "locked = functools.partial(double, threading.Lock())\n"
    )
    (folder / "broken.py").write_text("\n\nraise RuntimeError('first\\nsecond')")
    (folder / "syntax.py").write_text("def f(:")
    (folder / "leaves.py").write_text("import sys\nsys.exit(3)")
    with pytest.raises(InvalidFunction) as refused:
        load_function(spec)
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)
