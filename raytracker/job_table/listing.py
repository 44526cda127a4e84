"""All items of a job table, a page at a time, without their ledgers."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from ..ddb import TableConnection, to_python, translate
from ..errors import RaytrackerError, TableUnavailable
from .item import JobItem

SEGMENTS = 8  # read at once: DynamoDB gives each 1 MB a time, of which little is sent
# Items of a page: as many as are 1 MB where ledgers are large. DynamoDB Local, not told how many,
# looks at all that are left for each page.
PAGE = 50
# Seconds before a page is asked for again: a table on demand needs time to give more than ever.
PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 2.0)
SHOWN = (
    "image_id",
    "job_id",
    "image_url",
    "model_name",
    "start_time",
    "end_time",
    "expire_time",
    "processing_duration",
    "region_count",
    "region_success",
    "region_error",
    "tracker_run",
    "tracker_state",
    "tracker_ends",
    "tracker_keep_for",
    "tracker_started_by",
    "tracker_alive_until",
)
_TYPES = get_type_hints(JobItem)


@dataclass
class Consumed:
    """What a listing has taken of the table.

    Attributes:
        rcu: Read capacity units.
    """

    rcu: float = 0.0


def jobs_in(table: TableConnection, consumed: Consumed | None = None) -> Iterator[JobItem]:
    """Yields each item of a table, in no order, with the attributes in `SHOWN` only.

    DynamoDB reads, and charges, whole items; what is not shown is not sent. The read is not
    consistent, which halves its price: an item may be as it was a second ago. Attributes of a type
    that is not ours are left out.

    Args:
        table: The table.
        consumed: Is told what it took, page by page.

    Raises:
        TableError: DynamoDB refuses.
        TableUnavailable: It does not answer.
    """
    # As many pages as there are readers wait here, so that memory does not grow with the table.
    pages: queue.Queue[dict[str, Any] | RaytrackerError | None] = queue.Queue(SEGMENTS)
    is_over = threading.Event()

    def read(segment: int) -> None:
        last: RaytrackerError | None = None
        try:
            for response in _pages(table, segment, is_over):
                pages.put(response)
        except Exception as err:  # who reads must not wait for ever
            last = translate(err, table.table_name)
        pages.put(last)

    try:
        _ = table.writer  # made once, here
    except Exception as err:
        raise translate(err, table.table_name) from None  # its text says all
    for segment in range(SEGMENTS):
        threading.Thread(target=read, args=(segment,), daemon=True).start()
    left = SEGMENTS
    try:
        while left:
            page = pages.get()
            if isinstance(page, dict):
                if consumed is not None:
                    consumed.rcu += _units(page)
                yield from map(_job, page.get("Items", []))
                continue
            left -= 1
            if page is not None:
                raise page
    finally:
        is_over.set()
        while left:  # a reader may be about to hand over a page
            left -= not isinstance(pages.get(), dict)


def _pages(
    table: TableConnection, segment: int, is_over: threading.Event
) -> Iterator[dict[str, Any]]:
    names = {f"#{number}": name for number, name in enumerate(SHOWN)}
    request: dict[str, Any] = {
        "TableName": table.table_name,
        "Segment": segment,
        "TotalSegments": SEGMENTS,
        "Limit": PAGE,
        "ProjectionExpression": ", ".join(names),
        "ExpressionAttributeNames": names,
        "ReturnConsumedCapacity": "TOTAL",
    }
    while not is_over.is_set():
        response = _page(table, request)
        yield response
        if "LastEvaluatedKey" not in response:
            return
        request["ExclusiveStartKey"] = response["LastEvaluatedKey"]


def _page(table: TableConnection, request: dict[str, Any]) -> dict[str, Any]:
    for pause in (*PAUSES, None):
        response = _asked(table, request)
        if isinstance(response, dict):
            return response
        if pause is None or not isinstance(response, TableUnavailable):
            raise response
        time.sleep(pause)
    raise AssertionError("the last pause is None")


def _asked(table: TableConnection, request: dict[str, Any]) -> dict[str, Any] | RaytrackerError:
    try:
        with table.asking():
            return dict(table.writer.scan(**request))
    except Exception as err:
        return translate(err, table.table_name)


def _units(response: dict[str, Any]) -> float:
    return float(response.get("ConsumedCapacity", {}).get("CapacityUnits", 0))


def _job(attributes: dict[str, Any]) -> JobItem:
    """Returns an item, without what has a type that is not ours: anybody may have written it."""
    plain = {name: to_python(value) for name, value in attributes.items()}
    return JobItem(**{name: value for name, value in plain.items() if _fits(name, value)})


def _fits(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return name == "tracker_ends"
    return isinstance(value, _TYPES[name])
