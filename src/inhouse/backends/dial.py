"""Makes connections to endpoints: looks names up, judges the addresses, asks proxies, begins TLS. Sends no request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TypeVar

from inhouse.backends.denylist import IpAddress, judge_address, read_literal
from inhouse.backends.proxies import BadProxyError, Proxy, choose_proxy, read_proxy_environment
from inhouse.backends.target import Target
from inhouse.backends.tlsfiles import ClientContexts, TlsFileError, explain_tls_failure
from inhouse.domain import EndpointError, ErrorCode, Network

STAGGER_S = 0.25
"""An address that has not answered by then is joined by the next one (RFC 8305 proposes a quarter of a second)."""
_MAX_PROXY_HEAD_BYTES = 16_384
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r)")
_PROXY_WANTS_LOGIN = 407

ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host name and port → addresses as text, in the order of preference; raises OSError."""


class _FailedError(Exception):
    """No connection, for a reason in words; `is_final` where trying the same again changes nothing."""

    def __init__(self, words: str, *, is_final: bool = False) -> None:
        self.is_final = is_final
        super().__init__(words)


@dataclass(slots=True)
class _Dial:
    """One connection being made, and what is being done for it just now."""

    target: Target
    network: Network
    stage: str = "looking up its name"


class Dialer:
    """Makes connections, each to an address that was judged: a name is looked up once, by us, and then not again.

    Args:
        logins: keys by credential name; asked for `proxy:HOST:PORT`, the `user:password` of a proxy from the settings.
        environment: where `HTTPS_PROXY` and its kin stand; the process's own where not given.
        resolve: looks names up; the system's resolver where not given.
    """

    def __init__(
        self,
        *,
        logins: Callable[[str], tuple[str, ...]] = lambda _name: (),
        environment: Mapping[str, str] | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._logins = logins
        self._environment = read_proxy_environment(os.environ if environment is None else environment)
        self._resolve = resolve or _resolve
        self._contexts = ClientContexts()

    async def connect(
        self, protocol_factory: Callable[[], ProtocolT], target: Target, network: Network, connect_s: float
    ) -> ProtocolT:
        """Connect, TLS included, and return the protocol that serves the connection.

        Args:
            protocol_factory: makes the protocol, when the connection is there.
            target: where to.
            network: proxy, files, and whether the address may be private.
            connect_s: the most that everything together may take, in seconds.

        Raises:
            EndpointError: `upstream_unreachable` or `upstream_timeout`, in words; `is_retryable` is False where the
                same attempt would end the same.
        """
        dial = _Dial(target, network)
        place = target.host_header
        try:
            async with asyncio.timeout(connect_s):
                return await self._connect(protocol_factory, dial)
        except TimeoutError:
            message = f"no connection to {place} within {connect_s:g} s ({dial.stage})"
            raise EndpointError(ErrorCode.UPSTREAM_TIMEOUT, message) from None
        except _FailedError as error:
            message = f"no connection to {place}: {error}"
            raise EndpointError(ErrorCode.UPSTREAM_UNREACHABLE, message, is_retryable=not error.is_final) from None

    async def _connect(self, protocol_factory: Callable[[], ProtocolT], dial: _Dial) -> ProtocolT:
        target = dial.target
        context = self._find_context(dial) if target.is_tls else None
        proxy = self._find_proxy(dial)
        if proxy is None:
            raw = await self._open(dial, target.host, target.port, is_private=dial.network.is_declared_private)
        else:
            raw = await self._open_tunnel(dial, proxy)
        dial.stage = "connecting" if context is None else "the TLS handshake"
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(
                protocol_factory,
                sock=raw,
                ssl=context,
                server_hostname=None if context is None else target.host.rstrip("."),
            )
        except BaseException as error:
            raw.close()
            if isinstance(error, ssl.SSLError):
                raise _FailedError(explain_tls_failure(error, target.host_header)) from None
            if isinstance(error, OSError):
                raise _FailedError(_explain(error) if context is None else _explain_handshake(error)) from None
            raise
        return protocol

    def _find_context(self, dial: _Dial) -> ssl.SSLContext:
        try:
            return self._contexts.get(dial.network)
        except TlsFileError as error:
            raise _FailedError(f"`network.{error.setting}`: {error.problem}", is_final=True) from None

    def _find_proxy(self, dial: _Dial) -> Proxy | None:
        try:
            proxy = choose_proxy(dial.target, dial.network, self._environment)
        except BadProxyError as error:
            raise _FailedError(str(error), is_final=True) from None
        if proxy is None or proxy.login is not None:
            return proxy
        logins = self._logins(proxy.login_name)
        return proxy.with_login(logins[0]) if logins else proxy

    async def _open(self, dial: _Dial, host: str, port: int, *, is_private: bool) -> socket.socket:
        """A connected socket to one of the host's addresses that may be connected to."""
        literal = read_literal(host)
        found = [literal] if literal is not None else await self._look_up(dial, host, port)
        allowed: list[IpAddress] = []
        reasons: list[str] = []
        for ip in found:
            reason = judge_address(ip, is_declared_private=is_private)
            if reason is None:
                allowed.append(ip)
            else:
                reasons.append(reason)
        if not allowed:
            prefix = "" if literal is not None else f"the name {host} resolves to an address that is refused: "
            raise _FailedError(prefix + "; ".join(reasons), is_final=True)
        dial.stage = "connecting"
        return await _race(_alternate(allowed), port)

    async def _look_up(self, dial: _Dial, host: str, port: int) -> list[IpAddress]:
        dial.stage = f"looking up the name {host}"
        try:
            texts = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no valid name"
            raise _FailedError(f"the name {host} cannot be looked up ({reason})") from None
        found = [literal for literal in map(read_literal, dict.fromkeys(texts)) if literal is not None]
        if not found:
            raise _FailedError(f"the name {host} has no address")
        return found

    async def _open_tunnel(self, dial: _Dial, proxy: Proxy) -> socket.socket:
        """A socket whose other end is the target, through a proxy. The proxy itself is the user's own: it was named."""
        target = dial.target
        literal = read_literal(target.host)
        if literal is not None:
            reason = judge_address(literal, is_declared_private=dial.network.is_declared_private)
            if reason is not None:
                raise _FailedError(reason, is_final=True)
        try:
            raw = await self._open(dial, proxy.host, proxy.port, is_private=True)
        except _FailedError as error:
            words = f"the proxy {proxy.place} ({proxy.source}): {error}"
            raise _FailedError(words, is_final=error.is_final) from None
        dial.stage = f"asking the proxy {proxy.place}"
        try:
            await _ask_proxy(raw, proxy, target)
        except BaseException as error:
            raw.close()
            if isinstance(error, OSError | UnicodeError):
                raise _FailedError(f"the proxy {proxy.place} ({proxy.source}): {_explain(error)}") from None
            raise
        return raw


async def _resolve(host: str, port: int) -> list[str]:
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in rows]


def _alternate(addresses: Sequence[IpAddress]) -> list[IpAddress]:
    """The order of trying: the resolver's first, then each family in turn, so that one broken family costs one wait."""
    first = [ip for ip in addresses if ip.version == addresses[0].version]
    other = [ip for ip in addresses if ip.version != addresses[0].version]
    return [ip for ip in chain.from_iterable(zip_longest(first, other)) if ip is not None]


async def _race(addresses: Sequence[IpAddress], port: int) -> socket.socket:
    """The first socket that is connected; each address starts when the one before it failed, or has been silent."""
    if len(addresses) == 1:
        try:
            return await _connect_socket(addresses[0], port)
        except OSError as error:
            raise _FailedError(_explain(error)) from None
    loop = asyncio.get_running_loop()
    waiting = list(addresses)
    tasks: set[asyncio.Task[socket.socket]] = set()
    words = "no address"
    try:
        while waiting or tasks:
            if waiting:
                tasks.add(loop.create_task(_connect_socket(waiting.pop(0), port)))
            stagger_s = STAGGER_S if waiting else None
            done, tasks = await asyncio.wait(tasks, timeout=stagger_s, return_when=asyncio.FIRST_COMPLETED)
            won, words = _take_first(done, words)
            if won is not None:
                return won
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, socket.socket):
                result.close()
    raise _FailedError(words)


def _take_first(done: set[asyncio.Task[socket.socket]], words: str) -> tuple[socket.socket | None, str]:
    """One socket of those connected (the others are closed), and the words of a failure."""
    won: socket.socket | None = None
    for task in done:
        try:
            connected = task.result()
        except OSError as error:
            words = _explain(error)
            continue
        if won is None:
            won = connected
        else:
            connected.close()
    return won, words


async def _connect_socket(ip: IpAddress, port: int) -> socket.socket:
    raw = socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(raw, (str(ip), port))
    except BaseException:
        raw.close()
        raise
    return raw


async def _ask_proxy(raw: socket.socket, proxy: Proxy, target: Target) -> None:
    """CONNECT, and the proxy's consent."""
    host = f"[{target.host}]" if ":" in target.host else target.host.encode("idna").decode()
    authority = f"{host}:{target.port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"host: {authority}"]
    if proxy.authorization is not None:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, "\r\n".join((*lines, "\r\n")).encode("ascii"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = await loop.sock_recv(raw, 4096)
        answer += part
        if not part or len(answer) > _MAX_PROXY_HEAD_BYTES:
            raise _FailedError(f"the proxy {proxy.place} ({proxy.source}) gave no HTTP answer to CONNECT")
    found = _STATUS_LINE.match(answer)
    if found is None:
        raise _FailedError(f"the proxy {proxy.place} ({proxy.source}) gave no HTTP answer to CONNECT")
    status = int(found[1])
    if status == _PROXY_WANTS_LOGIN:
        given = "another login than it was given" if proxy.login else "a login"
        words = f"the proxy {proxy.place} wants {given}: write http://user:password@{proxy.place} in {proxy.source}"
        raise _FailedError(words, is_final=True)
    if not 200 <= status < 300:
        raise _FailedError(f"the proxy {proxy.place} ({proxy.source}) refused to connect to it (status {status})")
    if not answer.endswith(b"\r\n\r\n"):
        raise _FailedError(f"the proxy {proxy.place} ({proxy.source}) sent more than its consent to CONNECT")


def _explain_handshake(error: OSError) -> str:
    hint = "as some servers do that want a client certificate (`network: {client_cert_file: …}`)"
    return f"{_explain(error)} during the TLS handshake, {hint}"


def _explain(error: BaseException) -> str:
    """An operating system's error in its own words, without what Python adds."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:
        with contextlib.suppress(ValueError):
            return os.strerror(number)
    if isinstance(error, ConnectionError):
        return "the connection was closed"
    return type(error).__name__
