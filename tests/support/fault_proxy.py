"""An HTTP proxy in front of a DynamoDB that does to requests what networks and services do."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from typing import NamedTuple

from tests.support.counting_proxy import Answer, CountingProxy, Request
from tests.support.waiting import wait_until

FAULTY_OPERATIONS = {"GetItem", "PutItem", "UpdateItem"}
LATE_SECONDS = 2.5  # beyond the 2 s after which raytracker's writer gives a request up

_DYNAMODB = "com.amazonaws.dynamodb.v20120810"
# What DynamoDB says, in its words.
REFUSALS = {
    "InternalServerError": (500, _DYNAMODB, "Internal server error"),
    "ProvisionedThroughputExceededException": (
        400,
        _DYNAMODB,
        "The level of configured provisioned throughput for the table was exceeded. Consider "
        "increasing your provisioning level with the UpdateTable API.",
    ),
    "ThrottlingException": (
        400,
        "com.amazon.coral.availability",
        "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically "
        "scaling your table or index so please try again shortly.",
    ),
    "TransactionConflictException": (400, _DYNAMODB, "Transaction is ongoing for the item"),
}
EXPIRED = {
    "ExpiredTokenException": (
        400,
        "com.amazon.coral.service",
        "The security token included in the request is expired",
    ),
    "UnrecognizedClientException": (
        400,
        "com.amazon.coral.service",
        "The security token included in the request is invalid.",
    ),
}
FATES = (
    "lose request",  # the connection closes, nothing was applied
    "lose response",  # it was applied, the connection closes
    "hold back",  # the connection closes; it is applied seconds later, after newer ones
    "hold back silently",  # the same, and the client waits until its time-out
    "late request",  # applied after the client's time-out
    "late response",  # applied, answered after the client's time-out
    "applied, InternalServerError",  # a 500 does not say that nothing was applied
    *REFUSALS,
)


@dataclass(frozen=True)
class Weather:
    """What befalls the requests.

    Attributes:
        chances: Fate to probability; what is left of 1 is forwarded and answered.
        held_seconds: How long a request is held back: at least, at most.
        outages: (second after the start, seconds that it lasts), of the whole table.
    """

    chances: Mapping[str, float] = field(default_factory=dict)
    held_seconds: tuple[float, float] = (0.2, 3.0)
    outages: tuple[tuple[float, float], ...] = ()


class Event(NamedTuple):
    """Something that the proxy did, for the report of a failed test."""

    second: float
    operation: str
    what: str

    def __str__(self) -> str:
        return f"{self.second:7.3f} s  {self.operation:<11} {self.what}"


class FaultProxy(CountingProxy):
    """A proxy under a weather: the n-th request of an operation always meets the same fate.

    Args:
        upstream: The endpoint's URL.
        weather: What befalls the requests.
        seed: Of the fates.
        alias: (name, table): requests for table `name` go to `table`.

    Attributes:
        events: What it did, in order.
    """

    def __init__(
        self,
        upstream: str,
        weather: Weather,
        *,
        seed: object = 0,
        alias: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(upstream)
        self.events: list[Event] = []
        self._weather = weather
        self._alias = [f'"TableName": "{name}"'.encode() for name in alias or ()]
        self._dice = {name: random.Random(f"{seed} {name}") for name in FAULTY_OPERATIONS}
        self._held: dict[threading.Timer, Request] = {}
        self._busy = 0
        self._calm = threading.Event()
        self._began = time.monotonic()
        self._back_at = 0.0
        self._only_key: str | None = None
        self._expired = ""

    def accept_only(self, access_key: str, otherwise: str) -> None:
        """Refuses, from now on, what is signed with another access key id.

        Args:
            access_key: The one that is accepted.
            otherwise: How others are refused: a key of `EXPIRED`.
        """
        self._expired, self._only_key = otherwise, access_key

    def go_away(self, seconds: float) -> None:
        """Answers nobody for some seconds from now."""
        self._back_at = time.monotonic() + seconds

    def calm(self) -> None:
        """Ends all faults; what is held back is applied now, the newest first."""
        self._calm.set()
        with self._lock:
            timers = list(self._held)[::-1]
        for timer in timers:
            timer.cancel()
            self._deliver(timer)
        wait_until(lambda: not self._busy, what="the proxy has done with all requests")

    def answer(self, request: Request, upstream: HTTPConnection) -> Answer | None:
        """Lets a request meet its fate."""
        with self._counted():
            return self._meet_fate(request, upstream)

    def _meet_fate(self, request: Request, upstream: HTTPConnection) -> Answer | None:
        if self._alias:
            request = request._replace(body=request.body.replace(*self._alias))
        if self._is_away():
            self._note(request, "table away")
            return None
        if self._has_expired(request):
            self._note(request, self._expired)
            return _refusal(*EXPIRED[self._expired], self._expired)
        fate = self._fate(request.operation)
        if fate is None:
            return self.forward(request, upstream)
        self._note(request, fate)
        if fate.startswith("hold back"):
            self._hold_back(request)
            if fate == "hold back silently":
                self._calm.wait(LATE_SECONDS)
            return None
        if fate == "late request":
            self._calm.wait(LATE_SECONDS)
        if fate == "lose request":
            return None
        if fate in REFUSALS:
            return _refusal(*REFUSALS[fate], fate)
        answer = self.forward(request, upstream)
        if fate == "lose response":
            return None
        if fate == "late response":
            self._calm.wait(LATE_SECONDS)
        if fate == "applied, InternalServerError":
            return _refusal(*REFUSALS["InternalServerError"], "InternalServerError")
        return answer

    def _is_away(self) -> bool:
        now = time.monotonic()
        since = now - self._began
        planned = any(at <= since < at + seconds for at, seconds in self._weather.outages)
        return now < self._back_at or (planned and not self._calm.is_set())

    def _has_expired(self, request: Request) -> bool:
        if self._only_key is None or self._calm.is_set():
            return False
        signed = request.headers.get("Authorization", "")
        return f"Credential={self._only_key}/" not in signed

    def _fate(self, operation: str) -> str | None:
        if operation not in FAULTY_OPERATIONS or self._calm.is_set():
            return None
        with self._lock:
            roll = self._dice[operation].random()
        for fate, chance in self._weather.chances.items():
            roll -= chance
            if roll < 0:
                return fate
        return None

    def _hold_back(self, request: Request) -> None:
        with self._lock:
            seconds = self._dice[request.operation].uniform(*self._weather.held_seconds)
            timer = threading.Timer(seconds, lambda: self._deliver(timer))
            timer.daemon = True
            self._held[timer] = request
        timer.start()

    def _deliver(self, timer: threading.Timer) -> None:
        with self._counted():
            with self._lock:
                request = self._held.pop(timer, None)
            if request is None:
                return
            with closing(self.connect()) as upstream:
                answer = self.forward(request, upstream)
            self._note(request, f"held back; {'applied' if answer.status == 200 else 'refused'}")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def _note(self, request: Request, what: str) -> None:
        self.events.append(Event(time.monotonic() - self._began, request.operation, what))


def _refusal(status: int, namespace: str, message: str, name: str) -> Answer:
    body = json.dumps({"__type": f"{namespace}#{name}", "message": message})
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "x-amzn-RequestId": uuid.uuid4().hex.upper(),  # and no x-amz-crc32: botocore lets it be
    }
    return Answer(status, HTTPStatus(status).phrase, headers, body.encode())
