"""What a process holds of one run, not durable yet: why a killed actor loses nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from .actor import Spec
from .coordinator import Ack, Batch
from .errors import RaytrackerError
from .ledger import Outcomes, Span, clip_reason

GAP_SECONDS = 0.5  # a call costs milliseconds of computing, in three processes
SHORT_GAP_SECONDS = 0.01  # when the image is about to end, or somebody waits
URGENT_POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 5.0  # less than an actor lingers: it must not be started again to be asked
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0


class Held:
    """The outcomes of one run that are not durable yet: bounded by the tiles of the image.

    Not thread-safe: the reporter holds a lock.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.outcomes = Outcomes()
        self.reasons: dict[int, str] = {}
        self.unsent = Outcomes()
        self.unsent_reasons: dict[int, str] = {}
        self.sent: deque[tuple[int, Batch]] = deque()  # (mark, outcomes up to it)
        self.owner: str | None = None
        self.in_flight = False
        self.urgent = False
        self.failures = 0
        self.send_at = 0.0
        self.hurries = False
        self.poll_seconds = self._shortest_poll = min(spec.flush_interval, LONGEST_POLL_SECONDS)
        self.fault: RaytrackerError | None = None
        self.trouble: RaytrackerError | None = None
        self.unreachable: BaseException | None = None
        self.unreachable_since: float | None = None

    def add(self, spans: Iterable[Span], reasons: Mapping[int, str]) -> None:
        """Takes outcomes; what is news is sent."""
        try:
            for first, outcomes in spans:
                for news in self.outcomes.join(first, outcomes):
                    self.unsent.join(*news)
            for number, text in reasons.items():
                if self.unsent[number]:
                    self.reasons[number] = self.unsent_reasons[number] = clip_reason(text)
        except BaseException:
            self.send_all_again()  # a signal may come between what is held and what is sent
            raise

    def take(self) -> Batch:
        """Returns what is to be sent, which is no longer unsent."""
        batch = Batch(list(self.unsent.spans()), self.unsent_reasons)
        self.unsent, self.unsent_reasons = Outcomes(), {}
        return batch

    def send_all_again(self) -> None:
        """Forgets what the actor has been told."""
        self.unsent, self.unsent_reasons = self.outcomes.copy(), dict(self.reasons)
        self.sent.clear()

    def acknowledge(self, ack: Ack, batch: Batch) -> None:
        """Notes an answer: the only place where something held is let go."""
        if batch:
            self.sent.append((ack.received, batch))
        if self.owner not in (None, ack.owner):
            self.send_all_again()
        self.owner = ack.owner
        longer = min(LONGEST_POLL_SECONDS, self.poll_seconds * 1.5)
        self.poll_seconds = self._shortest_poll if batch else longer
        while self.sent and self.sent[0][0] <= ack.durable:
            durable = self.sent.popleft()[1]
            for span in durable.spans:
                self.outcomes.release(*span)
            for number in durable.reasons:
                if not self.outcomes[number]:
                    self.reasons.pop(number, None)
        self.trouble = ack.trouble
        if ack.fault:
            self.give_up(ack.fault)

    def give_up(self, fault: RaytrackerError) -> None:
        """Holds nothing any more: the run has ended by this."""
        self.fault = fault
        self.outcomes = Outcomes()
        self.reasons.clear()
        self.send_all_again()

    def due(self) -> float | None:
        """Returns when, in monotonic seconds, the actor is to be called, or None."""
        if self.in_flight or not self.outcomes:
            return None
        wait = self.poll_seconds
        if self.failures:
            backoff = FIRST_RETRY_SECONDS * 2 ** min(self.failures - 1, 10)
            wait = min(LONGEST_RETRY_SECONDS, backoff)
        elif self.urgent:
            wait = URGENT_POLL_SECONDS
        elif self.unsent:
            # More often than it is flushed it need not be sent.
            gap = min(GAP_SECONDS, self.spec.flush_interval)
            wait = SHORT_GAP_SECONDS if self.hurries else gap
        return self.send_at + wait
