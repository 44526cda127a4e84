"""Typed access to one DynamoDB table, with the names that OSML Model Runner uses for it."""

from .answers import ConditionFailed, to_python, translate
from .connection import TableConnection, Written
from .helper import DDBHelper, DDBItem, DDBKey

__all__ = [
    "ConditionFailed",
    "to_python",
    "translate",
    "TableConnection",
    "Written",
    "DDBHelper",
    "DDBItem",
    "DDBKey",
]
