"""What `@ray.remote` makes of a function, and what Ray can send."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray._private import ray_constants

from .connection import cluster

MAX_REMOTES = 16  # functions that are remembered, with all that they refer to


def unwrap(remote_function: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Returns the function that `@ray.remote` wrapped, and the options that it was given.

    Args:
        remote_function: A function with `@ray.remote`, or its `.options(...)`.

    Raises:
        TypeError: It is none; the text says what it is.
    """
    from ray.dag import FunctionNode  # which takes a while, and only who maps needs it

    if isinstance(remote_function, ray.actor.ActorMethod):
        kind = "a method of an actor"
    elif not hasattr(remote_function, "remote"):
        kind = "no remote function: decorate it with @ray.remote"
    elif hasattr(remote_function, "bind"):
        node = remote_function.bind()  # the same for f and for f.options(...)
        if isinstance(node, FunctionNode):
            return node._body, _given(node.get_options())
        kind = "an actor class"
    else:  # Ray Client has classes of its own
        stub = getattr(remote_function, "_remote_stub", remote_function)
        if type(stub).__name__ == "ClientRemoteFunc":
            return stub._func, _given({**(stub._options or {}), **(remote_function._options or {})})
        kind = "an actor's class or method"
    raise TypeError(
        f"{remote_function!r} is {kind}; give a function with @ray.remote, or its .options(...)"
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def default_retries() -> int:
    """Returns how often Ray tries a task again whose options do not say it (`max_retries`)."""
    return int(os.environ.get("RAY_TASK_MAX_RETRIES", ray_constants.DEFAULT_TASK_MAX_RETRIES))


def check_sendable(function: Callable[..., Any]) -> None:
    """Does nothing for a function that Ray can send to its workers.

    Raises:
        TypeError: It cannot be pickled, with what it refers to.
        ValueError: It is too large, with what it refers to.
    """
    _pickled(function)


_remotes: OrderedDict[object, Any] = OrderedDict()
_remotes_lock = threading.Lock()


def remote_once(function: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """Returns a remote function: the same as before where it is the same with all it refers to.

    Ray keeps what it was sent of each until the job ends, on the head node and in the workers.

    Args:
        function: The function; what differs from call to call is better an argument of it.
        options: As `ray.remote` takes them.

    Raises:
        TypeError: It cannot be pickled, with what it refers to.
        ValueError: It is too large, with what it refers to.
    """
    content = hashlib.sha256(_pickled(function))
    content.update(ray.cloudpickle.dumps(sorted(options.items())))
    key = cluster(), content.digest()
    with _remotes_lock:
        remote = _remotes.pop(key, None) or ray.remote(**options)(function)
        _remotes[key] = remote
        while len(_remotes) > MAX_REMOTES:
            _remotes.popitem(last=False)
    return remote


def _pickled(function: Callable[..., Any]) -> bytes:
    name, most = (
        getattr(function, "__name__", function),
        ray_constants.FUNCTION_SIZE_ERROR_THRESHOLD,
    )
    try:
        pickled = bytes(ray.cloudpickle.dumps(function))
    except Exception as err:
        raise TypeError(f"{name} cannot be sent to Ray's workers: {err}") from err
    if len(pickled) >= most:
        raise ValueError(
            f"{name} has {len(pickled) / 1e6:.0f} MB with what it refers to; Ray sends "
            f"{most / 1e6:.0f} MB at most: ray.put() what is large, and give the reference as an "
            "argument"
        )
    return pickled
