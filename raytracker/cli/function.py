"""Finding the function that the command is told to run: `MODULE:FUNCTION`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import InvalidFunction


def load_function(spec: str) -> Callable[..., Any]:
    """Returns the function that `MODULE:FUNCTION` or `FILE.py:FUNCTION` names.

    A module is looked for in the current folder first, then where Python looks. It travels to
    Ray's workers with the function, so that they need not have it; what it imports they do need.

    Raises:
        InvalidFunction: There is no colon, the module does not import, or it has no such function.
    """
    source, _, name = spec.rpartition(":")
    if not source or not name:
        raise InvalidFunction(
            f"{spec!r}: give MODULE:FUNCTION or FILE.py:FUNCTION, such as detect.py:detect"
        )
    module = _import(source)
    if not hasattr(module, name):
        there = ", ".join(_functions(module)) or "none"
        raise InvalidFunction(f"{source} has no function {name!r}; its functions are: {there}")
    function = getattr(module, name)
    if hasattr(function, "remote"):
        raise InvalidFunction(
            f"{spec} is a remote function: name the plain one, without @ray.remote"
        )
    if not callable(function):
        raise InvalidFunction(f"{spec} is of type {type(function).__name__}, not a function")
    _travel_by_value(spec, module, function)
    loaded: Callable[..., Any] = function
    return loaded


def _import(source: str) -> ModuleType:
    # Not Path.resolve: a link stays one, as where Python itself runs a script.
    here = os.getcwd()  # noqa: PTH109
    if here not in sys.path:
        sys.path.insert(0, here)
    is_file = source.endswith(".py")
    if is_file and not Path(source).is_file():
        raise InvalidFunction(f"{source}: there is no such file")
    try:
        return _import_file(Path(source)) if is_file else importlib.import_module(source)
    except (Exception, SystemExit) as err:  # a module may do anything when it is imported
        raise InvalidFunction(f"{source} does not import: {_why(err)}") from err


def _import_file(path: Path) -> ModuleType:
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as for a script: what lies beside it is found
    # A file may be called as a module that is there: `json.py` must not take json's place.
    name = path.stem if path.stem not in sys.modules else f"_raytracker_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _travel_by_value(spec: str, module: ModuleType, function: Any) -> None:
    import ray

    ray.cloudpickle.register_pickle_by_value(module)
    try:
        ray.cloudpickle.dumps(function)
    except Exception as err:
        raise InvalidFunction(f"{spec} cannot be sent to Ray's workers: {_why(err)}") from err


def _functions(module: ModuleType) -> list[str]:
    """Returns the names of a module's own functions, the first five."""
    own = [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]
    return own[:5]


def _why(err: BaseException) -> str:
    """Returns an exception in one line, with the place in the module that it comes from."""
    text = " ".join(str(err).split())
    said = f"{type(err).__name__}: {text}" if text else type(err).__name__
    frames = [
        frame
        for frame in traceback.extract_tb(err.__traceback__)
        if frame.filename not in (__file__, importlib.__file__)
        and not frame.filename.startswith("<frozen importlib")
    ]
    if not frames or isinstance(err, SyntaxError):  # which names the place itself
        return said
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
