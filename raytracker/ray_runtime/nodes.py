"""The nodes of the cluster, and what lives on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import ray

# Not ray.get_runtime_context: like all of Ray's public calls that starts a Ray where none is.
from ray.runtime_context import get_runtime_context

from .connection import check_connected, holding_connection


def runtime_environment() -> str:
    """Returns the `runtime_env` of this process, as text: equal for equal ones.

    An actor that this process starts inherits it. What a package or a folder holds is in it, too:
    Ray names them by their contents.
    """
    check_connected()
    text = get_runtime_context().get_runtime_env_string()
    return json.dumps(json.loads(text or "{}"), sort_keys=True)  # a driver's has other spaces


def node_address() -> str:
    """Returns the address of this process's node, as Ray's own messages name it."""
    return str(ray.util.get_node_ip_address())


def head_node() -> str | None:
    """Returns the id of the cluster's head node; None where Ray shows none."""
    for node in ray.nodes():
        if node["Alive"] and "node:__internal_head__" in node["Resources"]:
            return str(node["NodeID"])
    return None


def actor_state(handle: Any) -> str | None:
    """Returns what Ray says of an actor, such as PENDING_CREATION, and where it is.

    None where it says nothing: under Ray Client, or when its head node does not answer.
    """
    from ray._private.state import state  # the public one asks a dashboard, which may not run

    try:
        found = state.actor_table(handle._actor_id.hex())
        name, address, pid = found["State"], found["Address"]["IPAddress"], found["Pid"]
    except Exception:  # whatever it is, it must not hide what made somebody ask
        return None
    return f"{name} on node {address}, process {pid}" if address else str(name)


def died_with_node(error: BaseException) -> bool:
    """Whether an actor's error says that its node has gone, and took it along."""
    if not isinstance(error, ray.exceptions.RayActorError):
        return False
    return error.preempted or "its node has died" in str(error)


def resources_of(options: Mapping[str, Any]) -> dict[str, float]:
    """Returns what the options of a task or an actor ask of a node, by Ray's names."""
    named = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    asked = {resource: options.get(option) for resource, option in named.items()}
    asked.update(options.get("resources") or {})
    return {resource: float(amount) for resource, amount in asked.items() if amount}


def how_many_fit(request: Mapping[str, float]) -> int:
    """Returns how many times the cluster's nodes, all idle, have what is asked for.

    Raises:
        RayNotInitialized: This process is connected to none.
    """
    count = 0
    for has in _resources():
        fits = (has.get(name, 0.0) / amount for name, amount in request.items())
        count += int(min(fits, default=1) + 1e-9)
    return count


def most_of_a_node(name: str) -> float:
    """Returns how much of a resource the node has that has the most; errors as `how_many_fit`."""
    return max((has.get(name, 0.0) for has in _resources()), default=0.0)


def _resources() -> list[dict[str, float]]:
    with holding_connection():
        return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def may_grow() -> bool | None:
    """Whether an autoscaler runs; None where Ray does not tell."""
    from ray.experimental.internal_kv import _internal_kv_get

    try:
        with holding_connection():
            # What `ray status` shows. Without an autoscaler each node is a type of its own.
            told = json.loads(_internal_kv_get("__autoscaling_status") or b"")
        types: dict[str, str] = told["autoscaler_report"]["node_type_mapping"]
    except (
        Exception
    ):  # under Ray Client, before the first report, with an autoscaler of another kind
        return None
    return None if not types else any(kind != f"node_{node}" for node, kind in types.items())
