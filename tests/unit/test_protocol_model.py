"""The protocol as a whole, under every disorder that the network and the cluster can make.

Reporters, coordinators, takeovers, restarts and resumes against a table that loses, repeats and
reorders requests; no Ray, no network, simulated time. The oracle knows what was reported.
"""

from __future__ import annotations

import random
from contextlib import suppress

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from raytracker.actor import Ack, Coordinator, Spec
from raytracker.errors import RaytrackerError
from raytracker.job_table import JobItem, ledger_of
from raytracker.ledger import ERROR, Layout, Outcome
from raytracker.reporter.held import Held
from tests.support.simulated_table import SimulatedClock, SimulatedTable

RANK = bytes([0, 2, 3, 1])  # of each outcome, by its number: the oracle's own
FATES = st.sampled_from(["ok", "ok", "ok", "lose_request", "lose_response", "hold_back", "refuse"])


class Protocol(RuleBasedStateMachine):
    """One image; one run at a time that counts, and leftovers of the runs before."""

    @initialize(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4), ends=st.booleans())
    def start(self, sizes: list[int], ends: bool) -> None:
        self.job = JobItem(image_id="scene", tracker_ends=ends)
        self.table = SimulatedTable()
        self.clock = SimulatedClock()
        self.layout = Layout.of(sizes)
        self.rng = random.Random(0)
        self.runs = self.takeovers = 0
        self.coordinators: list[Coordinator] = []
        self.reporters: list[Held] = []
        self.table.start(self.job, run=self._new_run(), layout=self.layout)
        # The oracle: the rank of the best outcome reported.
        self.known = bytearray(self.layout.tile_count)
        self.classes: list[set[str]] = [set() for _ in self.known]  # told of each tile
        self.seen = bytes(self.layout.tile_count)  # the item at the last look
        self.late: set[tuple[int, int]] = set()  # tiles and ranks that were answered to be late
        self.told_to_end = self.ended = False
        self._open()

    def _new_run(self) -> str:
        self.runs += 1
        return str(self.runs)

    def _open(self) -> None:
        """A process that serves the current run starts, and is the one that callers find."""
        self.coordinators.append(
            Coordinator("scene", str(self.runs), self.table, clock=self.clock, rng=self.rng)
        )
        spec = Spec("scene", str(self.runs), self.table)
        if not self.reporters or self.reporters[-1].spec.run != spec.run:
            self.reporters += [Held(spec), Held(spec)]

    def _tiles(self) -> bytes:
        ledger = ledger_of(JobItem.from_ddb(self.table.items["scene"]))
        return bytes(RANK[outcome] for outcome in ledger.tile_outcomes())

    @rule(which=st.integers(0, 1), seed=st.integers(0, 99), outcome=st.sampled_from([1, 2, 3]))
    def report(self, which: int, seed: int, outcome: int) -> None:
        number = seed % self.layout.tile_count
        name = f"E{seed % 5}"
        span = number, bytes([outcome])
        self.reporters[-1 - which].add([span], {number: "because"}, [(*span, name)])
        if outcome == Outcome.ERROR:
            self.classes[number].add(name)
        self.known[number] = max(self.known[number], RANK[outcome])

    @rule(which=st.integers(0, 1), seed=st.integers(0, 99), fates=st.lists(FATES, max_size=2))
    def report_send_and_step(self, which: int, seed: int, fates: list[str]) -> None:
        """The usual course, so that runs come far between the disorders."""
        self.report(which, seed, 1 + seed % 3)
        held, host = self.reporters[-1 - which], self.coordinators[-1]
        if held.fault or host.moved:
            return
        self._send(held, host)
        self._step(host, fates)
        if not held.fault and not host.moved:
            self._send(held, host)

    @precondition(lambda self: self.runs > 1)
    @rule(seed=st.integers(0, 99), data=st.data())
    def report_to_an_older_run(self, seed: int, data: st.DataObject) -> None:
        """A leftover task reports; what its run knows is nothing to the run that counts."""
        held = data.draw(st.sampled_from(self.reporters[:-2]))
        if not held.fault:
            held.add([(seed % self.layout.tile_count, bytes([1 + seed % 3]))], {})

    @rule(data=st.data(), lost=st.sampled_from(["", "", "", "request", "response"]))
    def send(self, data: st.DataObject, lost: str) -> None:
        """Any reporter, also one of an older run, calls a process of its run."""
        held = data.draw(st.sampled_from(self.reporters))
        hosts = [c for c in self.coordinators if c.run == held.spec.run and not c.moved]
        if not hosts or held.fault:
            return
        # The newest, as a rule; rarely a leftover that does not know yet that it is one.
        host = hosts[-1] if data.draw(st.integers(0, 4)) else data.draw(st.sampled_from(hosts))
        self._send(held, host, lost)

    def _send(self, held: Held, host: Coordinator, lost: str = "") -> Ack | None:
        batch = held.take()
        ack = None if lost == "request" else host.report(batch)
        if ack is None or lost:
            held.send_all_again()
            return None
        before = [RANK[held.outcomes[number]] for number in range(self.layout.tile_count)]
        current = held.spec.run == str(self.runs)
        if ack.ended and current:
            self.late |= {
                (n, RANK[o]) for first, span in batch.spans for n, o in enumerate(span, first)
            }
        held.acknowledge(ack, batch)
        if not ack.fault and current:
            tiles = self._tiles()
            for number, outcome in enumerate(before):
                if not held.outcomes[number] and tiles[number] < outcome:
                    assert (number, outcome) in self.late, f"tile {number} let go, and not durable"
                    assert self._has_ended(), f"tile {number} said to be late, and is not"
        return ack

    @rule()
    def tell_to_end(self) -> None:
        """The driver ends what does not end by itself."""
        with suppress(RaytrackerError):
            self.coordinators[-1].end(None)
            self.told_to_end = True

    def _has_ended(self) -> bool:
        return "end_time" in self.table.items["scene"]

    @rule(data=st.data(), fates=st.lists(FATES, min_size=1, max_size=2))
    def step(self, data: st.DataObject, fates: list[str]) -> None:
        """A process does what is due, its requests meeting their fates."""
        self._step(data.draw(st.sampled_from(self.coordinators)), fates)

    def _step(self, coordinator: Coordinator, fates: list[str]) -> None:
        due = coordinator.due()
        if due is None:
            return
        self.clock.now = max(self.clock.now, min(due, self.clock.now + 60))
        self.table.fates.extend(fates)
        coordinator.step()
        self.table.fates.clear()

    @rule(data=st.data())
    def arrive_late(self, data: st.DataObject) -> None:
        if self.table.held_back:
            self.table.deliver(data.draw(st.integers(0, len(self.table.held_back) - 1)))

    # Disorders of this kind are bounded: a run or a process that never lives long shows little.

    @precondition(lambda self: self.takeovers < 4)
    @rule()
    def lose_the_process(self) -> None:
        """The newest process dies, and Ray starts another; what it had merged is gone."""
        self.takeovers += 1
        self.coordinators.pop()
        self._open()

    @precondition(lambda self: self.takeovers < 4)
    @rule()
    def leave_a_leftover(self) -> None:
        """The newest process is cut off but lives, and Ray starts another."""
        self.takeovers += 1
        self._open()

    @precondition(lambda self: self.runs < 3)
    @rule(redrive=st.booleans(), answer=st.sampled_from(["ok", "lose_response"]))
    def resume(self, redrive: bool, answer: str) -> None:
        read = JobItem.from_ddb(self.table.items["scene"])
        run = self._new_run()
        self.table.fates.append(answer)
        try:
            self.table.resume(read, run, redrive=redrive)
        except Exception:
            self.table.resume(read, run, redrive=redrive)
        # What the reporters of the old run hold is not of this run: its tasks run again.
        self._begin_again(self._tiles())

    @precondition(lambda self: self.runs < 3)
    @rule()
    def restart(self) -> None:
        read = JobItem.from_ddb(self.table.items["scene"])
        run = self._new_run()
        self.table.start(self.job, run=run, layout=self.layout, replacing=read)
        self._begin_again(bytes(self.layout.tile_count))

    def _begin_again(self, tiles: bytes) -> None:
        self.known, self.seen = bytearray(tiles), tiles
        for number, rank in enumerate(tiles):
            if rank != RANK[Outcome.ERROR]:
                self.classes[number].clear()
        self.late.clear()
        self.ended = self._has_ended()
        self.told_to_end = False
        self._open()

    @invariant()
    def nothing_is_invented_or_lost(self) -> None:
        if not hasattr(self, "known"):
            return
        tiles = self._tiles()
        assert all(a <= b for a, b in zip(tiles, self.known, strict=True)), "never reported"
        assert all(a >= b for a, b in zip(tiles, self.seen, strict=True)), (
            "was durable, and is gone"
        )
        assert not self.ended or self._has_ended(), "had ended, and has not"
        assert not self.ended or tiles == self.seen, "changed after its end"
        self.seen, self.ended = tiles, self._has_ended()
        item = self.table.items["scene"]
        ledger = ledger_of(JobItem.from_ddb(item))
        assert item["region_success"] == ledger.region_success
        assert item["region_error"] == ledger.region_error
        assert self.ended <= ledger.settled
        failed = [n for n, outcome in enumerate(ledger.tile_outcomes()) if outcome == ERROR[0]]
        for number, name in zip(failed, ledger.classes_of_failed(), strict=True):
            assert name in self.classes[number], f"tile {number} failed as {name}"

    def teardown(self) -> None:
        """The network heals; every process does what is left to do; the item is right."""
        if not hasattr(self, "known"):
            return
        while self.table.held_back:
            self.table.deliver()
        for _ in range(60):
            for coordinator in self.coordinators:
                while (due := coordinator.due()) is not None and due <= self.clock.now:
                    coordinator.step()
            self.nothing_is_invented_or_lost()
            newest = self.coordinators[-1]
            if self.told_to_end:
                self.tell_to_end()  # again until it shows
            for held in self.reporters[-2:]:
                if newest.moved:
                    self._open()
                    newest = self.coordinators[-1]
                self._send(held, newest)
            self.clock.now += 2
        assert not any(held.outcomes for held in self.reporters[-2:]), "held for ever"
        item = self.table.items["scene"]
        for number, (found, known) in enumerate(zip(self._tiles(), self.known, strict=True)):
            assert found == known or (self.ended and (number, known) in self.late)
        if Outcome.PENDING not in self.known:
            assert self.ended or not (self.job.tracker_ends or self.told_to_end)
            assert item["region_success"] + item["region_error"] == item["region_count"]


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
