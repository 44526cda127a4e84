"""The actor as a host of many images: what it does at a time, and what it forgets."""

from __future__ import annotations

import pickle
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from raytracker import JobItem
from raytracker.actor import Ack, Batch, Coordinator, ImageActor, Spec, Tentative, attempts
from raytracker.actor import host as hosting
from raytracker.errors import TableError, TrackerSuperseded
from raytracker.ledger import Layout
from tests.support.simulated_table import SimulatedTable
from tests.support.waiting import wait_until


class SlowTable(SimulatedTable):
    """A table that takes its time, and counts who speaks to it at once."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.at_once = self.most_at_once = 0
        self.flushes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def conditional_update(self, key: Mapping[str, Any], update: str, *args: Any, **kw: Any) -> Any:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.seconds)
        with self._lock:
            self.at_once -= 1
            self.flushes[key["image_id"]] += "#tracker_ledger" in update
            return super().conditional_update(key, update, *args, **kw)


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host itself, without the process around it."""
    monkeypatch.setattr(hosting, "in_local_mode", lambda: True)


def started(table: SimulatedTable, images: int, regions: int = 1) -> list[Spec]:
    specs = [Spec(f"scene-{n}", "run", table, flush_interval=0.0) for n in range(images)]
    for spec in specs:
        table.start(JobItem(image_id=spec.image_id), run="run", layout=Layout.of(regions))
    return specs


def report(host: ImageActor, spec: Spec, *regions: int) -> Ack:
    [ack] = host.report([(spec, Batch.of(dict.fromkeys(regions, 2), {}), False)])
    assert isinstance(ack, Ack)
    return ack


def test_many_images_share_few_connections() -> None:
    """However many are due at once."""
    table = SlowTable(0.002)
    specs, host = started(table, 60), ImageActor()
    for spec in specs:
        report(host, spec, 0)
    wait_until(lambda: all("end_time" in item for item in table.items.values()))
    assert 1 < table.most_at_once <= hosting.MAX_THREADS


def test_images_wait_evenly_when_the_table_is_slow() -> None:
    """Each has about as many flushes as any other, though each has something new all the time."""
    table = SlowTable(0.001)
    specs, host = started(table, 50, regions=10_000), ImageActor()
    region = 0
    while sum(table.flushes.values()) < 500:
        for spec in specs:
            report(host, spec, region)
        region += 1
    flushes = [table.flushes[spec.image_id] for spec in specs]
    assert max(flushes) - min(flushes) <= 4, flushes


def test_images_that_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the linger; who still asks is told to read the table, and who reports is served."""
    monkeypatch.setattr(hosting, "LINGER_SECONDS", 0.2)
    monkeypatch.setattr(hosting, "SWEEP_SECONDS", 0.05)
    table = SlowTable()
    (ended, goes_on), host = started(table, 2, regions=2), ImageActor()
    report(host, ended, 0, 1)
    report(host, goes_on, 0)
    wait_until(lambda: host.status(ended) is None)
    assert host.status(goes_on) is not None
    wait_until(lambda: report(host, ended, 0).durable >= 0)


def test_a_superseded_image_does_not_disturb_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer of a call is its image's own."""
    table = SlowTable()
    (old, other), host = started(table, 2, regions=2), ImageActor()
    report(host, old, 0)
    table.items["scene-0"]["tracker_run"] = "another"
    report(host, old, 1)

    def answers() -> list[Any]:
        return host.report([(spec, Batch.of({0: 2}, {}), False) for spec in (old, other)])

    wait_until(lambda: isinstance(answers()[0].fault, TrackerSuperseded))
    assert answers()[1].fault is None


def test_a_host_stays_until_all_its_images_have_moved() -> None:
    """Of a pool's, one may be served by another cluster, and the others are here."""
    table = SlowTable()
    specs, host = started(table, 2, regions=3), ImageActor()
    for spec in specs:
        report(host, spec, 0)
    for spec, is_done in zip(specs, (False, True), strict=True):
        coordinator = host._hosted[spec.key]
        wait_until(lambda one=coordinator: one.idle)
        table.items[spec.image_id]["tracker_owner"] = "another"
        report(host, spec, 1)
        wait_until(lambda one=coordinator: one.moved)
        assert host._done() is is_done


def test_a_host_that_nobody_called_waits_as_long_as_an_idle_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its driver may be preparing its tasks; if it has gone, the host must end all the same."""
    host = ImageActor()
    monkeypatch.setattr(hosting, "LINGER_SECONDS", -1.0)
    assert not host._done()
    monkeypatch.setattr(hosting, "IDLE_SECONDS", -1.0)
    assert host._done()


def test_a_host_in_the_process_serves_on_after_ray_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In local mode: nothing asks Ray whether to leave, and the threads live."""
    monkeypatch.setattr(hosting, "LINGER_SECONDS", 0.05)
    monkeypatch.setattr(hosting, "SWEEP_SECONDS", 0.02)
    table = SlowTable()
    (first, second), host = started(table, 2), ImageActor()
    monkeypatch.setattr(hosting, "in_local_mode", lambda: 1 / 0)
    report(host, first, 0)
    wait_until(lambda: host.status(first) is None and host._done())
    swept = host._swept
    wait_until(lambda: host._swept > swept, what="a sweep with nothing left to host")
    report(host, second, 0)
    wait_until(lambda: "end_time" in table.items["scene-1"])


# --- what is wrong with one image is answered for that image ---


class ForeignTable:
    """A job table of a kind that the actor's node cannot make."""

    def __reduce__(self) -> Any:
        return _fail, ()


def _fail() -> None:
    raise ModuleNotFoundError("No module named 'of_the_driver_only'")


def test_a_table_that_cannot_be_made_spoils_no_call() -> None:
    """Its image is told so, whatever it asks for; the others of the call are served."""
    table = SlowTable()
    (other,), host = started(table, 1), ImageActor()
    spec = Spec("foreign", "run", ForeignTable())
    spec = pickle.loads(pickle.dumps(spec))
    batch = Batch.of({0: 2}, {})
    told, ack = host.report([(spec, batch, False), (other, batch, False)])
    assert isinstance(told, TableError)
    assert str(told).startswith("image 'foreign': its job table cannot be made on node ")
    assert str(told).endswith("No module named 'of_the_driver_only'")
    assert isinstance(ack, Ack)
    for answer in (host.status(spec), host.view(spec)):
        assert str(answer.trouble) == str(told)
    assert str(host.end(spec, None)[0]) == str(told)


@pytest.mark.parametrize("is_claimed", [True, False], ids=["after the claim", "before it"])
def test_a_report_that_makes_no_sense_spoils_no_other(is_claimed: bool) -> None:
    """Nor the image's own that came before and after it."""
    table = SlowTable()
    specs = started(table, 2, regions=2)
    if not is_claimed:
        table.fates.extend(["lose_request"] * 4)  # for both images, whose claims are made again
    host = ImageActor()
    report(host, specs[0], 0)
    if is_claimed:
        wait_until(lambda: host._hosted[specs[0].key].durable)
    answers = host.report(
        [(specs[0], Batch([(0, "ab")], {}), False), (specs[1], Batch.of({0: 2}, {}), False)]
    )
    assert isinstance(answers[1], Ack)
    if is_claimed:
        assert str(answers[0]).startswith("image 'scene-0': TypeError: ")
    for spec in specs:
        report(host, spec, 1)
    wait_until(lambda: all("end_time" in item for item in table.items.values()))


def test_a_step_that_raises_ends_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made again, and other images are served all the same, by one thread if need be."""
    monkeypatch.setattr(hosting, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(hosting, "MAX_THREADS", 1)
    table = SlowTable()
    specs, host = started(table, 2), ImageActor()
    steps = Counter[str]()
    step = Coordinator.step

    def fails_at_first(self: Coordinator) -> None:
        steps[self.image_id] += 1
        if self.image_id == "scene-0" and steps["scene-0"] <= 3:
            raise ZeroDivisionError
        step(self)

    monkeypatch.setattr(Coordinator, "step", fails_at_first)
    for spec in specs:
        report(host, spec, 0)
    wait_until(lambda: all("end_time" in item for item in table.items.values()))
    assert steps["scene-0"] > 3


# --- errors that may not be final ---


@pytest.fixture
def ray_knows(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[int, bool]]:
    """What Ray tells of tasks, which is asked a hundred times a second."""
    known: dict[str, dict[int, bool]] = {}
    monkeypatch.setattr(hosting, "attempts_of", lambda tasks: {**known})
    monkeypatch.setattr(hosting, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(attempts, "LOOK_SECONDS", 0.03)
    monkeypatch.setattr(attempts, "UNKNOWN_SECONDS", 0.1)
    return known


def fail_softly(host: ImageActor, spec: Spec, region: int, task: str, attempt: int) -> None:
    error = Tentative(region, 1, f"{task} {attempt}", task, attempt)
    [ack] = host.report([(spec, Batch([], {}, tentative=[error]), False)])
    assert isinstance(ack, Ack)


def test_an_error_counts_once_its_attempt_was_the_last(
    ray_knows: dict[str, dict[int, bool]],
) -> None:
    """Not while the attempt runs, nor when another came after it; that one tells for itself."""
    table = SlowTable()
    (spec,), host = started(table, 1, regions=3), ImageActor()
    host._stays = False
    ray_knows |= {"runs": {0: False}, "again": {0: True, 1: False}, "failed": {0: True, 1: True}}
    fail_softly(host, spec, 0, "runs", 0)
    fail_softly(host, spec, 1, "again", 0)
    fail_softly(host, spec, 2, "failed", 1)
    coordinator = host._hosted[spec.key]
    wait_until(lambda: [error.task for error in coordinator.tentative()] == ["runs"])
    assert table.items["scene-0"]["region_error"] == 0 or coordinator.durable
    wait_until(lambda: table.items["scene-0"]["region_error"] == 1)
    assert not coordinator.idle
    report(host, spec, 1)
    ray_knows["runs"] = {0: True}
    wait_until(lambda: "end_time" in table.items["scene-0"])
    item = table.items["scene-0"]
    assert (item["region_success"], item["region_error"]) == (1, 2)
    assert item["tracker_errors"] == {"0": "runs 0", "2": "failed 1"}


def test_an_error_of_a_task_that_ray_does_not_know_counts_in_the_end(
    ray_knows: dict[str, dict[int, bool]], caplog: pytest.LogCaptureFixture
) -> None:
    """And is logged: what Ray remembers may be switched off."""
    table = SlowTable()
    (spec,), host = started(table, 1), ImageActor()
    host._stays = False
    fail_softly(host, spec, 0, "forgotten", 0)
    wait_until(lambda: "end_time" in table.items["scene-0"])
    assert table.items["scene-0"]["region_error"] == 1
    assert "Ray knows nothing of tasks [('forgotten', 0)]" in caplog.text


def test_an_error_waits_while_ray_does_not_answer(
    ray_knows: dict[str, dict[int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that asks goes on asking; and begins again for what comes after."""
    answers: list[Any] = [ConnectionError("no head node")] * 20

    def attempts_of(tasks: set[str]) -> dict[str, dict[int, bool]]:
        if answers:
            raise answers.pop()
        return {task: {0: True} for task in tasks}

    monkeypatch.setattr(hosting, "attempts_of", attempts_of)
    table = SlowTable()
    (spec,), host = started(table, 1, regions=2), ImageActor()
    host._stays = False
    fail_softly(host, spec, 0, "first", 0)
    wait_until(lambda: table.items["scene-0"]["region_error"] == 1)
    assert not answers
    wait_until(lambda: not host._inquires)
    fail_softly(host, spec, 1, "second", 0)
    wait_until(lambda: "end_time" in table.items["scene-0"])


def test_in_local_mode_each_attempt_is_the_last(ray_knows: dict[str, dict[int, bool]]) -> None:
    """Ray makes no other there, and tells nothing."""
    table = SlowTable()
    (spec,), host = started(table, 1), ImageActor()
    fail_softly(host, spec, 0, "task", 0)
    wait_until(lambda: "end_time" in table.items["scene-0"])
