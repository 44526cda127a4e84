"""What an image tells: events, and messages to SNS."""

from __future__ import annotations

from mutation import Mutation

MUTATIONS = [
    Mutation(
        "an actor that forgets what the one before had to send",
        (("actor/news.py", "Outbox(job.tracker_outbox)", "Outbox()"),),
        ("tests/unit/test_outbox.py",),
    ),
    Mutation(
        "a message that is sent before its news is durable",
        (
            (
                "job_table/outbox.py",
                "for entry in self._durable if",
                "for entry in self._flushing if",
            ),
        ),
        ("tests/unit/test_outbox.py",),
    ),
    Mutation(
        "a double with an id of its own",
        (("status_monitor.py", 'of = f"{self._image_id}', 'of = f"{id(self)}'),),
        ("tests/unit/test_outbox.py",),
    ),
    Mutation(
        "an actor that is done before its messages are sent",
        (("actor/coordinator.py", " and self.news.outbox.is_empty", ""),),
        ("tests/unit/test_outbox.py",),
    ),
]
