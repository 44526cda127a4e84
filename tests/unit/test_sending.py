"""The thread that sends: no value ends it, and if it ends all the same, that is told. No Ray."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from typing import Any

import pytest

from raytracker import JobTable
from raytracker.actor import Ack, Batch, Call, Spec
from raytracker.errors import ReporterFault
from raytracker.ledger import ERROR, SUCCESS
from raytracker.reporter import Reporter, actors, leaving, reporting, sending
from raytracker.reporter.held import Held
from tests.support.waiting import wait_until

Report = tuple[Spec, Batch, bool]


class Cluster:
    """One actor, which answers at once that all is durable; or does not, while it is `mute`."""

    def __init__(self) -> None:
        self.connection = ("node", "job")
        self.run = uuid.uuid4().hex
        self.calls: list[list[Report]] = []
        self.mute = False

    def submit(self, handle: Any, method: str, reports: list[Report]) -> Call:
        for spec, _, _ in reports:
            if spec.run != self.run:
                raise OSError("a reporter that another test has left")
            if spec.image_id == "unspeakable":
                raise TypeError("cannot pickle 'lock' object")
        future: Future[Any] = Future()
        self.calls.append(reports)
        if not self.mute:
            ack = Ack(self.connection[1], 1, 1, False, 0.0, None, None, None)
            future.set_result([ack] * len(reports))
        return Call(future, None)

    def spec(self, image: str = "scene") -> Spec:
        return Spec(image, self.run, JobTable("jobs"), flush_interval=0.05)

    def told(self) -> set[tuple[str, int]]:
        """The images, and the numbers of their tiles."""
        return {
            (spec.image_id, number)
            for reports in self.calls
            for spec, batch, _ in reports
            for first, outcomes in batch.spans
            for number, outcome in enumerate(outcomes, first)
            if outcome
        }


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A reporter's surroundings, without Ray."""
    cluster = Cluster()
    for module in (actors, reporting):
        monkeypatch.setattr(module, "check_connected", lambda: None)
    for module in (actors, sending):
        monkeypatch.setattr(module, "holding_connection", nullcontext)
    monkeypatch.setattr(actors, "cluster", lambda: cluster.connection)
    monkeypatch.setattr(actors, "find_or_start", lambda spec: cluster.connection)
    monkeypatch.setattr(sending, "submit", cluster.submit)
    monkeypatch.setattr(leaving.Leaving, "register", lambda self: None)
    for module in (reporting, sending):
        monkeypatch.setattr(module, "may_end", lambda: False)
    monkeypatch.setattr(sending, "in_worker", lambda: False)
    yield cluster
    cluster.mute = False


def test_what_cannot_be_sent_is_told_and_dropped(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the next caller of its run, once; what others reported is sent all the same."""
    reporter = Reporter()
    pickle = sending.ray.cloudpickle.dumps

    def dumps(value: tuple[Spec, Batch]) -> bytes:
        if value[0].image_id == "unspeakable":
            raise TypeError("cannot pickle 'lock' object")
        return bytes(pickle(value))

    monkeypatch.setattr(sending.ray.cloudpickle, "dumps", dumps)
    bad, good = cluster.spec("unspeakable"), cluster.spec()
    reporter.report(bad, [(0, SUCCESS)], {}, wait=False)
    reporter.report(good, [(0, SUCCESS)], {}, wait=False)

    def is_refused() -> bool:
        try:
            reporter.report(bad, [(1, SUCCESS)], {}, wait=False)
        except ReporterFault as fault:
            return "unspeakable" in str(fault) and "cannot pickle 'lock' object" in str(fault)
        return False

    wait_until(is_refused)
    reporter.report(bad, [(1, SUCCESS)], {}, wait=False)  # told once
    reporter.report(good, [(1, SUCCESS)], {}, wait=False)
    wait_until(lambda: cluster.told() >= {("scene", 0), ("scene", 1)})


@pytest.mark.parametrize("method", ["take", "due"])
def test_no_error_ends_the_thread(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Whatever fails in it, the next turn comes."""
    reporter, failures = Reporter(), 0
    whole = getattr(Held, method)

    def fail(held: Held, **options: Any) -> Any:
        nonlocal failures
        if failures < 3 and threading.current_thread().name == "raytracker":
            failures += 1
            raise ValueError("of a value")
        return whole(held, **options)

    reporter.report(cluster.spec(), [(0, SUCCESS)], {}, wait=False)
    wait_until(lambda: cluster.told() == {("scene", 0)})
    monkeypatch.setattr(Held, method, fail)
    reporter.report(cluster.spec(), [(1, SUCCESS)], {}, wait=False)

    def is_sent() -> bool:
        try:
            reporter.report(cluster.spec(), [(2, ERROR)], {}, wait=False)
        except ReporterFault:
            return False
        return failures > 0 and ("scene", 2) in cluster.told()

    wait_until(is_sent)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_is_told_and_replaced(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call of a run that it left says so, once; another thread sends what there is."""
    reporter, others = Reporter(), set(threading.enumerate())
    with monkeypatch.context() as patch:

        def end(self: sending.Sender) -> None:
            raise SystemExit("killed")

        patch.setattr(sending.Sender, "_turn", end)
        reporter.report(cluster.spec(), [(0, SUCCESS)], {}, wait=False)
        wait_until(lambda: set(threading.enumerate()) <= others)
    with pytest.raises(ReporterFault, match=r"scene.*thread.*ended.*SystemExit\('killed'\)"):
        reporter.report(cluster.spec(), [(1, SUCCESS)], {}, wait=False)
    reporter.report(cluster.spec(), [(2, SUCCESS)], {}, wait=False)
    wait_until(lambda: cluster.told() >= {("scene", 0), ("scene", 2)})


def test_another_connection_is_told_all_again(cluster: Cluster) -> None:
    """What was under way goes by it; what the old one answers then is nobody's."""
    reporter, spec = Reporter(), cluster.spec()
    cluster.mute = True
    reporter.report(spec, [(0, SUCCESS)], {}, wait=False)
    wait_until(lambda: cluster.calls)
    [old] = cluster.calls
    cluster.connection = ("node", "another job")
    wait_until(lambda: len(cluster.calls) == 2, 10, "the same, by the other connection")
    assert [(spec.image_id, list(batch.spans)) for spec, batch, _ in cluster.calls[1]] == [
        ("scene", [(0, SUCCESS)])
    ]
    assert cluster.calls[0] == old
    assert not reporter.deliver(spec, 0)
