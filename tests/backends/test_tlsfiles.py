"""TLS as it is really spoken: private authorities, client certificates, renewed files, failures in words."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import trustme

from backends.dialing import Talk, direct, echo, fail, listening, resolving, serve_as, talk
from inhouse.backends import HttpClient
from inhouse.backends.target import parse_target
from inhouse.backends.tlsfiles import ServerTlsWatcher, TlsFileError, explain_tls_failure, make_server_context
from inhouse.domain import EndpointError, ErrorCode, Network


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@contextmanager
def refusing_strangers(context: ssl.SSLContext) -> Generator[int]:
    """A server on plain blocking sockets, which says why it refuses a handshake, as nginx does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError), server.accept()[0] as raw, context.wrap_socket(raw, server_side=True) as one:
                one.sendall(b"echo " + one.recv(100))
                one.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


# Connections to endpoints.


async def test_a_private_authority_is_trusted_by_its_file_and_the_name_is_sent(
    authority: trustme.CA, ca_file: str
) -> None:
    context, names = serve_as(authority.issue_cert("engine.test")), []
    context.sni_callback = lambda _ssl, name, _context: names.append(name)
    context.set_alpn_protocols(["h2", "http/1.1"])
    network = Network(is_declared_private=True, ca_file=ca_file)
    async with listening(echo, context) as port:
        dialer = direct(resolve=resolving("127.0.0.1"))
        protocol = await dialer.connect(Talk, parse_target(f"https://engine.test:{port}/v1"), network, 10.0)
        agreed = protocol.transport.get_extra_info("ssl_object").selected_alpn_protocol()

        assert await protocol.finish() == b"echo hello"
    assert names == ["engine.test"]
    assert agreed == "http/1.1"


async def test_an_address_in_the_certificate_is_verified_too(authority: trustme.CA, ca_file: str) -> None:
    network = Network(is_declared_private=True, ca_file=ca_file)
    async with listening(echo, serve_as(authority.issue_cert("127.0.0.1"))) as port:
        assert await talk(direct(), f"https://127.0.0.1:{port}/v1", network) == b"echo hello"


async def test_an_authority_that_is_not_trusted_is_named_with_the_setting(authority: trustme.CA) -> None:
    async with listening(echo, serve_as(authority.issue_cert("127.0.0.1"))) as port:
        error = await fail(direct(), f"https://127.0.0.1:{port}/v1")

    assert re.fullmatch(
        rf"no connection to 127.0.0.1:{port}: the certificate of 127.0.0.1:{port} comes from an authority that is not "
        r"trusted here \(.+\): give the authority's PEM file \(`network: \{ca_file: …\}`\)",
        str(error),
    )
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE


async def test_a_given_authority_replaces_the_systems(authority: trustme.CA, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    network = Network(is_declared_private=True, ca_file=str(other))
    async with listening(echo, serve_as(authority.issue_cert("127.0.0.1"))) as port:
        assert "an authority that is not trusted here" in str(
            await fail(direct(), f"https://127.0.0.1:{port}/v1", network)
        )


async def test_an_expired_certificate_and_one_for_another_name_say_so(authority: trustme.CA, ca_file: str) -> None:
    network = Network(is_declared_private=True, ca_file=ca_file)
    old = authority.issue_cert(
        "127.0.0.1", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2020, 2, 1, tzinfo=UTC)
    )
    async with listening(echo, serve_as(old)) as port:
        assert f"the certificate of 127.0.0.1:{port} has expired: it must be renewed there" in str(
            await fail(direct(), f"https://127.0.0.1:{port}/v1", network)
        )
    early = authority.issue_cert(
        "127.0.0.1", not_before=datetime(2190, 1, 1, tzinfo=UTC), not_after=datetime(2191, 1, 1, tzinfo=UTC)
    )
    async with listening(echo, serve_as(early)) as port:
        assert "is not valid yet" in str(await fail(direct(), f"https://127.0.0.1:{port}/v1", network))
    async with listening(echo, serve_as(authority.issue_cert("other.test"))) as port:
        assert "is for another name" in str(await fail(direct(), f"https://127.0.0.1:{port}/v1", network))


async def test_a_server_that_speaks_no_tls_says_so() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with listening(plain) as port:
        error = await fail(direct(), f"https://127.0.0.1:{port}/v1")

    assert f"127.0.0.1:{port} does not speak TLS: begin its address with http:// if that is meant" in str(error)


async def test_a_server_that_hangs_up_in_the_handshake_says_so() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with listening(rude) as port:
        error = await fail(direct(), f"https://127.0.0.1:{port}/v1")

    assert str(error) == (
        f"no connection to 127.0.0.1:{port}: the connection was closed during the TLS handshake, as some servers do "
        "that want a client certificate (`network: {client_cert_file: …}`)"
    )


@pytest.fixture
def mutual(authority: trustme.CA) -> ssl.SSLContext:
    """A server that wants a certificate of the same authority from its clients."""
    context = serve_as(authority.issue_cert("127.0.0.1"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_server_that_is_silent_in_the_handshake_ends_at_the_deadline(ca_file: str) -> None:
    network = Network(is_declared_private=True, ca_file=ca_file)

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        error = await fail(direct(), f"https://127.0.0.1:{port}/v1", network, connect_s=0.5)

    assert str(error) == f"no connection to 127.0.0.1:{port} within 0.5 s (the TLS handshake)"


async def test_a_client_certificate_is_shown_with_its_key_beside_it_or_in_the_same_file(
    authority: trustme.CA, ca_file: str, mutual: ssl.SSLContext, tmp_path: Path
) -> None:
    mine = authority.issue_cert("gateway.test")
    cert, key, both = (tmp_path / name for name in ("cert.pem", "key.pem", "both.pem"))
    cert.write_bytes(b"".join(blob.bytes() for blob in mine.cert_chain_pems))
    mine.private_key_pem.write_to_path(str(key))
    mine.private_key_and_cert_chain_pem.write_to_path(str(both))
    async with listening(echo, mutual) as port:
        for names in ((str(cert), str(key)), (str(both), None)):
            network = Network(
                is_declared_private=True, ca_file=ca_file, client_cert_file=names[0], client_key_file=names[1]
            )
            assert await talk(direct(), f"https://127.0.0.1:{port}/v1", network) == b"echo hello"


async def test_a_missing_client_certificate_is_said_where_the_handshake_ends(
    ca_file: str, mutual: ssl.SSLContext
) -> None:
    mutual.maximum_version = ssl.TLSVersion.TLSv1_2
    with refusing_strangers(mutual) as port:
        error = await fail(direct(), f"https://127.0.0.1:{port}/v1", Network(is_declared_private=True, ca_file=ca_file))

    assert str(error) == (
        f"no connection to 127.0.0.1:{port}: 127.0.0.1:{port} refused the TLS handshake, as a server does that wants a "
        "client certificate, or another one (`network: {client_cert_file: …}`)"
    )


async def test_with_tls_1_3_a_missing_client_certificate_ends_the_connection_with_the_same_words(
    ca_file: str, mutual: ssl.SSLContext
) -> None:
    """The client's half of that handshake is over before the server has seen that there is no certificate."""
    network = Network(is_declared_private=True, ca_file=ca_file)
    with refusing_strangers(mutual) as port:
        protocol = await direct().connect(Talk, parse_target(f"https://127.0.0.1:{port}/v1"), network, 10.0)
        async with asyncio.timeout(10):
            error = await protocol.ended

    assert isinstance(error, ssl.SSLError)
    assert "a server does that wants a client certificate" in explain_tls_failure(error, "box")


async def test_a_request_that_tls_1_3_refuses_without_a_client_certificate_says_so(
    ca_file: str, mutual: ssl.SSLContext
) -> None:
    client = HttpClient(direct(), network=Network(is_declared_private=True, ca_file=ca_file))
    try:
        with refusing_strangers(mutual) as port, pytest.raises(EndpointError) as caught:
            await client.request("GET", f"https://127.0.0.1:{port}/v1/models")
    finally:
        await client.aclose()

    assert caught.value.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert str(caught.value) == (
        "the endpoint refused the TLS handshake, as a server does that wants a client certificate, or another one "
        "(`network: {client_cert_file: …}`)"
    )


async def test_files_that_change_are_read_again_and_broken_ones_leave_what_was(
    authority: trustme.CA, ca_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    network = Network(is_declared_private=True, ca_file=ca_file)
    dialer = direct()
    renewed = trustme.CA()
    async with (
        listening(echo, serve_as(authority.issue_cert("127.0.0.1"))) as before,
        listening(echo, serve_as(renewed.issue_cert("127.0.0.1"))) as after,
    ):
        assert await talk(dialer, f"https://127.0.0.1:{before}/v1", network) == b"echo hello"
        assert "not trusted" in str(await fail(dialer, f"https://127.0.0.1:{after}/v1", network))

        renewed.cert_pem.write_to_path(ca_file)
        assert await talk(dialer, f"https://127.0.0.1:{after}/v1", network) == b"echo hello"
        assert "not trusted" in str(await fail(dialer, f"https://127.0.0.1:{before}/v1", network))

        Path(ca_file).write_text("half a file")
        for _ in range(2):
            assert await talk(dialer, f"https://127.0.0.1:{after}/v1", network) == b"echo hello"
    (record,) = (record for record in caplog.records if record.name == "inhouse.backends")
    assert record.getMessage() == (
        f"the TLS files read before stay in use: {ca_file} holds no certificate in PEM form. Fix: Give a PEM file "
        "(`-----BEGIN …CERTIFICATE-----`); `openssl` converts other formats."
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"ca_file": "none.pem"}, r"`network.ca_file`: .*none.pem cannot be read \(No such file or directory\)"),
        ({"ca_file": "key.pem"}, "`network.ca_file`: .*key.pem holds no certificate in PEM form"),
        ({"ca_file": "broken.pem"}, r"`network.ca_file`: .*broken.pem cannot be used \("),
        ({"client_key_file": "key.pem"}, "`network.client_key_file`: .*key.pem is a key without a certificate"),
        ({"client_cert_file": "cert.pem"}, "`network.client_cert_file`: .*cert.pem holds no private key in PEM form"),
        (
            {"client_cert_file": "cert.pem", "client_key_file": "other.pem"},
            "`network.client_key_file`: the key in .*other.pem does not belong to the certificate in .*cert.pem",
        ),
        (
            {"client_cert_file": "cert.pem", "client_key_file": "locked.pem"},
            "`network.client_key_file`: the key in .*locked.pem has a passphrase",
        ),
        ({"client_cert_file": "broken.pem", "client_key_file": "key.pem"}, "`network.client_cert_file`: .*cannot be"),
    ],
)
async def test_unusable_files_are_named_with_their_setting(
    authority: trustme.CA, tmp_path: Path, names: dict[str, str], words: str
) -> None:
    mine = authority.issue_cert("gateway.test")
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    mine.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    authority.issue_cert("other.test").private_key_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "locked.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n")
    paths = {name: str(tmp_path / file) for name, file in names.items()}
    network = msgspec.convert(paths, Network)

    error = await fail(direct(), "https://api.example/v1", network)

    assert re.search(words, str(error))
    assert error.is_retryable is False


# A listening port.


@dataclass
class Files:
    cert_file: str
    key_file: str
    client_ca_file: str | None = None


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(str(tmp_path / "port.pem"), str(tmp_path / "port.key"))


def write_pair(files: Files, issued: trustme.LeafCert) -> None:
    Path(files.cert_file).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(files.key_file)


async def test_a_port_takes_a_renewed_certificate_without_a_restart(
    authority: trustme.CA, ca_file: str, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    network = Network(is_declared_private=True, ca_file=ca_file)
    write_pair(files, authority.issue_cert("old.test"))
    context = make_server_context(files)
    watcher = ServerTlsWatcher(files, context)
    assert watcher.poll() is False
    dialer = direct(resolve=resolving("127.0.0.1"))
    async with listening(echo, context) as port:
        assert await talk(dialer, f"https://old.test:{port}", network) == b"echo hello"

        renewed = authority.issue_cert("new.test")
        Path(files.cert_file).write_bytes(renewed.cert_chain_pems[0].bytes())
        assert watcher.poll() is False  # the key of the old one: half of a pair
        assert "does not belong to the certificate" in caplog.text
        assert await talk(dialer, f"https://old.test:{port}", network) == b"echo hello"

        write_pair(files, renewed)
        assert watcher.poll() is True
        assert await talk(dialer, f"https://new.test:{port}", network) == b"echo hello"
        assert "for another name" in str(await fail(dialer, f"https://old.test:{port}", network))


async def test_a_port_may_ask_for_client_certificates(
    authority: trustme.CA, ca_file: str, files: Files, tmp_path: Path
) -> None:
    """With TLS 1.3 the refusal comes after the client's handshake, as the end of the connection."""
    write_pair(files, authority.issue_cert("127.0.0.1"))
    files.client_ca_file = ca_file
    context = make_server_context(files)
    authority.issue_cert("app.test").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "app.pem"))
    async with listening(echo, context) as port:
        url = f"https://127.0.0.1:{port}"
        known = Network(is_declared_private=True, ca_file=ca_file, client_cert_file=str(tmp_path / "app.pem"))
        assert await talk(direct(), url, known) == b"echo hello"

        stranger = await direct().connect(
            Talk, parse_target(url), Network(is_declared_private=True, ca_file=ca_file), 10.0
        )
        async with asyncio.timeout(10):
            await stranger.ended
        assert stranger.received == b""


def test_a_ports_files_that_cannot_be_used_are_named_with_their_setting_and_a_fix(
    authority: trustme.CA, files: Files, tmp_path: Path
) -> None:
    def refuse() -> TlsFileError:
        with pytest.raises(TlsFileError) as caught:
            make_server_context(files)
        return caught.value

    assert refuse().setting == "cert_file"
    assert refuse().problem == f"{files.cert_file} cannot be read (No such file or directory)"
    assert refuse().fix == "Give the path of a PEM file that this user may read."

    write_pair(files, authority.issue_cert("x.test"))
    files.client_ca_file = files.key_file
    assert (refuse().setting, refuse().problem) == (
        "client_ca_file",
        f"{files.key_file} holds no certificate in PEM form",
    )
    Path(files.client_ca_file).write_text("-----BEGIN CERTIFICATE-----\nAAAA\n")
    assert (refuse().setting, refuse().problem) == ("key_file", f"{files.key_file} holds no private key in PEM form")

    write_pair(files, authority.issue_cert("x.test"))
    files.client_ca_file = str(tmp_path / "broken.pem")
    Path(files.client_ca_file).write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert refuse().setting == "client_ca_file"
