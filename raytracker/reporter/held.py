"""What a process holds of one run, not durable yet: why a killed actor loses nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from ..actor import Ack, Batch, Spec
from ..errors import RaytrackerError, TableError
from ..ledger import Outcomes, Span, clip_reason

GAP_SECONDS = 0.5  # a call costs milliseconds of computing, in three processes
SHORT_GAP_SECONDS = 0.01  # when the image is about to end, or somebody waits
URGENT_POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 5.0  # less than an actor lingers: it must not be started again to be asked
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
MOST_NEWS = 256  # reports that nobody has looked at yet


class Held:
    """The outcomes of one run that are not durable yet: bounded by the tiles of the image.

    Not thread-safe: the reporter holds a lock. What is reported a tile at a time is only put aside,
    and looked at when it is sent, all at once: in a task, whose caches are cold, each step costs
    several times as much.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._news: list[tuple[Sequence[Span], Mapping[int, str]]] = []  # not looked at yet
        self._outcomes, self._unsent = Outcomes(), Outcomes()
        self._reasons: dict[int, str] = {}
        self._unsent_reasons: dict[int, str] = {}
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

    @property
    def outcomes(self) -> Outcomes:
        """All that is held."""
        self._look()
        return self._outcomes

    @property
    def waits(self) -> bool:
        """Whether something is to be sent."""
        return bool(self._news or self._unsent)

    def add(self, spans: Sequence[Span], reasons: Mapping[int, str]) -> None:
        """Takes outcomes; what is news is sent."""
        self._news.append((spans, reasons))
        if len(spans) > 1 or len(self._news) >= MOST_NEWS:
            self._look()

    def _look(self) -> None:
        news = self._news
        if not news:
            return
        try:
            self._news = []  # what a signal handler reports meanwhile comes into this one
            for spans, reasons in news:
                for first, outcomes in spans:
                    for span in self._outcomes.join(first, outcomes):
                        self._unsent.join(*span)
                for number, text in reasons.items():
                    if self._unsent[number]:
                        self._reasons[number] = self._unsent_reasons[number] = clip_reason(text)
        except BaseException:  # a signal may come between what is held and what is sent
            self._news = news + self._news
            self._all_is_unsent()
            raise

    def take(self) -> Batch:
        """Returns what is to be sent, which does not wait any more."""
        self._look()
        batch = Batch(list(self._unsent.spans()), self._unsent_reasons)
        self._unsent, self._unsent_reasons = Outcomes(), {}
        return batch

    def send_all_again(self) -> None:
        """Forgets what the actor has been told."""
        self._look()
        self._all_is_unsent()

    def _all_is_unsent(self) -> None:
        self._unsent, self._unsent_reasons = self._outcomes.copy(), dict(self._reasons)
        self.sent.clear()

    def acknowledge(self, ack: Ack, batch: Batch) -> None:
        """Notes an answer: the only place where something held is let go."""
        self._look()
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
                self._outcomes.release(*span)
            for number in durable.reasons:
                if not self._outcomes[number]:
                    self._reasons.pop(number, None)
        self.trouble = ack.trouble if isinstance(ack.trouble, TableError) else None
        if ack.fault:
            self.give_up(ack.fault)

    def give_up(self, fault: RaytrackerError) -> None:
        """Holds nothing any more: the run has ended by this."""
        self.fault = fault
        self._news, self._outcomes, self._reasons = [], Outcomes(), {}
        self._all_is_unsent()

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
        elif self.waits:
            # More often than it is flushed it need not be sent.
            gap = min(GAP_SECONDS, self.spec.flush_interval)
            wait = SHORT_GAP_SECONDS if self.hurries else gap
        return self.send_at + wait
