"""An HTTP proxy in front of a DynamoDB that counts what it forwards."""

import threading
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding"}


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
        self._server.upstream = urlsplit(upstream).netloc
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"

    def count(self, operation: str) -> None:
        """Notes that the upstream answered a request."""
        with self._lock:
            self.requests[operation] += 1

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
    upstream: str


class _Handler(BaseHTTPRequestHandler):
    """One client connection, kept alive, with one connection of its own to the upstream."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet

    def setup(self) -> None:
        super().setup()
        self.upstream = HTTPConnection(self.server.upstream, timeout=30)

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        self.upstream.request(self.command, self.path, body, headers)
        response = self.upstream.getresponse()
        answer = response.read()
        self.server.proxy.count(self.headers.get("X-Amz-Target", "").rpartition(".")[2])
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the tests print."""
