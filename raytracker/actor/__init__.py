"""The Ray actor that stands between reporters and the job table, and how it is found."""

from .aside import pickled
from .coordinator import Coordinator
from .finding import NAMESPACE, Call, ask, call, find, find_or_start, submit
from .host import ImageActor
from .messages import Ack, Batch, LedgerView, Status, Tentative, ended_early
from .schedule import Schedule
from .spec import Pool, Spec

__all__ = [
    "Pool",
    "Spec",
    "pickled",
    "find",
    "find_or_start",
    "Call",
    "ask",
    "call",
    "submit",
    "NAMESPACE",
    "ImageActor",
    "Coordinator",
    "Batch",
    "Ack",
    "Tentative",
    "Status",
    "LedgerView",
    "ended_early",
    "Schedule",
]
