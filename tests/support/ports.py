"""Ports of the loopback interface."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


@contextmanager
def reserved_port() -> Iterator[int]:
    """Gives a free port that nobody else is given while the block lasts.

    A server that sets SO_REUSEADDR, as Java's do, can listen on it all the same.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def answers(url: str) -> bool:
    """Returns whether somebody listens at the URL."""
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname, address.port), timeout=1):
            return True
    except OSError:
        return False
