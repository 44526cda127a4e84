"""Kills processes of the cluster at the instants that a plan draws."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

from tests.chaos.cluster import ACTOR, Cluster, Process, kill, processes
from tests.chaos.plan import Kill

WORKERS = ("ray::mapped", "ray::reporting", "ray::Hand", "ray::AsyncHand")
WORKERS += ("ray::tiles", "ray::ModelWorker")  # of scenes
ASSEMBLERS = ("ray::_part", "ray::_decide", "ray::_features", "ray::_raster")
LOOK_SECONDS = 0.02  # an assembler lives for some tenths of a second


class Killer:
    """Kills for as long as the block lasts.

    Args:
        cluster: Where.
        kills: Whom, and when after the start.
        spared: Processes that nobody kills.

    Attributes:
        killed: The pids of those who are dead; of a node, the raylet's and its workers'.
        actors: How many of them were actors of images.
        workers: How many were workers, killed one by one.
        events: What was done, in words.
    """

    def __init__(
        self, cluster: Cluster, kills: Sequence[Kill], *, spared: Collection[int] = ()
    ) -> None:
        self.killed: set[int] = set()
        self.actors = 0
        self.workers = 0
        self.events: list[str] = []
        self._cluster = cluster
        self._kills = [kill for kill in kills if kill.whom != "assembler"]
        self._aimed = [kill for kill in kills if kill.whom == "assembler"]
        self._spared = frozenset(spared)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._serve, self._aim)
        ]

    def __enter__(self) -> Killer:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def has_killed(self, process: Sequence[int]) -> bool:
        """Whether a process is dead, given its pid and its parent's: a raylet takes its workers."""
        return not self.killed.isdisjoint(process)

    def end(self) -> None:
        """Kills no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        for planned in self._kills:
            if self._stop.wait(max(0.0, self._began + planned.second - time.monotonic())):
                return
            if planned.whom == "node":
                victims = self._cluster.kill_node(planned.choice)
            else:
                victims = self._kill_one(planned)
            self.actors += len(victims) if planned.whom == "actor" else 0
            self.workers += len(victims) if "worker" in planned.whom else 0
            self._note(planned, victims)

    def _aim(self) -> None:
        """Kills those who cannot be met by chance, as soon as they are there."""
        for planned in self._aimed:
            while not self._stop.wait(LOOK_SECONDS):
                if time.monotonic() - self._began < planned.second:
                    continue
                if victims := self._kill_one(planned):
                    self._note(planned, victims)
                    break

    def _note(self, planned: Kill, victims: set[int]) -> None:
        self.killed |= victims
        now = time.monotonic() - self._began
        self.events.append(f"{now:7.3f} s  {planned.whom} killed: {sorted(victims) or 'none'}")

    def _kill_one(self, planned: Kill) -> set[int]:
        those = sorted(p for p in processes() if _is(p, planned.whom) and p.pid not in self._spared)
        if not those:
            return set()
        pid = those[int(planned.choice * len(those))].pid
        return {pid} if kill(pid) else set()


def _is(process: Process, whom: str) -> bool:
    # By name, one by one: Ray's own agents are called ray::, too, and take the raylet with them.
    names = {
        "actor": (ACTOR,),
        "worker": WORKERS,
        "idle worker": ("ray::IDLE",),
        "assembler": ASSEMBLERS,
    }
    return process.name.startswith(names[whom])
