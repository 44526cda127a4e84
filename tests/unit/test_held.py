"""What a process holds, and when it asks the actor about it."""

from __future__ import annotations

import pytest

from raytracker import JobTable
from raytracker.actor import LINGER_SECONDS, Spec
from raytracker.coordinator import Ack, Batch
from raytracker.held import Held
from raytracker.ledger import SUCCESS


@pytest.mark.parametrize("flush_interval", [0.1, 1.0, 60.0, 3600.0])
def test_the_actor_is_asked_while_it_lingers(flush_interval: float) -> None:
    """However rarely it flushes: who asks an actor that is gone would start it again."""
    held = Held(Spec("scene", "run", JobTable("jobs"), flush_interval=flush_interval))
    held.add([(0, SUCCESS)], {})
    batch, nothing_new = held.take(), Batch.of({}, {})
    for _ in range(20):
        held.acknowledge(Ack("owner", 1, 0, False, None, None), batch)
        held.send_at = 100.0
        due = held.due()
        assert due is not None
        assert 100 < due < 100 + LINGER_SECONDS
        batch = nothing_new
    held.acknowledge(Ack("owner", 1, 1, False, None, None), nothing_new)
    assert held.due() is None
