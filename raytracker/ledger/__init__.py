"""What is known of the tiles of one image: pure Python, neither Ray nor boto3."""

from .layout import Layout
from .ledger import MAX_REASON_BYTES, MAX_REASONS, Ledger, Outcome, clip_reason, encode_outcomes

__all__ = [
    "Layout",
    "MAX_REASONS",
    "MAX_REASON_BYTES",
    "Ledger",
    "Outcome",
    "clip_reason",
    "encode_outcomes",
]
