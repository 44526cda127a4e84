"""Where a report is made: whether its caller may call an actor just now, and may wait for it."""

from __future__ import annotations

import functools
import inspect
import signal
import sys
import threading
import weakref
from types import CodeType, FrameType
from typing import Any


def may_call() -> bool:
    """Whether the caller may call an actor.

    Not in what interrupts anything at any place, Ray's own calls too: a signal handler, a
    `__del__`, a finalizer; and not while the interpreter ends, when a call may never return.
    """
    if not threading.main_thread().is_alive():
        return False  # what atexit calls
    forbidden = {id(_FINALIZER)}  # to hash a piece of code takes long
    if threading.current_thread() is threading.main_thread():  # where signals are handled
        handlers = filter(callable, map(_handler, _SIGNALS))
        forbidden.update(id(code) for code in map(_code_of, handlers))
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if id(code) in forbidden or code.co_name == "__del__":
            return False
        frame = frame.f_back
    return True


_handler = inspect.unwrap(signal.getsignal)  # without what makes enums of numbers, slowly
_SIGNALS = range(1, signal.NSIG)
_FINALIZER = weakref.finalize.__call__.__code__


def _code_of(handler: Any) -> CodeType | None:
    """Returns the code of a function, a method, a partial of one, or an object to be called."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not hasattr(handler, "__code__"):
        handler = type(handler).__call__
    return getattr(handler, "__code__", None)
