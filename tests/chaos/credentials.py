"""The file with the AWS credentials of Ray and the drivers; in some seeds they expire."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.plan import Expiry
from tests.support.fault_proxy import FaultProxy


def write(file: Path, access_key: str) -> None:
    """Puts credentials into a file, for whoever looks from now on."""
    new = file.with_suffix(".new")
    new.write_text(f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = secret\n")
    new.replace(file)


class Renewal:
    """Has credentials expire, and renews them a while after; for as long as the block lasts.

    Args:
        file: Where they are.
        expiry: When; None: they do not expire.
        proxies: Those that refuse them.
        seed: Tells this seed's credentials from another's.

    Attributes:
        events: What was done, in words.
    """

    def __init__(
        self, file: Path, expiry: Expiry | None, proxies: Sequence[FaultProxy], seed: int
    ) -> None:
        self.events: list[str] = []
        self._file = file
        self._expiry = expiry
        self._proxies = proxies
        self._new_key = f"renewed{seed}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._began = time.monotonic()
        write(file, f"first{seed}")

    def __enter__(self) -> Renewal:
        return self

    def begin(self) -> None:
        """Lets the time run."""
        if self._expiry:
            self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._thread.ident:
            self._thread.join()

    def _serve(self) -> None:
        assert self._expiry
        if self._stop.wait(self._expiry.second):
            return
        for proxy in self._proxies:
            proxy.accept_only(self._new_key, self._expiry.refusal)
        self._note("expired")
        self._stop.wait(self._expiry.seconds)
        write(self._file, self._new_key)
        self._note("renewed")

    def _note(self, what: str) -> None:
        self.events.append(f"{time.monotonic() - self._began:7.3f} s  credentials {what}")
