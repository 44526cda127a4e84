"""Wait for a condition, never for a time."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], timeout: float = 15.0, what: str = "") -> None:
    """Returns when the condition holds.

    Args:
        condition: Called every 20 ms.
        timeout: In seconds.
        what: What is waited for, for the message.

    Raises:
        AssertionError: It did not hold in time.
    """
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what or condition}")
        time.sleep(0.02)
