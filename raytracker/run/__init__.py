"""One run of an image: how it begins, what is known of it, and how its end is waited for."""

from .beginning import (
    Begun,
    How,
    IfExists,
    begin,
    go_on,
    job_item,
    job_table,
    read_tracked,
)
from .keeping import keep, leave
from .patience import in_time, patiently
from .reports import classed, report_of, span_of
from .run import Run
from .taking import once_free
from .view import View
from .waiting import Wait, end_early, end_settled

__all__ = [
    "Begun",
    "How",
    "IfExists",
    "begin",
    "go_on",
    "job_item",
    "job_table",
    "keep",
    "leave",
    "in_time",
    "patiently",
    "read_tracked",
    "classed",
    "report_of",
    "span_of",
    "Run",
    "once_free",
    "View",
    "Wait",
    "end_early",
    "end_settled",
]
