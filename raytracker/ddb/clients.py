"""boto3's session and its client in this process, shared by the tables of one endpoint.

A session of boto3's takes 10 MB and a tenth of a second, and sees for ever the credentials that it
found at first. So it is shared, and dropped when DynamoDB refuses them: the next one looks again at
the environment, the files and the role of the machine.

boto3 is imported at first use, so that importing raytracker stays quick.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from .answers import restore_binary

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBServiceResource

_MAX_SHARED = 8  # of endpoints and environments, in one process
# A thousand images of an actor whose role was taken away are refused all the time.
MAX_DROPS, DROPS_SECONDS = 20, 10.0

# Clients are built one at a time: boto3's loaders are not safe to use from two threads at once.
_building = threading.RLock()
_shared: dict[object, Clients] = {}


class Clients:
    """What boto3 makes for one endpoint and region, of one session.

    Args:
        endpoint_url: Where DynamoDB answers; None: as boto3 finds it.
        region_name: AWS region; None: as boto3 finds it.
        before: What this takes the place of.
    """

    def __init__(
        self, endpoint_url: str | None, region_name: str | None, before: Clients | None = None
    ) -> None:
        self._endpoint_url = endpoint_url
        self._region_name = region_name
        self._process = os.getpid()
        self._dropped = False
        self._drops: deque[float] = before._drops if before else deque(maxlen=MAX_DROPS)
        self._session: Any = None
        self._writer: Any = None

    @property
    def usable(self) -> bool:
        """Whether this was made in this process, not before a fork, and nobody dropped it."""
        return self._process == os.getpid() and not self._dropped

    def drop(self) -> None:
        """Has all who use this get another: the credentials were refused.

        But not too often: then they stay with this one for some seconds.
        """
        now = time.monotonic()
        with _building:
            often = len(self._drops) == MAX_DROPS and now - self._drops[0] < DROPS_SECONDS
            if not self._dropped and not often:
                self._dropped = True
                self._drops.append(now)

    @property
    def writer(self) -> Any:
        """A thread-safe client that takes Python values, tries once and gives up after 2 s."""
        if self._writer is None:
            with _building:
                self._writer = (
                    self._writer
                    or self._resource(
                        # The caller repeats; botocore's retries would hold its thread for minutes.
                        retries={"total_max_attempts": 1},
                        parameter_validation=False,  # a quarter of a write's computing
                        max_pool_connections=16,
                        connect_timeout=2,
                        read_timeout=2,
                        tcp_keepalive=True,
                    ).meta.client
                )
        return self._writer

    def resource(self) -> DynamoDBServiceResource:
        """Returns a new service resource, with botocore's retries; not to be shared by threads."""
        with _building:
            return self._resource(
                retries={"max_attempts": 3, "mode": "standard"},
                max_pool_connections=50,
                connect_timeout=5,
                read_timeout=20,
            )

    def _resource(self, **config: Any) -> DynamoDBServiceResource:
        import boto3
        from botocore.config import Config

        try:
            self._session = self._session or boto3.Session(region_name=self._region_name)
            resource: DynamoDBServiceResource = self._session.resource(
                "dynamodb", endpoint_url=self._endpoint_url, config=Config(**config)
            )
        except BaseException:
            self.drop()  # what is wrong with the settings may be mended by the next time
            raise
        # Before boto3's own handler, which turns the attributes into Python's types.
        resource.meta.client.meta.events.register_first("after-call.dynamodb", _restore_binary)
        return resource


def shared_clients(endpoint_url: str | None, region_name: str | None) -> Clients:
    """Returns usable clients, the same for the same arguments in the same environment."""
    key = (endpoint_url, region_name, _environment())
    with _building:
        found = _shared.pop(key, None)
        if found is None or not found.usable:
            found = Clients(endpoint_url, region_name, before=found)
        _shared[key] = found
        while len(_shared) > _MAX_SHARED:
            del _shared[next(iter(_shared))]  # the one not asked for longest
        return found


def _environment() -> frozenset[tuple[str, str]]:
    """Returns the variables that boto3 looks at when it makes a client."""
    return frozenset(
        (name, value)
        for name, value in os.environ.items()
        if name.startswith("AWS_") or name.upper().endswith("_PROXY")
    )


def _restore_binary(parsed: Any, **_: Any) -> None:
    restore_binary(parsed)


def _forked() -> None:
    global _building
    _building = threading.RLock()  # another thread of the parent may have held it
    _shared.clear()


os.register_at_fork(after_in_child=_forked)
