"""What is known of the tiles of one image: pure Python, neither Ray nor boto3."""

from .layout import Layout
from .ledger import MAX_REASON_BYTES, MAX_REASONS, Ledger, clip_reason, encode_outcomes
from .outcomes import ERROR, RANK, RETURNED, SUCCESS, Outcome, Outcomes, Span, spans_of
from .reasons import reason_of

__all__ = [
    "ERROR",
    "Layout",
    "MAX_REASONS",
    "MAX_REASON_BYTES",
    "Ledger",
    "Outcome",
    "Outcomes",
    "RANK",
    "RETURNED",
    "SUCCESS",
    "Span",
    "clip_reason",
    "encode_outcomes",
    "reason_of",
    "spans_of",
]
