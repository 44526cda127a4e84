"""What a process holds of one run: why a killed actor loses nothing.

An outcome is let go only where somebody else has it for sure: in the item, once it is durable; or
where the driver of a `map_unordered` holds it as well, in the actor, once that has received it.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Mapping, Sequence

from ..actor import Ack, Batch, Spec, Tentative
from ..errors import RaytrackerError
from ..ledger import (
    MAX_REASONS,
    Classes,
    ClassSpan,
    Outcomes,
    Span,
    clip_reason,
    lowest_reasons,
)
from ..logs import about

logger = logging.getLogger(__name__)

GAP_SECONDS = 0.5  # a call costs milliseconds of computing, in three processes
SHORT_GAP_SECONDS = 0.01  # when the image is about to end, or somebody waits
URGENT_POLL_SECONDS = 0.02
FIRST_POLL_SECONDS = 0.1  # where a flush is overdue, and then less and less often,
LONGEST_OVERDUE_SECONDS = 5.0  # up to this
LONGEST_POLL_SECONDS = 30.0  # an actor may have been killed, and want to be told all again
FLUSH_SECONDS = 0.05  # what a flush takes
SPREAD = 0.1  # of a pause: not all processes ask at once
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
MOST_NEWS = 256  # reports that nobody has looked at yet
TENTATIVE_SECONDS = 60.0  # after which the actor knows whether Ray repeats an attempt

_Why = tuple[Mapping[int, str], Sequence[ClassSpan]]


class Held:
    """The outcomes of one run that nobody else may have: bounded by the tiles of the image.

    Not thread-safe: the reporter holds a lock. What is reported a tile at a time is only put aside,
    and looked at when it is sent, all at once: in a task, whose caches are cold, each step costs
    several times as much.

    Attributes:
        spec: The image and run.
        under_way: The calls whose answer has not come; the answer to any other is none of ours.
        owner: The actor's process that answered last.
        answered_at: When a call was last answered or failed, in monotonic seconds.
        failures: How many calls have failed since one was answered.
        flushers: How many callers wait for all of it to be durable.
        hurries: Whether the image is about to end, or somebody waits.
        all_durable: Whether the last answer said that all the actor had received was durable.
        fault: What ended this run, or None.
        trouble: What the actor said last of why nothing becomes durable, or None.
        refused_anew: Whether the table failed since `ask_anew`, and not only before.
        unreachable: Why no call has been answered since `unreachable_since`, or None.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        # Reports that nobody has looked at yet: outcomes, why tiles failed, if any did, and whether
        # they are held elsewhere, too.
        self._news: list[tuple[Sequence[Span], _Why | None, bool]] = []
        self._kept, self._lent = Outcomes(), Outcomes()  # until durable; until received
        self._reasons: dict[int, str] = {}
        self._classes = Classes()
        self._tentative: dict[int, tuple[Tentative, float | None]] = {}  # by tile; until when
        self._unsent = Outcomes()
        self._unsent_reasons: dict[int, str] = {}
        self._unsent_classes = Classes()
        self._unsent_tentative: dict[int, Tentative] = {}
        self._unsent_kept = False
        self._received: deque[tuple[int, Batch]] = deque()  # (mark, outcomes up to it)
        self.under_way: set[object] = set()
        self.owner: str | None = None
        self.answered_at = 0.0
        self.failures = 0
        self.flushers = 0
        self.hurries = False
        self.all_durable = False
        self.fault: RaytrackerError | None = None
        self.trouble: RaytrackerError | None = None
        self.refused_anew = False
        self._failures_before: int | None = None
        self.unreachable: BaseException | None = None
        self.unreachable_since: float | None = None
        self._patience = self._poll_seconds = FIRST_POLL_SECONDS
        self._spread = random.random()
        self._told_of_the_end = False

    @property
    def outcomes(self) -> Outcomes:
        """What is held until it is durable."""
        self._look()
        return self._kept

    @property
    def holds(self) -> bool:
        """Whether anything is held."""
        self._look()
        return bool(self._kept or self._lent or self._tentative)

    def is_durable(self, *, received: bool) -> bool:
        """Whether all that was reported is durable, but for errors that may not be final.

        Args:
            received: Whether also what was let go when the actor had received it.
        """
        self._look()
        if self._kept or self._lent or self._unsent_tentative:
            return False
        return self.all_durable or not received

    @property
    def waits(self) -> bool:
        """Whether something is to be sent."""
        return bool(self._news or self._unsent or self._unsent_tentative)

    def add(
        self,
        spans: Sequence[Span],
        reasons: Mapping[int, str],
        classes: Sequence[ClassSpan] = (),
        *,
        held_elsewhere: bool = False,
    ) -> None:
        """Takes outcomes; what is news is sent.

        Args:
            spans: The outcomes.
            reasons: Why tiles failed, by tile number.
            classes: The classes of failed tiles; none where there is no reason.
            held_elsewhere: Whether a driver holds them as well.
        """
        why = None
        if reasons:
            why = {number: clip_reason(text) for number, text in reasons.items()}, classes
        self._news.append((spans, why, held_elsewhere))
        if len(spans) > 1 or len(self._news) >= MOST_NEWS:
            self._look()

    def add_tentative(self, error: Tentative) -> None:
        """Takes an error that may not be final; a later attempt's takes the place of an earlier."""
        self._tentative[error.first] = error, None
        self._unsent_tentative[error.first] = error

    def _look(self) -> None:
        news = self._news
        if not news:
            return
        try:
            self._news = []  # what a signal handler reports meanwhile comes into this one
            for spans, why, held_elsewhere in news:
                held = self._lent if held_elsewhere else self._kept
                for first, outcomes in spans:
                    for span in held.join(first, outcomes):
                        self._unsent.join(*span)
                        self._unsent_kept |= not held_elsewhere
                if why:
                    self._look_why(*why)
        except BaseException:  # a signal may come between what is held and what is sent
            self._news = news + self._news
            self._all_is_unsent()
            raise

    def _look_why(self, reasons: Mapping[int, str], classes: Sequence[ClassSpan]) -> None:
        for number, text in reasons.items():
            if self._unsent[number]:
                self._reasons[number] = self._unsent_reasons[number] = text
        if len(self._unsent_reasons) > 2 * MAX_REASONS:  # of these the ledger keeps no more
            self._unsent_reasons = lowest_reasons(self._unsent_reasons)
        if len(self._reasons) > 2 * MAX_REASONS:
            self._reasons = lowest_reasons(self._reasons)
        for first, outcomes, name in classes:
            news = self._unsent.agreed(first, outcomes)
            self._classes.join(first, news, name)
            self._unsent_classes.join(first, news, name)

    def take(self, *, ends: bool = False) -> Batch:
        """Returns what is to be sent, which does not wait any more.

        Args:
            ends: Whether Ray may end this process as soon as what it runs has returned.
        """
        self._look()
        batch = Batch(
            list(self._unsent.spans()),
            lowest_reasons(self._unsent_reasons),
            sole=ends and self._unsent_kept,
            tentative=list(self._unsent_tentative.values()),
            classes=tuple(self._unsent_classes.spans()),
        )
        self._unsent, self._unsent_reasons = Outcomes(), {}
        self._unsent_classes = Classes()
        self._unsent_tentative, self._unsent_kept = {}, False
        return batch

    def send_all_again(self) -> None:
        """Forgets what the actor has been told."""
        self._look()
        self._all_is_unsent()

    def _all_is_unsent(self) -> None:
        self._unsent = self._kept.copy()
        for span in self._lent.spans():
            self._unsent.join(*span)
        self._unsent_kept = bool(self._kept)
        self._unsent_reasons = dict(self._reasons)
        self._unsent_classes = self._classes.copy()
        self._unsent_tentative = {first: error for first, (error, _) in self._tentative.items()}
        self._received.clear()

    def acknowledge(self, ack: Ack, batch: Batch) -> None:
        """Notes an answer: the only place where something held is let go."""
        self.failures = 0
        self.unreachable = self.unreachable_since = None
        self.hurries = ack.ends_soon
        self._look()
        for span in batch.spans:
            self._lent.release(*span)
        for error in batch.tentative:
            self._tentative[error.first] = error, self.answered_at + TENTATIVE_SECONDS
        if batch.spans:
            self._received.append((ack.received, batch))
        if self.owner not in (None, ack.owner):
            self.send_all_again()
        self.owner = ack.owner
        while self._received and self._received[0][0] <= ack.durable:
            durable = self._received.popleft()[1]
            for span in durable.spans:
                self._kept.release(*span)
            self._drop_why(durable)
        if not self._kept:
            self._received.clear()
        self._drop_why(batch)
        self._forget_tentative()
        self.all_durable = ack.durable >= ack.received
        self.trouble = ack.trouble
        if self._failures_before is None:
            self._failures_before = ack.failures
        self.refused_anew = ack.failures > self._failures_before
        if ack.ended and not self._told_of_the_end:
            self._told_of_the_end = True
            extra = about(self.spec.image_id, self.spec.run)
            logger.warning("%s", ack.ended, extra=extra)
        if ack.fault:
            self.give_up(ack.fault)
        self._plan_poll(ack.flush_in, news=bool(batch))

    def ask_anew(self) -> None:
        """Forgets what is wrong with the table: it may have been mended."""
        self.trouble, self.refused_anew, self._failures_before = None, False, None

    def _drop_why(self, batch: Batch) -> None:
        """Forgets why tiles of a batch failed, as far as nothing of them is held any more."""
        for number in batch.reasons:
            if not (self._kept[number] or self._lent[number]):
                self._reasons.pop(number, None)
        for first, outcomes, _ in batch.classes:
            gone = self._kept.untold(first, self._lent.untold(first, outcomes))
            self._classes.release(first, gone)

    def _forget_tentative(self) -> None:
        late = [
            first
            for first, (_, until) in self._tentative.items()
            if until is not None and until < self.answered_at
        ]
        for first in late:
            if first not in self._unsent_tentative:
                del self._tentative[first]

    def _plan_poll(self, flush_in: float, *, news: bool) -> None:
        """Sets when to ask again: not before the flush, and less often where that is overdue."""
        less_often = min(LONGEST_OVERDUE_SECONDS, 1.5 * self._patience)
        self._patience = FIRST_POLL_SECONDS if news else less_often
        after_flush = flush_in * (1 + SPREAD * self._spread) + FLUSH_SECONDS
        self._poll_seconds = min(LONGEST_POLL_SECONDS, max(after_flush, self._patience))

    def miss(self, err: BaseException) -> None:
        """Notes that a call has failed, or was not made: all goes again."""
        self.failures += 1
        self.unreachable_since = self.unreachable_since or self.answered_at
        self.unreachable = err
        self.send_all_again()

    def forget_calls(self) -> None:
        """Lets the answers of all calls under way be none of ours: the connection has gone."""
        self.under_way.clear()
        self.owner = None
        self.send_all_again()

    def give_up(self, fault: RaytrackerError) -> None:
        """Holds nothing any more: the run has ended by this, or what is held cannot be sent."""
        self.fault = fault
        self._news, self._kept, self._lent = [], Outcomes(), Outcomes()
        self._reasons, self._classes, self._tentative = {}, Classes(), {}
        self._all_is_unsent()

    def due(self) -> float | None:
        """Returns when, in monotonic seconds, the actor is to be called, or None."""
        if self.under_way or not (self.holds or (self.flushers and not self.all_durable)):
            return None
        wait = self._poll_seconds
        if self.failures:
            backoff = FIRST_RETRY_SECONDS * 2 ** min(self.failures - 1, 10)
            wait = min(LONGEST_RETRY_SECONDS, backoff)
        elif self.flushers:
            wait = URGENT_POLL_SECONDS
        elif self.waits:
            # More often than it is flushed it need not be sent.
            gap = min(GAP_SECONDS, self.spec.flush_interval)
            wait = SHORT_GAP_SECONDS if self.hurries else gap
        return self.answered_at + wait
