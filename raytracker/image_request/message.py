"""A message as somebody sent it: how large and how deep it may be, before anything looks at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidImageRequestException

MAX_BYTES = 1024 * 1024  # SQS delivers no more
MAX_DEPTH = 32  # as DynamoDB has it


def decoded(message: str | bytes) -> Any:
    """Returns what a message's JSON says.

    Raises:
        InvalidImageRequestException: It is none, or too long or too deep.
    """
    if len(message) > MAX_BYTES:
        raise InvalidImageRequestException(
            f"the request message has {len(message):,} bytes; it may have {MAX_BYTES:,}"
        )
    try:
        return json.loads(message)
    except RecursionError:
        raise _too_deep("the request message") from None
    except ValueError as err:
        raise InvalidImageRequestException(f"the request message is not JSON: {err}") from err


def check_plain(message: Mapping[str, Any]) -> None:
    """Does nothing where each field of a message is as deep as it may be, and of Unicode.

    Raises:
        InvalidImageRequestException: One is not; the text names it.
    """
    for name, value in message.items():
        if not isinstance(name, str):
            raise InvalidImageRequestException(f"{shown(name)} names no field: it is no string")
        left: list[tuple[Any, int]] = [(name, 0), (value, 0)]
        while left:
            inner, depth = left.pop()
            if isinstance(inner, str):
                _check_unicode(name, inner)
            elif isinstance(inner, (Mapping, list, tuple)):
                if depth == MAX_DEPTH:
                    raise _too_deep(ascii(name)[1:-1])
                parts = [*inner, *inner.values()] if isinstance(inner, Mapping) else inner
                left.extend((part, depth + 1) for part in parts)


def invalid(name: str, value: object, wanted: str) -> InvalidImageRequestException:
    """Returns the error of a field that is not what it must be."""
    found = "missing" if value is None or value == "" else shown(value)
    return InvalidImageRequestException(f"{name} is {found}; it must be {wanted}")


def shown(value: object) -> str:
    """Returns the beginning of a value, whatever it is."""
    try:
        return repr(value[:200] if isinstance(value, (str, bytes)) else value)[:200]
    except (RecursionError, ValueError):  # a number of thousands of digits
        return f"a {type(value).__name__}"


def _check_unicode(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise InvalidImageRequestException(
            f"{ascii(name)[1:-1]} is not valid Unicode: {err}"
        ) from None


def _too_deep(name: str) -> InvalidImageRequestException:
    return InvalidImageRequestException(
        f"{name} is nested too deep: it may have {MAX_DEPTH} levels"
    )
