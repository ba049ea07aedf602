"""Probing an engine that somebody else runs, with the key and the certificates that it wants."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import trustme

from inhouse.backends import HttpClient
from inhouse.domain import Network
from inhouse.serving import Deployment, ExternalAdapter, ProbeState
from inhouse.serving.settings import DeploymentSettings

MODELS = b'{"data": [{"id": "box"}]}'
TOKEN = b'{"choices": [{}], "usage": {"completion_tokens": 1}}'


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0] or 0)
    await reader.readexactly(length)
    is_known = b"authorization: Bearer good-key\r\n" in head
    body = MODELS if head.startswith(b"GET") else TOKEN
    status = b"200 OK" if is_known else b"401 Unauthorized"
    writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_an_engine_is_probed_with_its_key_over_mutual_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("agent.test").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "agent.pem"))
    network = Network(
        is_declared_private=True, ca_file=str(tmp_path / "ca.pem"), client_cert_file=str(tmp_path / "agent.pem")
    )
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    deployment = Deployment("box", DeploymentSettings(url=url))
    client = HttpClient(network=network, max_idle_per_origin=0)
    try:
        probe = await ExternalAdapter(client, keys=lambda: ("good-key",)).probe(deployment, url, is_deep=True)
        assert (probe.state, probe.detail) == (ProbeState.READY, "")

        refused = await ExternalAdapter(client).probe(deployment, url, is_deep=True)
        assert refused.state is ProbeState.LOADING
        assert refused.detail == "/models answers 401: the engine wants another `api_key`"
    finally:
        await client.aclose()
        server.close()
