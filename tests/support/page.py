"""The page of a table, served by a thread of this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette

from raytracker.job_table import JobTable
from raytracker.serve import make_app
from tests.support.ports import reserved_port
from tests.support.waiting import wait_until

TOKEN = "a-token-of-the-tests"


class Page(NamedTuple):
    """A page that is served: its address, with a slash at its end, and the app behind it."""

    at: str
    app: Starlette

    @property
    def url(self) -> str:
        """What `raytracker serve` prints."""
        return f"{self.at}?token={TOKEN}"


@contextmanager
def running_page(table: JobTable) -> Iterator[Page]:
    """Serves a table until the block ends."""
    with reserved_port() as port:
        app = make_app(table, token=TOKEN, port=port)
        config = uvicorn.Config(app, port=port, lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield Page(f"http://127.0.0.1:{port}/", app)
        finally:
            server.force_exit = server.should_exit = True
            thread.join(10)
