"""A job table in memory, for tests that decide what becomes of each request.

It evaluates the very expressions that raytracker sends to DynamoDB, so that a condition taken out
of them is noticed here as well.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Literal

from raytracker.ddb import ConditionFailed, Written
from raytracker.errors import CredentialsRefused, TableError, TableUnavailable
from raytracker.job_table import JobTable

Fate = Literal["ok", "lose_request", "lose_response", "hold_back", "refuse", "refuse_credentials"]


class SimulatedTable(JobTable):
    """A job table whose next requests meet the fates put into `fates`; then all is well."""

    def __init__(self) -> None:
        super().__init__("simulated", region_name="us-east-1")
        self.items: dict[str, dict[str, Any]] = {}
        self.fates: deque[Fate] = deque()
        self.held_back: list[Callable[[], object]] = []
        self.writes: list[str] = []
        self.after_write: Callable[[], None] = lambda: None
        self.wcu = 1.0

    def read_item(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        if self._fate() in ("lose_request", "lose_response", "hold_back"):
            raise TableUnavailable("lost")
        return deepcopy(self.items.get(key["image_id"]))

    def conditional_put(
        self,
        item: Mapping[str, Any],
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
    ) -> None:
        image_id = item["image_id"]

        def apply() -> None:
            self._check(image_id, condition, names, values)
            self.items[image_id] = dict(deepcopy(item))
            self._written("put")

        self._meet(apply)

    def conditional_update(
        self,
        key: Mapping[str, Any],
        update: str,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
        *,
        return_values: Literal["ALL_NEW", "NONE"] = "ALL_NEW",
    ) -> Written:
        image_id = key["image_id"]
        values = deepcopy(dict(values))

        def apply() -> Written:
            self._check(image_id, condition, names, values)
            item = self.items.setdefault(image_id, dict(key))
            match = re.fullmatch(r"SET (?P<sets>.*?)(?: REMOVE (?P<removes>.*))?", update)
            assert match is not None, update
            for assignment in match["sets"].split(", "):
                name, value = assignment.split(" = ")
                base, _, added = value.partition(" + ")
                item[names[name]] = item[names[base]] + values[added] if added else values[base]
            for name in (match["removes"] or "").split(", "):
                item.pop(names.get(name, ""), None)
            self._written("update")
            return Written(deepcopy(item), self.wcu)

        return self._meet(apply)

    def _fate(self) -> Fate:
        fate = self.fates.popleft() if self.fates else "ok"
        if fate == "refuse":
            raise TableError("refused")
        if fate == "refuse_credentials":
            raise CredentialsRefused("expired")
        return fate

    def _meet(self, apply: Callable[[], Any]) -> Any:
        fate = self._fate()
        if fate == "lose_request":
            raise TableUnavailable("lost")
        if fate == "hold_back":
            self.held_back.append(apply)
            raise TableUnavailable("no answer in time")
        answer = apply()
        if fate == "lose_response":
            raise TableUnavailable("lost")
        return answer

    def deliver(self, index: int = 0) -> None:
        """Lets a request arrive that was held back; nobody hears the answer."""
        try:
            self.held_back.pop(index)()
        except ConditionFailed:
            self.writes.append("refused")

    def _written(self, kind: str) -> None:
        self.writes.append(kind)
        self.after_write()

    def _check(
        self, image_id: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> None:
        old = self.items.get(image_id)
        if not all(_holds(part, old or {}, names, values) for part in condition.split(" AND ")):
            raise ConditionFailed("the condition does not hold", deepcopy(old))


def _holds(
    part: str, item: Mapping[str, Any], names: Mapping[str, str], values: Mapping[str, Any]
) -> bool:
    if match := re.fullmatch(r"attribute_(not_)?exists\((.+)\)", part):
        return (names[match[2]] in item) != bool(match[1])
    name, operator, value = part.split()
    attribute = item.get(names[name])
    if attribute is None:
        return False
    return bool({"=": attribute == values[value], "<=": attribute <= values[value]}[operator])


class SimulatedClock:
    """A clock that stands until it is moved, and whose time of day may be set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.step = 0.0

    def time(self) -> float:
        return self.now + 1.7e9 + self.step

    def monotonic(self) -> float:
        return self.now
