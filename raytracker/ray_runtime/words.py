"""What Ray says, in a line."""

from __future__ import annotations

import re


def in_a_line(error: BaseException) -> str:
    """Returns what Ray says, without colours and the middle of its tracebacks."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    ends = lines[:1] if len(lines) == 1 else [lines[0], lines[-1]]
    return f"{type(error).__name__}: {' ... '.join(ends)}"[:400]
