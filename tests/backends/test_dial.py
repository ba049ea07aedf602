"""Which addresses connections are made to: looked up once, judged, and tried in turn. All on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress

import pytest

from backends.dialing import OWN, Talk, direct, echo, fail, listening, resolving, talk
from inhouse.backends import dial as dial_module
from inhouse.backends.target import parse_target
from inhouse.domain import ErrorCode, Network


async def test_a_plain_connection_to_an_own_engine() -> None:
    async with listening(echo) as port:
        assert await talk(direct(), f"http://127.0.0.1:{port}/v1") == b"echo hello"


async def test_small_writes_are_not_held_back() -> None:
    async with listening(echo) as port:
        protocol = await direct().connect(Talk, parse_target(f"http://127.0.0.1:{port}"), OWN, 10.0)
        raw = protocol.transport.get_extra_info("socket")

        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        await protocol.finish()


async def test_loopback_is_refused_to_an_endpoint_that_is_not_declared_private() -> None:
    async with listening(echo) as port:
        error = await fail(direct(), f"http://127.0.0.1:{port}/v1", Network())

    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert error.is_retryable is False
    assert str(error) == (
        f"no connection to 127.0.0.1:{port}: 127.0.0.1 is a loopback address, which only an endpoint declared private "
        "may use (`network: {private: true}`)"
    )


@pytest.mark.parametrize("address", ["10.0.0.7", "169.254.169.254", "::ffff:127.0.0.1", "fd00:ec2::254", "2002:a00::1"])
async def test_a_public_name_that_resolves_to_a_forbidden_address_is_refused(address: str) -> None:
    error = await fail(direct(resolve=resolving(address)), "https://api.example/v1", Network())

    assert error.is_retryable is False
    assert "no connection to api.example: the name api.example resolves to an address that is refused: " in str(error)


async def test_metadata_addresses_are_refused_even_to_endpoints_declared_private() -> None:
    error = await fail(direct(), "http://169.254.169.254/latest")

    assert "169.254.169.254 is a cloud's metadata address, which nothing may use" in str(error)


async def test_odd_spellings_of_an_address_are_judged_as_the_address() -> None:
    assert "127.0.0.1 is a loopback address" in str(await fail(direct(), "http://2130706433/v1", Network()))


async def test_the_judged_address_is_the_one_connected_to() -> None:
    """A name whose answer changes between the check and the connection is looked up once only."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async with listening(echo) as port:
        assert await talk(direct(resolve=resolve), f"http://box.test:{port}/v1") == b"echo hello"
    assert asked == ["box.test"]


async def test_one_forbidden_address_among_several_is_skipped() -> None:
    async with listening(echo) as port:
        dialer = direct(resolve=resolving("169.254.169.254", "127.0.0.1"))

        assert await talk(dialer, f"http://box.test:{port}/v1") == b"echo hello"


async def test_an_address_that_refuses_is_followed_by_the_next() -> None:
    async with listening(echo) as port:
        dialer = direct(resolve=resolving("::1", "127.0.0.2", "127.0.0.1"))

        assert await talk(dialer, f"http://box.test:{port}/v1") == b"echo hello"


async def test_an_address_that_is_silent_is_joined_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial_module, "STAGGER_S", 0.01)
    with full_listener("127.0.0.2") as port:
        server = await asyncio.start_server(echo, "127.0.0.1", port)
        dialer = direct(resolve=resolving("127.0.0.2", "127.0.0.1"))

        assert await talk(dialer, f"http://box.test:{port}/v1") == b"echo hello"
        server.close()


async def test_with_nothing_listening_the_reason_is_the_systems() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = await fail(direct(resolve=resolving("::1", "127.0.0.1")), f"http://box.test:{port}/v1")

    assert str(error) == f"no connection to box.test:{port}: Connection refused"
    assert error.is_retryable is True


async def test_a_name_that_cannot_be_looked_up_is_unreachable_in_words() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    error = await fail(direct(resolve=resolve), "http://nowhere.test/v1")

    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert str(error) == (
        "no connection to nowhere.test: the name nowhere.test cannot be looked up (Name or service not known)"
    )


@pytest.mark.parametrize("name", ["x" * 80 + ".test", "a..test"])
async def test_an_impossible_name_is_unreachable_in_words(name: str) -> None:
    assert "cannot be looked up (" in str(await fail(direct(), f"http://{name}/v1"))


async def test_a_name_without_an_address_is_unreachable() -> None:
    error = await fail(direct(resolve=resolving()), "http://none.test/v1")

    assert str(error) == "no connection to none.test: the name none.test has no address"


async def test_the_real_resolver_finds_localhost() -> None:
    async with listening(echo) as port:
        assert await talk(direct(), f"http://localhost:{port}/v1") == b"echo hello"


async def test_a_silent_address_ends_at_the_deadline_which_says_what_it_waited_for() -> None:
    with full_listener("127.0.0.2") as port:
        error = await fail(direct(), f"http://127.0.0.2:{port}/v1", connect_s=0.05)
    assert error.code is ErrorCode.UPSTREAM_TIMEOUT
    assert str(error) == f"no connection to 127.0.0.2:{port} within 0.05 s (connecting)"

    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    error = await fail(direct(resolve=resolve), "http://slow.test/v1", connect_s=0.05)
    assert str(error) == "no connection to slow.test within 0.05 s (looking up the name slow.test)"


class full_listener:  # noqa: N801  # used as a word
    """A port whose queue is full, so that nobody's connection is taken up."""

    def __init__(self, host: str) -> None:
        self._server = socket.create_server((host, 0), backlog=0)
        self._held: list[socket.socket] = []

    def __enter__(self) -> int:
        address = self._server.getsockname()
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(address)
            self._held.append(one)
        return address[1]

    def __exit__(self, *_: object) -> None:
        for one in (*self._held, self._server):
            one.close()
