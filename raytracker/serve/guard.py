"""Who may ask: this machine's own names, with the token; and what a page may do."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Lets nobody in without the token, nor under a name that is not this machine's.

    A page of somewhere else may have its name point to 127.0.0.1 (DNS rebinding), and be taken for
    ours by the browser; the Host header then has that name. An address of numbers can't do this.

    Args:
        app: What is guarded.
        token: The secret. It comes in the URL of a page, which sets a cookie; in that cookie; or
            as a bearer token.
        host: Where the server listens.
        cookie: The cookie's name; servers of one machine need several, as cookies know no ports.
    """

    def __init__(self, app: ASGIApp, *, token: str, host: str, cookie: str) -> None:
        self._app = app
        self._token = token
        self._cookie = cookie
        self._names = {"localhost", host.lower()}
        if not is_loopback(host):
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or has the app answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        in_url = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        enters = self._is_token(in_url)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(scope=message)
                added.update(HEADERS)
                if enters:
                    kept = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
                    added.append("Set-Cookie", kept)
            await send(message)

        app = self._app
        if not self._is_ours(headers.get("host", "")):
            app = PlainTextResponse("this server does not go by that name\n", 403)
        elif not (enters or self._is_token(self._shown(headers))):
            app = PlainTextResponse(
                "open the URL that `raytracker serve` printed: it has the token\n", 401
            )
        await app(scope, receive, answer)

    def _is_token(self, shown: str) -> bool:
        return secrets.compare_digest(shown.encode(), self._token.encode())

    def _shown(self, headers: Headers) -> str:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return bearer
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        return name in self._names or _is_address(name)


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches a host."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
