"""An HTTP proxy in front of a DynamoDB that counts what it forwards."""

import threading
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding"}


class Request(NamedTuple):
    """A request to DynamoDB; `operation` is UpdateItem, GetItem and so on."""

    operation: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """DynamoDB's answer to a request."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class CountingProxy:
    """Forwards requests from a free loopback port to an endpoint, for as long as the block lasts.

    Args:
        upstream: The endpoint's URL.

    Attributes:
        endpoint_url: Where it listens.
        requests: How many requests of each DynamoDB operation the upstream answered.
    """

    def __init__(self, upstream: str) -> None:
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._upstream = urlsplit(upstream).netloc
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"

    def connect(self) -> HTTPConnection:
        """Returns a connection to the upstream."""
        return HTTPConnection(self._upstream, timeout=30)

    def forward(self, request: Request, upstream: HTTPConnection) -> Answer:
        """Has the upstream answer a request, and counts it."""
        upstream.request("POST", request.path, request.body, request.headers)
        response = upstream.getresponse()
        body = response.read()
        with self._lock:
            self.requests[request.operation] += 1
        return Answer(response.status, response.reason, _end_to_end(response.getheaders()), body)

    def answer(self, request: Request, upstream: HTTPConnection) -> Answer | None:
        """Returns what the client gets; None: its connection is closed. For subclasses."""
        return self.forward(request, upstream)

    def __enter__(self) -> "CountingProxy":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: CountingProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a client that has gone, or an upstream that has, is a test's doing."""


class _Handler(BaseHTTPRequestHandler):
    """One client connection, kept alive, with one connection of its own to the upstream."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet

    def setup(self) -> None:
        super().setup()
        self.upstream = self.server.proxy.connect()

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        request = Request(operation, self.path, _end_to_end(self.headers.items()), body)
        answer = self.server.proxy.answer(request, self.upstream)
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the tests print."""


def _end_to_end(headers: "list[tuple[str, str]]") -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in HOP_BY_HOP}
