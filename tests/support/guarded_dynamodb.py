"""An endpoint that looks at nothing but the credentials of a request."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class GuardedDynamoDB:
    """Answers requests that are signed with the one key that it takes, and refuses all others.

    Its tables are empty; it takes what is written, and keeps nothing.

    Attributes:
        key: The access key id that it takes.
        refusal: The error code with which it refuses the others.
        refused: How many requests it refused, by access key id.
        endpoint_url: Where it answers.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.refusal = "UnrecognizedClientException"
        self.refused: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> GuardedDynamoDB:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, key: str) -> tuple[int, dict[str, object]]:
        if key == self.key:
            return 200, {}
        self.refused[key] += 1
        return 400, {"__type": f"com.amazon.coral.service#{self.refusal}", "message": "no"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        guard = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                signed = re.search(r"Credential=(\w+)/", self.headers["Authorization"])
                status, answer = guard._answer(signed[1] if signed else "")
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
