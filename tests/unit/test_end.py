"""Whoever ends an image asks again where the item was not claimed yet."""

from __future__ import annotations

from typing import Any

import pytest

from raytracker.actor.messages import Status
from raytracker.errors import RaytrackerError, TableUnavailable
from raytracker.ledger import SUCCESS, Layout, Ledger
from raytracker.progress import Progress
from raytracker.run import waiting


class Stub:
    """A run whose actor answers one thing after the other."""

    image_id = "scene"

    def __init__(self, *refusals: RaytrackerError | None) -> None:
        self._refusals = list(refusals)
        self.asked = 0

    def deliver(self, timeout: float) -> None:
        """It has nothing to deliver."""

    def ask(self, method: str, *_: Any, **__: Any) -> Any:
        """Refuses what it is told to; the image has ended once it refuses nothing more."""
        if method == "end":
            self.asked += 1
            return [self._refusals.pop(0)]
        ledger = Ledger(Layout.of(2))
        ledger.merge([(0, SUCCESS * 2)], {})
        has_ended = not self._refusals
        status = "SUCCESS" if has_ended else "IN_PROGRESS"
        return Status(Progress.of(ledger, status=status, durable=True), None, None)


def test_a_claim_between_two_questions_is_no_refusal() -> None:
    """An actor that was just restarted says "not claimed yet", and has claimed a moment later."""
    run = Stub(TableUnavailable("not claimed yet"), None)
    waiting._end(run, None, 5)  # type: ignore[arg-type]
    assert run.asked == 2


def test_a_refusal_is_told() -> None:
    """Tiles are pending."""
    with pytest.raises(RaytrackerError, match="1 of 2 tiles are pending"):
        waiting._end(Stub(RaytrackerError("1 of 2 tiles are pending"), None), None, 5)  # type: ignore[arg-type]
