"""A ledger as an item holds it: base64 text, four characters for three bytes.

No attribute of ours is Binary. OSML replaces botocore's JSON parser in each process that imports
it, and what is Binary can't be read there, by OSML's table nor by boto3's.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from ..errors import LedgerError


def to_text(encoded: bytes) -> str:
    """Returns what `Ledger.encode` gave, as text."""
    return b64encode(encoded).decode("ascii")


def from_text(text: str) -> bytes:
    """Returns what `Ledger.decode` takes.

    Raises:
        LedgerError: The text is not base64.
    """
    try:
        return b64decode(text, validate=True)
    except (TypeError, ValueError) as err:
        raise LedgerError(f"it is not a ledger, but {text!r:.40}: {err}") from err


def text_bytes(encoded_bytes: int) -> int:
    """Returns the size of the text of so many bytes, in bytes."""
    return -(-encoded_bytes // 3) * 4


def bytes_in(text_bytes: int) -> int:
    """Returns how many bytes, at most, have a text of that size."""
    return text_bytes // 4 * 3
