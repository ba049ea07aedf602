"""Connections through a CONNECT proxy, against a real one on loopback."""

from __future__ import annotations

import asyncio
import base64
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from backends.dialing import direct, echo, fail, listening, serve_as, talk
from inhouse.backends.dial import Dialer
from inhouse.domain import Network


@dataclass
class Proxy:
    """A real CONNECT proxy, which keeps what it was asked and connects wherever `route` says."""

    login: str | None = None
    answer: bytes = b"HTTP/1.1 200 Connection established\r\nvia: 1.1 test\r\n\r\n"
    port_of: dict[str, int] = field(default_factory=dict[str, int])
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            if self.login is not None:
                wanted = base64.b64encode(self.login.encode()).decode()
                if f"proxy-authorization: Basic {wanted}\r\n" not in head:
                    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
                    return
            authority = head.split()[1]
            writer.write(self.answer)
            if authority in self.port_of:
                there = await asyncio.open_connection("127.0.0.1", self.port_of[authority])
                await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_https_goes_through_a_proxy_with_a_login_and_the_certificate_is_the_targets(
    tmp_path: Path,
) -> None:
    authority, ca_file = trustme.CA(), str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(ca_file)
    proxy = Proxy(login="me:s3cret@word")
    async with (
        listening(echo, serve_as(authority.issue_cert("api.example"))) as there,
        listening(proxy) as port,
    ):
        proxy.port_of["api.example:443"] = there
        dialer = Dialer(environment={"HTTPS_PROXY": f"http://me:s3cret%40word@127.0.0.1:{port}"})
        assert await talk(dialer, "https://api.example/v1", Network(ca_file=ca_file)) == b"echo hello"

    (asked,) = proxy.asked
    assert asked == (
        "CONNECT api.example:443 HTTP/1.1\r\nhost: api.example:443\r\n"
        "proxy-authorization: Basic bWU6czNjcmV0QHdvcmQ=\r\n\r\n"
    )


async def test_plain_http_goes_through_a_tunnel_too() -> None:
    proxy = Proxy()
    async with listening(echo) as there, listening(proxy) as port:
        proxy.port_of["api.example:80"] = there
        network = Network(proxy=f"http://127.0.0.1:{port}")

        assert await talk(direct(), "http://api.example/v1", network) == b"echo hello"
    assert proxy.asked == ["CONNECT api.example:80 HTTP/1.1\r\nhost: api.example:80\r\n\r\n"]


async def test_the_login_of_a_proxy_from_the_settings_is_a_credential() -> None:
    proxy = Proxy(login="me:pw")
    async with listening(echo) as there, listening(proxy) as port:
        proxy.port_of["api.example:80"] = there
        held = {f"proxy:127.0.0.1:{port}": ("me:pw",)}
        dialer = Dialer(environment={}, logins=lambda name: held.get(name, ()))

        assert await talk(dialer, "http://api.example/v1", Network(proxy=f"http://127.0.0.1:{port}")) == b"echo hello"


async def test_a_proxys_refusals_come_in_words_without_its_login() -> None:
    proxy = Proxy(login="me:right")
    async with listening(proxy) as port:
        where = f"127.0.0.1:{port}"
        wrong = Dialer(environment={"HTTPS_PROXY": f"http://me:s3cret@{where}"})
        error = await fail(wrong, "https://api.example/v1", Network())
        assert str(error) == (
            f"no connection to api.example: the proxy {where} wants another login than it was given: write "
            f"http://user:password@{where} in HTTPS_PROXY"
        )
        assert error.is_retryable is False

        error = await fail(direct(), "https://api.example/v1", Network(proxy=f"http://{where}"))
        assert f"the proxy {where} wants a login" in str(error)

        proxy.login, proxy.answer = None, b"HTTP/1.1 403 Forbidden by s3cret policy\r\n\r\n"
        error = await fail(direct(), "https://api.example/v1", Network(proxy=f"http://{where}"))
        assert str(error) == (
            f"no connection to api.example: the proxy {where} (network.proxy) refused to connect to it (status 403)"
        )
        assert error.is_retryable is True


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "gave no HTTP answer to CONNECT"),
        (b"SSH-2.0-x\r\n\r\n", "gave no HTTP answer to CONNECT"),
        (b"HTTP/1.1 200 " + b"x" * 20_000, "gave no HTTP answer to CONNECT"),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", "sent more than its consent to CONNECT"),
    ],
)
async def test_a_proxy_that_talks_nonsense_is_said(answer: bytes, words: str) -> None:
    async with listening(Proxy(answer=answer)) as port:
        error = await fail(direct(), "https://api.example/v1", Network(proxy=f"http://127.0.0.1:{port}"))

    assert words in str(error)


async def test_a_proxy_that_is_not_there_or_silent_or_none_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = await fail(direct(), "https://api.example/v1", Network(proxy=f"http://127.0.0.1:{port}"))
    assert str(error) == (
        f"no connection to api.example: the proxy 127.0.0.1:{port} (network.proxy): Connection refused"
    )

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(silent) as port:
        network = Network(proxy=f"http://127.0.0.1:{port}")
        error = await fail(direct(), "http://api.example/v1", network, connect_s=0.3)
    assert str(error) == f"no connection to api.example within 0.3 s (asking the proxy 127.0.0.1:{port})"

    error = await fail(Dialer(environment={"ALL_PROXY": "socks5://x:s3cret@h:1"}), "https://api.example/v1", Network())
    assert "ALL_PROXY names a proxy of the kind socks5://" in str(error)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize("host", ["169.254.169.254", "127.0.0.1", "2852039166", "[fd00:ec2::254]"])
async def test_addresses_are_judged_before_a_proxy_is_asked(host: str) -> None:
    proxy = Proxy()
    async with listening(proxy) as port:
        error = await fail(direct(), f"http://{host}/latest", Network(proxy=f"http://127.0.0.1:{port}"))

    assert error.is_retryable is False
    assert proxy.asked == []
