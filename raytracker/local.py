"""An embedded DynamoDB for trying things out: moto's server as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import IO

from .errors import RaytrackerError

# The pipe is the leash: it closes however the parent ends, also by kill -9. Of what moto's server
# answers only DynamoDB is let through, and only to who names this address: a page in a browser
# of this machine has an Origin, and by a name that it has pointed here another Host. Moto's control
# paths (/moto-api/reset, for one) and its CORS headers are for browsers.
_SERVER = """
import logging
import os
import sys
import threading

os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
try:
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import make_server
except ImportError as error:
    sys.exit(f'{error}; install it with: pip install "raytracker[embedded]"')
logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = create_backend_app("dynamodb")
moto.debug = False

def answer(environ, start_response):
    host = environ.get("HTTP_HOST", "").partition(":")[0]
    is_ours = (
        environ["REQUEST_METHOD"] == "POST"
        and environ["PATH_INFO"] == "/"
        and host in ("127.0.0.1", "localhost")
        and environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_")
        and "HTTP_ORIGIN" not in environ
        and int(environ.get("CONTENT_LENGTH") or 0) <= 17_000_000
    )
    if is_ours:
        return moto(environ, start_response)
    start_response("403 Forbidden", [("Content-Type", "text/plain")])
    return [b"DynamoDB's requests only, and none of browsers"]

server = make_server("127.0.0.1", 0, answer, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
"""


class EmbeddedDynamoDB:
    """A DynamoDB in memory, on a free loopback port, for as long as the `with` block lasts.

    It is gone with all its tables at the block's end, and also when this process dies. Other
    processes of this machine reach it (Ray's workers, for one); other machines do not, nor pages
    in a browser. It needs the extra `raytracker[embedded]`.

    Example:
        with EmbeddedDynamoDB() as dynamodb:
            os.environ.update(dynamodb.environment)  # before Ray starts, whose workers inherit it
            JobTable("demo").create()

    Args:
        region_name: The AWS region that it plays.
        start_timeout: How long it may take to answer, in seconds.

    Attributes:
        endpoint_url: Where it answers, `http://127.0.0.1:PORT`; empty outside of the block.
        region_name: The AWS region that it plays.
        credentials: Environment variables with invented credentials, which boto3 wants even here.
            Needed only where boto3 finds no other; any are accepted.
    """

    def __init__(self, region_name: str = "us-east-1", start_timeout: float = 60.0) -> None:
        self.endpoint_url = ""
        self.region_name = region_name
        self.credentials = {
            "AWS_ACCESS_KEY_ID": "embedded",
            "AWS_SECRET_ACCESS_KEY": "embedded",
        }
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which boto3 finds this DynamoDB and no other."""
        # In lower case they count first; a proxy of the network cannot reach this loopback port.
        bypassed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        no_proxy = ",".join(filter(None, [bypassed, "127.0.0.1"]))
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint_url,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_DEFAULT_REGION": self.region_name,
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            **self.credentials,
        }

    def __repr__(self) -> str:
        return f"<EmbeddedDynamoDB: {self.endpoint_url or 'not running'}>"

    def __enter__(self) -> EmbeddedDynamoDB:
        """Starts the server and returns when it answers.

        Raises:
            RaytrackerError: It did not start; the text says why, and what to install.
        """
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _SERVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # A profile that is not there is no business of moto's, which uses boto3 itself.
                env={name: os.environ[name] for name in os.environ if not name.startswith("AWS_")},
                start_new_session=True,  # Ctrl-C must not take it away before the last flush
            )
            self._process = process
            assert process.stdout is not None
            overdue = threading.Timer(self._start_timeout, process.kill)
            overdue.start()
            try:
                port = process.stdout.readline().strip().decode()
            finally:
                overdue.cancel()
            if not port:
                self._stop()
                raise RaytrackerError(
                    "the embedded DynamoDB did not start: "
                    + (_last_line(log) or f"no answer within {self._start_timeout:g} s")
                )
        self.endpoint_url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends the server; its tables are gone."""
        self._stop()

    def _stop(self) -> None:
        process, self._process, self.endpoint_url = self._process, None, ""
        if process is None:
            return
        process.kill()  # there is nothing to save
        process.communicate()


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
