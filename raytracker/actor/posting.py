"""Sends the messages of images to SNS, in a thread of its own: none of them holds up a flush."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from ..logs import about
from ..ray_runtime import in_a_line
from ..status_monitor import Message
from .coordinator import Coordinator
from .schedule import Schedule

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0


class Sender:
    """Sends the messages of images, at once."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}  # by region

    def send_all(self, coordinator: Coordinator) -> None:
        """Sends what is in an image's outbox, until that is empty; raises what SNS does."""
        while not coordinator.finished and (unsent := coordinator.news.unsent()):
            for entry, message in unsent:
                if message is not None:
                    self._send(message)
                coordinator.news.outbox.sent(entry)

    def _send(self, message: Message) -> None:
        region = message.topic.split(":")[3]
        ordered = {}
        if message.topic.endswith(".fifo"):
            ordered = {
                "MessageGroupId": hashlib.sha256(message.group.encode()).hexdigest(),
                "MessageDeduplicationId": message.attributes["message_id"],
            }
        try:
            if region not in self._clients:
                self._clients[region] = _client(region)
            self._clients[region].publish(
                TopicArn=message.topic,
                Message=message.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in message.attributes.items()
                },
                **ordered,
            )
        except BaseException:
            self._clients.pop(region, None)  # another one may find other credentials
            raise


class Poster(Generic[K]):
    """Sends what the outboxes of many images hold, and again until it is sent.

    Args:
        find: Returns the coordinator of a key; None where there is none any more.
        done: Called with a key whose messages have all been sent.
    """

    def __init__(
        self, find: Callable[[K], Coordinator | None], done: Callable[[K, Coordinator], None]
    ) -> None:
        self._find = find
        self._done = done
        self._changed = threading.Condition()
        self._schedule: Schedule[K] = Schedule()
        self._failures: dict[K, int] = {}  # in a row
        self._sender = Sender()
        self._thread: threading.Thread | None = None

    def wake(self, key: K) -> None:
        """Has the messages of an image sent; returns at once."""
        with self._changed:
            if key in self._failures:
                return  # it is tried again when that is due
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, daemon=True, name="raytracker-sns"
                )
                self._thread.start()
            self._schedule.set(key, time.monotonic())
            self._changed.notify()

    def _serve(self) -> None:
        while True:
            with self._changed:
                key = self._schedule.take(time.monotonic())
                if key is None:
                    first = self._schedule.first()
                    self._changed.wait(None if first is None else first - time.monotonic())
                    continue
            try:
                coordinator = self._find(key)
                if coordinator is not None:
                    self._sender.send_all(coordinator)
                    self._done(key, coordinator)
            except Exception as err:
                self._failed(key, err)
            else:
                with self._changed:
                    self._failures.pop(key, None)

    def _failed(self, key: K, error: Exception) -> None:
        coordinator = self._find(key)
        with self._changed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            pause = min(FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 10), LONGEST_RETRY_SECONDS)
            self._schedule.set(key, time.monotonic() + pause)
        if coordinator is not None and (failures == 1 or pause == LONGEST_RETRY_SECONDS):
            logger.warning(
                "image %s: its status is not sent to SNS, and tried again: %s",
                coordinator.image_id,
                in_a_line(error),
                extra=about(coordinator.image_id, coordinator.run),
            )


def _client(region: str) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": 2}, connect_timeout=2, read_timeout=5, tcp_keepalive=True
    )
    return boto3.Session().client("sns", region_name=region, config=config)
