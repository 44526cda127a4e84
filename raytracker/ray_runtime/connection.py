"""Whether this process is connected to a cluster, and to which."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private.worker import _connect_or_shutdown_lock, global_worker

# Not ray.get_runtime_context: like all of Ray's public calls that starts a Ray where none is.
from ray.runtime_context import get_runtime_context

from ..errors import ForkedProcess, RayNotInitialized

_connected_at_fork = False
_known: tuple[weakref.ref[Any], tuple[str, str]] | None = None  # of this connection: its cluster

_forked_from: int | None = None  # the process whose connection this one seems to have


def _before_fork() -> None:
    global _connected_at_fork
    _connected_at_fork = ray.is_initialized()


def _after_fork_in_child() -> None:
    global _forked_from
    _forked_from = os.getppid() if _connected_at_fork else None


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)


def check_not_forked() -> None:
    """Does nothing but in a process that was forked from one that was connected to a cluster.

    Such a process looks connected, and hangs or breaks the connection of its parent when it uses
    it; of Ray's threads it has none.

    Raises:
        ForkedProcess: It was.
    """
    if _forked_from is not None:
        raise ForkedProcess(
            f"process {os.getpid()} was forked from {_forked_from}, which is connected to "
            "Ray, and cannot use that connection: report in the parent, or start processes with "
            "the spawn method (multiprocessing.get_context('spawn'); for a torch DataLoader "
            "multiprocessing_context='spawn')"
        )


def is_connected() -> bool:
    """Whether this process is connected to a cluster.

    Raises:
        ForkedProcess: Its parent is, and forked it.
    """
    check_not_forked()
    return bool(ray.is_initialized())


def check_connected() -> None:
    """Does nothing in a process that is connected to a cluster.

    Raises:
        ForkedProcess: Its parent is, and forked it.
        RayNotInitialized: It is not.
    """
    if not is_connected():
        raise RayNotInitialized("Ray is not running in this process: call ray.init() first")


@contextmanager
def holding_connection() -> Iterator[None]:
    """This process stays connected while the block lasts: a `ray.shutdown` waits for its end.

    A thread that uses Ray while another shuts it down ends the process on the spot, with Ray's
    words, and a moment later it would start another Ray. For what does not take long.

    Raises:
        ForkedProcess: Its parent is connected, and forked it.
        RayNotInitialized: It is not connected.
    """
    with _connect_or_shutdown_lock:
        check_connected()
        yield


def cluster() -> tuple[str, str]:
    """Returns what tells the cluster, and this process's connection to it, from any other.

    Raises:
        ForkedProcess: Its parent is, and forked it.
        RayNotInitialized: This process is connected to none.
    """
    global _known
    with holding_connection():
        node = global_worker.node  # another one for each connection; none under Ray Client
        if _known is not None and node is not None and _known[0]() is node:
            return _known[1]  # Ray's own words take as long as the rest of a task in the driver
        context = get_runtime_context()
        told = context.get_node_id(), context.get_job_id()
        _known = None if node is None else (weakref.ref(node), told)
        return told


def in_local_mode() -> bool:
    """Whether the whole cluster is this process."""
    # Ray 2.54 took local mode away, and later its constant.
    return bool(get_runtime_context().worker.mode == getattr(ray, "LOCAL_MODE", None))
