"""The Ray that seeds run on, and the processes in it that may be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import ray

ACTOR = "ray::ImageActor"
OBJECT_STORE_BYTES = 80_000_000
# A lost raylet is noticed in about 2 s, not in 15.
HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}
# Nobody listens there; boto3 asks for the way to the table at each request.
NO_WAY_OUT = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}


class Process(NamedTuple):
    """A process, with the name that Ray gives it."""

    pid: int
    parent: int
    name: str


class Cluster:
    """A local Ray of four CPUs: one node, or three raylets, the actors on the first.

    One of the three cannot reach the job table. GPUs are numbers that only Ray knows.

    Args:
        nodes: 1 or 3.
    """

    def __init__(self, nodes: int) -> None:
        self._cluster: Any = None
        if nodes == 1:
            ray.init(
                address="local",
                num_cpus=4,
                num_gpus=4,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                object_store_memory=OBJECT_STORE_BYTES,
            )
            return
        from ray.cluster_utils import Cluster as Raylets

        head = {"include_dashboard": False, "_system_config": HEALTH_CHECKS}
        self._cluster = Raylets(
            initialize_head=True,
            head_node_args={**head, "num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES},
        )
        self._workers = nodes - 1
        self._cut_off: Any = None
        self.mend()
        ray.init(address=self._cluster.address, log_to_driver=False, logging_level="ERROR")

    @property
    def address(self) -> str:
        """Where other drivers find it."""
        return str(ray.get_runtime_context().gcs_address)

    def mend(self) -> None:
        """Starts as many raylets as were killed."""
        while self._cluster and len(nodes := self._cluster.worker_nodes) < self._workers:
            is_cut_off = self._cut_off not in nodes
            node = self._cluster.add_node(
                num_cpus=2,
                num_gpus=2,
                object_store_memory=OBJECT_STORE_BYTES,
                env_vars=NO_WAY_OUT if is_cut_off else None,
            )
            if is_cut_off:
                self._cut_off = node

    def kill_node(self, choice: float) -> set[int]:
        """Kills a raylet, and so its workers; returns the pids."""
        nodes = sorted(self._cluster.worker_nodes, key=lambda node: node.unique_id)
        if not nodes:
            return set()
        node = nodes[int(choice * len(nodes))]
        raylet = node.all_processes["raylet"][0].process.pid
        workers = {process.pid for process in processes() if process.parent == raylet}
        with suppress(AssertionError):  # that something of it is still ending
            self._cluster.remove_node(node, allow_graceful=False)
        return {raylet, *workers}

    def close(self) -> None:
        """Ends it."""
        ray.shutdown()
        if self._cluster:
            self._cluster.shutdown()


def processes(above: int | None = None) -> list[Process]:
    """Returns the processes that Ray started below this one: never those of another Ray.

    Args:
        above: The pid of another process than this one.
    """
    above = above or os.getpid()
    found = {process.pid: process for process in _all()}

    def is_ours(process: Process | None) -> bool:
        while process is not None and process.parent != above:
            process = found.get(process.parent)
        return process is not None

    return [p for p in found.values() if p.name.startswith("ray::") and is_ours(p)]


def kill(pid: int) -> bool:
    """Kills a process; returns whether it was there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _all() -> Iterator[Process]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):  # it has just ended
            name = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            parent = int((folder / "stat").read_text().rpartition(") ")[2].split()[1])
            yield Process(int(folder.name), parent, name)
