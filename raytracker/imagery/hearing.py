"""What GDAL says and does not raise: of half a JPEG, and reads on."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rasterio import _env, _err  # noqa: F401 - they make the loggers that are listened to

_LOGGERS = ("rasterio._env", "rasterio._err")
# Failures of calls that succeed all the same come as these, of the level of INFO.
_FAILURE = re.compile(r"GDAL signalled an error: err_no=\d+, msg=(['\"])(.*)\1", re.DOTALL)
_CODE = re.compile(r"CPLE_\w+(?: in [^:]*)?:\s*")


class Said(list[str]):
    """What GDAL said in a block, in its order.

    Attributes:
        failures: What of it were failures; the rest is warnings.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []

    def add(self, record: logging.LogRecord) -> None:
        """Takes what rasterio logs, if it says that something is wrong."""
        text = record.getMessage()
        failure = _FAILURE.fullmatch(text)
        if failure is not None:
            text = failure[2]
        elif record.levelno < logging.WARNING:
            return
        text = " ".join(_CODE.sub("", text, count=1).split())
        self.append(text)
        if failure is not None or record.levelno >= logging.ERROR:
            self.failures.append(text)


class _Ears(threading.local):
    said: Said | None = None  # of the innermost block; GDAL speaks in the thread that called it


_ears = _Ears()


class _Listened(logging.Logger):
    """A logger that a block hears of, whatever the process logs, and where."""

    def isEnabledFor(self, level: int) -> bool:
        is_heard = _ears.said is not None and level >= logging.INFO
        return is_heard or super().isEnabledFor(level)

    def handle(self, record: logging.LogRecord) -> None:
        if _ears.said is not None:
            _ears.said.add(record)
        if super().isEnabledFor(record.levelno):
            super().handle(record)


for _name in _LOGGERS:
    # Not a handler or a filter: they hear nothing of what the process has switched off.
    logging.getLogger(_name).__class__ = _Listened


@contextmanager
def listening() -> Iterator[Said]:
    """Gives what GDAL says in this thread while the block lasts."""
    before, said = _ears.said, Said()
    _ears.said = said
    try:
        yield said
    finally:
        _ears.said = before
