"""cluster.yaml is one that Ray's autoscaler takes and that AWS could start."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from ray._private.authentication import authentication_token_setup
from ray.autoscaler._private import util
from ray.autoscaler._private.commands import _bootstrap_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster() -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return content


def test_ray_takes_it(cluster: dict[str, Any]):
    """Ray's own preparation and schema check find nothing."""
    util.validate_config(util.prepare_config(cluster))


def test_aws_bootstrap_fills_in_what_a_node_needs(
    cluster: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Against moto: every node type ends with an image, a subnet, a security group and a key."""
    monkeypatch.setenv("HOME", str(tmp_path))  # the new key pair is written there
    Path(tmp_path, ".ssh").mkdir()
    with mock_aws():
        config = _bootstrap_config(cluster, no_config_cache=True)
        types = boto3.client("ec2", cluster["provider"]["region"]).describe_instance_types(
            InstanceTypes=[t["node_config"]["InstanceType"] for t in _node_types(cluster)]
        )["InstanceTypes"]
    assert {t["InstanceType"] for t in types} == {"m5.xlarge", "m5.4xlarge"}
    for node_type in _node_types(config):
        node = node_type["node_config"]
        assert node["ImageId"].startswith("ami-")
        assert node["SubnetIds"]
        assert node["SecurityGroupIds"]
        assert node["KeyName"]


def test_workers_have_a_profile_of_their_own(cluster: dict[str, Any]):
    """What a task runs is anybody's: it can start no machine, nor pass a role to one."""
    profiles = {
        name: node_type["node_config"]["IamInstanceProfile"]["Name"]
        for name, node_type in cluster["available_node_types"].items()
    }
    assert profiles == {"head": "raytracker-head", "worker": "raytracker-worker"}
    allowed = (ROOT / "deploy" / "node-policy.json").read_text()
    assert "ec2:" not in allowed
    assert "iam:" not in allowed.replace("arn:aws:iam:", "")


def test_workers_run_the_tasks_and_the_head_none(cluster: dict[str, Any]):
    """The head holds the actors; it must not run out of memory under a task."""
    with mock_aws():
        config = _bootstrap_config_resources(cluster)
    assert config["head"]["CPU"] == 0
    assert config["worker"]["CPU"] == 16


def test_its_ray_is_the_one_that_the_tests_run_on(cluster: dict[str, Any]):
    """A driver and a cluster of different versions do not speak to each other."""
    pinned = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert cluster["docker"]["image"].startswith(f"rayproject/ray:{pinned[1]}-")


def test_nobody_without_the_token_runs_code(cluster: dict[str, Any]):
    """Each node asks for it, and has it; it is where Ray looks for it, here and there."""
    assert "-e RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert cluster["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    assert (
        Path("~/.ray/auth_token").expanduser()
        == authentication_token_setup._get_default_token_path()
    )


def test_its_image_is_named_once_and_can_be_pinned(tmp_path: Path):
    """docs/deploy.md's command adds the digest, whether there is one already or not."""
    said = (ROOT / "docs" / "deploy.md").read_text()
    script = re.search(r"```\n(image=.*?)```", said, re.DOTALL)
    assert script is not None
    path = tmp_path / "cluster.yaml"
    path.write_text((ROOT / "cluster.yaml").read_text())
    assert len(re.findall("rayproject/", path.read_text())) == 1
    image = yaml.safe_load(path.read_text())["docker"]["image"].partition("@")[0]
    docker = tmp_path / "docker"
    for digest in ("sha256:" + "1" * 64, "sha256:" + "2" * 64):
        docker.write_text(f'#!/bin/sh\ntest "$4" = {image} && echo {digest}\n')
        docker.chmod(0o755)
        paths = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            ["sh", "-ec", script[1]], cwd=tmp_path, env={**os.environ, "PATH": paths}, check=True
        )
        assert yaml.safe_load(path.read_text())["docker"]["image"] == f"{image}@{digest}"


def _node_types(config: dict[str, Any]) -> list[dict[str, Any]]:
    return list(config["available_node_types"].values())


def _bootstrap_config_resources(cluster: dict[str, Any]) -> dict[str, dict[str, int]]:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    config = AWSNodeProvider.fillout_available_node_types_resources(util.prepare_config(cluster))
    return {name: t["resources"] for name, t in config["available_node_types"].items()}
