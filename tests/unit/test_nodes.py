"""What is made of what Ray tells of nodes."""

from __future__ import annotations

import pytest
import ray
from ray.exceptions import RayActorError

from raytracker.errors import RayNotInitialized
from raytracker.ray_runtime import died_with_node, how_many_fit, most_of_a_node, resources_of


def test_an_actor_that_died_with_its_node() -> None:
    """Ray says so in words, or that the node was preempted; else the process died alone."""
    assert died_with_node(RayActorError(error_msg="The actor died because its node has died."))
    assert died_with_node(RayActorError(preempted=True))
    assert not died_with_node(RayActorError(error_msg="its worker process has died"))
    assert not died_with_node(ValueError("its node has died"))


def test_how_many_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the nodes that live, all idle."""
    nodes = [
        {"Alive": True, "Resources": {"CPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 4.0, "there": 1.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    with pytest.raises(RayNotInitialized):  # asked all the same, Ray would start a cluster
        how_many_fit({})
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    asked = resources_of({"num_cpus": 2, "num_gpus": None, "resources": {"there": 0.5}})
    assert asked == {"CPU": 2.0, "there": 0.5}
    assert most_of_a_node("CPU") == 4
    assert [how_many_fit(each) for each in (asked, {"CPU": 1.0}, {"GPU": 1.0})] == [2, 5, 0]
