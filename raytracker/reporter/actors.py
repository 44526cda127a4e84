"""The actors that this process calls, and the connection by which it does."""

from __future__ import annotations

import threading
from typing import Any

from ..actor import Spec, find, find_or_start
from ..errors import RayNotInitialized
from ..ray_runtime import check_connected, cluster, holding_connection


class Actors:
    """Handles of images' actors, each looked up once in a connection to a cluster."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: dict[tuple[str, object], Any] = {}
        self._connection: tuple[str, str] | None = None

    def get(self, spec: Spec, *, start: bool) -> Any | None:
        """Returns a handle of the image's actor; None where there is none.

        Args:
            spec: The image and run.
            start: Whether to start one then.

        Raises:
            RayNotInitialized: This process is not connected to a cluster.
        """
        check_connected()
        handle = self._handles.get(actor_key(spec))
        if handle is None:
            with holding_connection():
                handle = find_or_start(spec) if start else find(spec)
            if handle is not None:
                with self._lock:
                    self._handles[actor_key(spec)] = handle
        return handle

    def forget(self, spec: Spec) -> None:
        """Has the next call look the actor up again."""
        with self._lock:
            self._handles.pop(actor_key(spec), None)

    def handles(self) -> list[Any]:
        """Returns the handles of all actors that were looked up."""
        with self._lock:
            return list(self._handles.values())

    def reconnected(self) -> bool:
        """Whether this is another connection than at the last look; then no handle is kept.

        A process may shut Ray down and connect again, to the same cluster or to another one. A
        handle of before would start a Ray by itself, or call nobody.
        """
        try:
            here = cluster()
        except RayNotInitialized:
            here = None
        with self._lock:
            if here == self._connection:
                return False
            self._connection = here
            self._handles.clear()
            return True


def actor_key(spec: Spec) -> tuple[str, object]:
    """Returns what tells the actor of an image from those of others."""
    return spec.actor_name, spec.table.settings
