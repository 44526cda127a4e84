"""What is said of images wherever they are shown: in a terminal, on a page, as JSON."""

from .details import MAX_SHOWN, details_of, errors_of, seconds_left, trouble_of
from .failures import (
    Group,
    OfClass,
    classes_in,
    classes_text,
    failed_rows,
    failures_of,
    ranges_of,
    ranges_text,
    times,
)
from .rows import Status, Wanted, is_silent, newest, row_of

__all__ = [
    "Status",
    "Wanted",
    "is_silent",
    "newest",
    "row_of",
    "MAX_SHOWN",
    "details_of",
    "errors_of",
    "seconds_left",
    "trouble_of",
    "Group",
    "OfClass",
    "classes_in",
    "classes_text",
    "failed_rows",
    "failures_of",
    "ranges_of",
    "ranges_text",
    "times",
]
