"""What is still told before this process ends, where its end is an orderly one."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Iterable
from concurrent.futures import wait
from contextlib import suppress
from typing import Any, Protocol

from ..actor import Spec, submit
from ..errors import RaytrackerError
from ..ray_runtime import before_actor_ends, in_actor, in_worker, is_connected
from .held import URGENT_POLL_SECONDS

EXIT_SECONDS = 2.0


class Telling(Protocol):
    """What is needed of the reporter."""

    def holding(self) -> list[Spec]:
        """Returns the runs of which something is held."""

    def flush(self, spec: Spec, timeout: float) -> None:
        """Waits until it is durable."""

    def deliver(self, spec: Spec, timeout: float) -> bool:
        """Waits until the actor has it."""

    def handles(self) -> Iterable[Any]:
        """Returns handles of the actors that it has called."""


class Leaving:
    """Has a driver flush, and a user's actor deliver, before it ends; bounded by two seconds.

    A task's worker has no such hook: Ray kills it, or ends it so that no call from there returns.
    """

    def __init__(self, reporter: Telling) -> None:
        self._reporter = reporter
        self._pid = os.getpid()
        self._registered = False

    def register(self) -> None:
        """Sees to it that it will be done; costs nothing when repeated."""
        if self._registered:
            return
        if not in_worker():
            atexit.register(self._flush)
            self._registered = True
        elif in_actor():
            self._registered = before_actor_ends(self._deliver)

    def _deliver(self) -> None:
        deadline = time.monotonic() + EXIT_SECONDS
        for spec in self._reporter.holding():
            self._reporter.deliver(spec, max(0.0, deadline - time.monotonic()))

    def _flush(self) -> None:
        if os.getpid() != self._pid or not is_connected():
            return  # the first is a forked child's exit
        deadline = time.monotonic() + EXIT_SECONDS
        for spec in self._reporter.holding():
            # Nobody is left to be told of an error; a resume runs these tiles again.
            with suppress(RaytrackerError):
                self._reporter.flush(spec, max(0.0, deadline - time.monotonic()))
        with suppress(Exception):
            self._hurry(deadline)

    def _hurry(self, deadline: float) -> None:
        """Has the actors flush what tasks reported: a Ray of this process's own ends with it."""
        actors = list(self._reporter.handles())
        while actors and time.monotonic() < deadline:
            answers = {submit(handle, "hurry").future: handle for handle in actors}
            done, _ = wait(answers, max(0.0, deadline - time.monotonic()))
            actors = [answers[a] for a in done if a.exception() is None and not a.result()]
            time.sleep(URGENT_POLL_SECONDS if actors else 0)
