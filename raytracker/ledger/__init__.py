"""What is known of the tiles of one image: pure Python, neither Ray nor boto3."""

from .changes import Settled, settled_since
from .layout import Layout
from .ledger import Ledger, encode_outcomes
from .outcomes import ERROR, RANK, RETURNED, SUCCESS, Outcome, Outcomes, Span, spans_of
from .reasons import (
    MAX_REASON_BYTES,
    MAX_REASONS,
    clip_reason,
    kind_of,
    lowest_reasons,
    reason_of,
)

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
    "Settled",
    "Span",
    "clip_reason",
    "encode_outcomes",
    "kind_of",
    "lowest_reasons",
    "reason_of",
    "settled_since",
    "spans_of",
]
