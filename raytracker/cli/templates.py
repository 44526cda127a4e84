"""What `table check --print` prints: a job table as others make it, and the rights on it."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any

from ..job_table import KEY, TTL_ATTRIBUTE
from .options import Refused

_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # DynamoDB's rule
# What a run calls, what people's commands do, and what makes a table and looks at it.
RIGHTS = {
    "JobTable": ("GetItem", "PutItem", "UpdateItem"),
    "ListJobs": ("Scan", "DeleteItem"),
    "MakeJobTable": (
        "CreateTable",
        "DescribeTable",
        "DescribeTimeToLive",
        "UpdateTimeToLive",
        "DescribeContinuousBackups",
    ),
}


class Kind(str, Enum):
    """What can be printed."""

    cloudformation = "cloudformation"
    terraform = "terraform"
    policy = "policy"


def template(kind: Kind, name: str, region: str = "*") -> str:
    """Returns a text of a kind for a table.

    Args:
        kind: What.
        name: The table's name.
        region: Its region; "*": any.

    Raises:
        Refused: DynamoDB takes no such name.
    """
    if not _NAME.fullmatch(name):
        raise Refused(f"table {name!r}: a name is 3 to 255 of A-Z, a-z, 0-9, _, - and .")
    if kind is Kind.terraform:
        return _TERRAFORM.format(name=name, key=KEY, ttl=TTL_ATTRIBUTE)
    made = _stack(name) if kind is Kind.cloudformation else _policy(name, region)
    return json.dumps(made, indent=2) + "\n"


def _stack(name: str) -> dict[str, Any]:
    properties = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": KEY, "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": KEY, "KeyType": "HASH"}],
        "TimeToLiveSpecification": {"AttributeName": TTL_ATTRIBUTE, "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    table = {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The job table of raytracker",
        "Resources": {"JobTable": table},
        "Outputs": {"TableArn": {"Value": {"Fn::GetAtt": ["JobTable", "Arn"]}}},
    }


def _policy(name: str, region: str) -> dict[str, Any]:
    resource = f"arn:aws:dynamodb:{region}:*:table/{name}"
    statements = [
        {
            "Sid": sid,
            "Effect": "Allow",
            "Action": [f"dynamodb:{action}" for action in actions],
            "Resource": resource,
        }
        for sid, actions in RIGHTS.items()
    ]
    return {"Version": "2012-10-17", "Statement": statements}


_TERRAFORM = """\
resource "aws_dynamodb_table" "job_table" {{
  name         = "{name}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "{key}"

  attribute {{
    name = "{key}"
    type = "S"
  }}

  ttl {{
    attribute_name = "{ttl}"
    enabled        = true
  }}

  point_in_time_recovery {{
    enabled = true
  }}

  lifecycle {{
    prevent_destroy = true
  }}
}}
"""
