"""`raytracker table check --print`: a job table for those who make theirs otherwise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from cfnlint.api import lint
from moto import mock_aws

from raytracker.cli.checks import table_findings
from raytracker.job_table import JobTable
from tests.support.in_process import invoke, refused

DEPLOY = Path(__file__).parents[2] / "deploy"


def printed(kind: str) -> str:
    done = invoke("table", "check", "ImageJobs", "--print", kind)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_a_stack_makes_a_table_that_fits(aws_env: None) -> None:
    """AWS's own linter has nothing to say of it; moto's leaves out TTL and recovery."""
    text = printed("cloudformation")
    assert lint(text, None, ["us-east-1"]) == []
    properties = json.loads(text)["Resources"]["JobTable"]["Properties"]
    assert properties["TimeToLiveSpecification"]["AttributeName"] == "expire_time"
    assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    with mock_aws():
        boto3.client("cloudformation").create_stack(StackName="jobs", TemplateBody=text)
        found = {one.name: one for one in table_findings(JobTable("ImageJobs"))}
    made = {name for name, one in found.items() if one.mark == "ok"}
    assert {"key", "capacity", "GetItem", "Scan"} <= made


def test_terraform_says_the_same(aws_env: None) -> None:
    """Key, TTL, capacity and recovery."""
    text = re.sub(r"\s+", " ", printed("terraform"))
    for said in (
        'name = "ImageJobs"',
        'hash_key = "image_id"',
        'attribute { name = "image_id" type = "S" }',
        'ttl { attribute_name = "expire_time" enabled = true }',
        "point_in_time_recovery { enabled = true }",
        'billing_mode = "PAY_PER_REQUEST"',
    ):
        assert said in text
    assert text.count("{") == text.count("}")


def test_the_policy_is_that_of_the_deployment(aws_env: None) -> None:
    """With this table in this region; no right more than the files in deploy/ give on it."""
    told = json.loads(printed("policy"))
    given: list[dict[str, Any]] = []
    for name in ("node-policy", "operator-policy", "table-policy"):
        given += json.loads((DEPLOY / f"{name}.json").read_text())["Statement"]
    theirs = {one["Sid"]: one["Action"] for one in given if "table/ImageJobs" in one["Resource"]}
    assert {one["Sid"]: one["Action"] for one in told["Statement"]} == theirs
    [resource] = {one["Resource"] for one in told["Statement"]}
    assert resource == "arn:aws:dynamodb:us-east-1:*:table/ImageJobs"


@pytest.mark.parametrize("name", ["x", 'jobs"', "a b c", "j" * 256])
def test_a_name_that_no_table_has(aws_env: None, name: str) -> None:
    """Is refused, whatever is to be printed."""
    for kind in ("cloudformation", "terraform", "policy"):
        assert "3 to 255 of A-Z" in refused("table", "check", name, "--print", kind)
