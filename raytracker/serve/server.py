"""The server behind `raytracker serve`."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from ..job_table import JobTable
from .app import make_app


def serve(table: JobTable, *, host: str, port: int, began: Callable[[str], None]) -> None:
    """Shows a table on a page, until SIGINT or SIGTERM.

    Args:
        table: The table.
        host: The name or address to listen at.
        port: The port; 0: any that is free.
        began: Is called with the URL, which has the token, once it can be opened.

    Raises:
        OSError: It cannot listen there.
        TableError: There is no such table, or it may not be read.
        TableUnavailable: It does not answer.
    """
    table.read("-")  # so that a wrong name is told here, and not on the page
    with _listening(host, port) as listening:
        port, token = listening.getsockname()[1], secrets.token_urlsafe(24)
        app = make_app(table, token=token, host=host, port=port)
        began(f"http://{f'[{host}]' if ':' in host else host}:{port}/?token={token}")
        asyncio.run(_run(app, listening))


async def _run(app: Starlette, listening: socket.socket) -> None:
    config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)
    server, loop = _Server(config), asyncio.get_running_loop()
    ending = set[asyncio.Task[None]]()

    def end() -> None:
        server.force_exit = server.should_exit  # asked a second time
        server.should_exit = True
        ending.add(loop.create_task(app.state.watch.end()))

    for signal_ in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_, end)
    await server.serve(sockets=[listening])


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Does nothing: uvicorn's would wait for the streams, and raise the signal again."""
        yield


def _listening(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family)
