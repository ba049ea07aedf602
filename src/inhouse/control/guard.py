"""Who may speak to the admin port, and what browsers may do with its pages. Works on the raw request, not on a URL."""

from __future__ import annotations

import ipaddress
import re

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inhouse.domain import ConfigError, SourceLocation

_LOOPBACK_HOST = re.compile(rb"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def check_admin_host(host: str) -> None:
    """Refuse to listen where others could connect, since the admin port has no keys yet.

    Raises:
        ConfigError: `host` is not a loopback address.
    """
    if host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigError(
            f"the admin port would listen on {host}, where others can connect, and it has no keys yet.",
            fix="Set `admin.host: 127.0.0.1`, and reach it from elsewhere through an SSH tunnel (`ssh -L`).",
            location=SourceLocation("inhouse.yaml", path="admin.host"),
        )


class Guard:
    """Lets loopback callers read, and nobody else anything.

    A browser on this machine may be made to ask us under a stranger's name (DNS rebinding); the Host header then holds
    that name, so only loopback names are answered. Every answer carries the headers that keep pages to themselves.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one connection and pass it on."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_SECURITY_HEADERS]
            await send(message)

        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not _LOOPBACK_HOST.fullmatch(hosts[0]):
            text = (
                "This port answers only to loopback names. Open http://127.0.0.1 with its port, or use an SSH tunnel."
            )
            await _refuse(send_guarded, 421, "forbidden_host", text)
        elif scope["method"] not in {"GET", "HEAD"}:
            text = "The admin port only reads. Change the configuration file and run `inhouse up` again."
            await _refuse(send_guarded, 405, "method_not_allowed", text, (b"allow", b"GET, HEAD"))
        else:
            await self._app(scope, receive, send_guarded)


async def _refuse(send: Send, status: int, code: str, message: str, *headers: tuple[bytes, bytes]) -> None:
    body = msgspec.json.encode({"error": {"message": message, "code": code}})
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})
