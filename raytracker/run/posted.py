"""Waiting for an ended image's last messages: its actor may go with whoever waited for the end."""

from __future__ import annotations

import logging
import time

from ..errors import ActorUnavailable
from ..logs import about
from ..ray_runtime import is_connected
from .run import POLL_SECONDS, Run

logger = logging.getLogger(__name__)

POST_SECONDS = 5.0  # SNS takes some 20 ms a message


def posted(run: Run, timeout: float = POST_SECONDS) -> None:
    """Returns when the messages of an ended image have been sent to its topics, or don't get there.

    Args:
        run: The run; if it has topics.
        timeout: Seconds to wait, at most.
    """
    deadline = time.monotonic() + min(timeout, POST_SECONDS)
    while is_connected():
        try:
            if run.ask("open", start=True, timeout=max(POLL_SECONDS, deadline - time.monotonic())):
                return
        except ActorUnavailable:
            pass  # it may come back
        if time.monotonic() >= deadline:
            text = "image %s: its last messages have not been sent to SNS yet; its item keeps them"
            logger.warning(text, run.image_id, extra=about(run.image_id, run.spec.run))
            return
        time.sleep(POLL_SECONDS)
