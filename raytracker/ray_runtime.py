"""Which cluster this is, which kind of process, and what Ray has no public name for.

Ray's private corners stand here and nowhere else; tests/integration/test_ray_runtime.py has a test
for each, which says what is relied on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ray

from .errors import RayNotInitialized


def check_connected() -> None:
    """Does nothing in a process that is connected to a cluster.

    Raises:
        RayNotInitialized: It is not.
    """
    if not ray.is_initialized():
        raise RayNotInitialized("Ray is not running in this process: call ray.init() first")


def cluster() -> tuple[str, str]:
    """Returns what tells the cluster, and this process's connection to it, from any other.

    Raises:
        RayNotInitialized: This process is connected to none.
    """
    check_connected()
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def head_node() -> str | None:
    """Returns the id of the cluster's head node; None where Ray shows none."""
    for node in ray.nodes():
        if node["Alive"] and "node:__internal_head__" in node["Resources"]:
            return str(node["NodeID"])
    return None


def in_worker() -> bool:
    """Whether this process is a worker of the cluster, not a driver."""
    return bool(ray.get_runtime_context().worker.mode == ray.WORKER_MODE)


def in_local_mode() -> bool:
    """Whether the whole cluster is this process."""
    # Ray 2.54 took local mode away, and later its constant.
    return bool(ray.get_runtime_context().worker.mode == getattr(ray, "LOCAL_MODE", None))


def attempt_number() -> int:
    """Returns how often Ray has tried the running task before; 0 outside of tasks."""
    if not in_worker():
        return 0
    worker = ray.get_runtime_context().worker
    # Ray has no public call for it.
    return int(worker.core_worker.get_current_task_attempt_number())


def unwrap(remote_function: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Returns the function that `@ray.remote` wrapped, and the options that it was given.

    Args:
        remote_function: A function with `@ray.remote`, or its `.options(...)`.

    Raises:
        TypeError: It is none.
    """
    if not hasattr(remote_function, "remote") or not hasattr(remote_function, "bind"):
        raise TypeError(f"{remote_function!r} is no remote function: decorate it with @ray.remote")
    node = remote_function.bind()  # the same for f and for f.options(...)
    options = {name: value for name, value in node.get_options().items() if value is not None}
    return node._body, options


def in_a_line(error: BaseException) -> str:
    """Returns what Ray says, without colours and the middle of its tracebacks."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    ends = lines[:1] if len(lines) == 1 else [lines[0], lines[-1]]
    return f"{type(error).__name__}: {' ... '.join(ends)}"[:400]
