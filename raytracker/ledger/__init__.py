"""What is known of the tiles of one image: pure Python, neither Ray nor boto3."""

from .changes import Settled, settled_since
from .classes import (
    CANCELLED,
    MAX_CLASSES_BYTES,
    NODE_LOST,
    OUT_OF_MEMORY,
    WORKER_DIED,
    Classes,
    ClassSpan,
    class_of,
    classes_of,
)
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
    "CANCELLED",
    "ClassSpan",
    "Classes",
    "ERROR",
    "Layout",
    "MAX_CLASSES_BYTES",
    "MAX_REASONS",
    "MAX_REASON_BYTES",
    "Ledger",
    "NODE_LOST",
    "OUT_OF_MEMORY",
    "Outcome",
    "Outcomes",
    "RANK",
    "RETURNED",
    "SUCCESS",
    "Settled",
    "Span",
    "WORKER_DIED",
    "class_of",
    "classes_of",
    "clip_reason",
    "encode_outcomes",
    "kind_of",
    "lowest_reasons",
    "reason_of",
    "settled_since",
    "spans_of",
]
