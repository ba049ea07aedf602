"""A provider behind a corporate proxy and a private authority, with a key file that is rotated: the whole way."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import ssl
import threading
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from flows.installation import KEY, run_up, wait_until

FILE = """\
data_classes: {internal: {processors: [paid]}}
providers:
  paid:
    base_url: https://api.example:8443/v1
    api_key: {file: keys/paid}
    network: {proxy: "http://me:${PROXY_PASSWORD}@127.0.0.1:PROXY_PORT", ca_file: ca.pem, client_cert_file: me.pem}
    models: {mid: {}}
routes: {desk: {data_class: internal, variants: {x: {endpoint: paid/mid}}, use: {default: x}}}
keys: {flow: {key: "${FLOW_KEY}"}}
gateway: {port: 0, drain_s: 3}
admin: {port: 0}
agent: {metrics_port: 0}
"""
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "mid",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@dataclass
class Seen:
    """What reached the proxy and the API."""

    proxy_heads: list[str] = field(default_factory=list[str])
    authorizations: list[str | None] = field(default_factory=list[str | None])


@contextlib.contextmanager
def api(seen: Seen, authority: trustme.CA) -> Generator[int]:
    """An API that wants a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.example").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            seen.authorizations.append(self.headers["authorization"])
            payload = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def proxy(seen: Seen, api_port: int) -> Generator[int]:
    """A CONNECT proxy that wants a login, and leads every name to the API."""
    wanted = f"proxy-authorization: Basic {base64.b64encode(b'me:pass word').decode()}\r\n"

    def serve(client: socket.socket) -> None:
        with client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1024)
            seen.proxy_heads.append(head.decode())
            if wanted not in head.decode():
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", api_port)) as there:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=copy, args=(there, client))
                back.start()
                copy(client, there)
                back.join()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
                threads[-1].start()

    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))
    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(4096):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "paid").write_text("key-before\n")
    (tmp_path / "keys" / "paid").chmod(0o600)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("gateway.test").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "me.pem"))
    return tmp_path


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def ask(base_url: str) -> Any:
    request = urllib.request.Request(  # noqa: S310 -- our own loopback address
        f"{base_url}/chat/completions",
        data=json.dumps({"model": "desk", "messages": [{"role": "user", "content": "hi"}]}).encode(),
        headers={"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 -- same
        return json.load(reply)


def test_a_request_goes_through_proxy_and_mutual_tls_and_a_rotated_key_is_used_at_once(
    folder: Path, authority: trustme.CA
) -> None:
    seen = Seen()
    environment = {"FLOW_KEY": KEY, "PROXY_PASSWORD": "pass%20word"}
    with contextlib.ExitStack() as stack:
        api_port = stack.enter_context(api(seen, authority))
        proxy_port = stack.enter_context(proxy(seen, api_port))
        text = FILE.replace("PROXY_PORT", str(proxy_port))
        running = stack.enter_context(run_up(folder, text, environment))

        assert ask(running.base_url)["choices"][0]["message"]["content"] == "hello"
        assert seen.authorizations == ["Bearer key-before"]
        assert seen.proxy_heads[0].startswith("CONNECT api.example:8443 HTTP/1.1\r\nhost: api.example:8443\r\n")

        (folder / "keys" / "paid").write_text("key-after\n")

        def is_rotated() -> bool:
            ask(running.base_url)
            return seen.authorizations[-1] == "Bearer key-after"

        wait_until(is_rotated, what="the new key")

    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "keys" not in path.parts}
    secrets = (b"key-before", b"key-after", b"pass%20word", b"pass word", b"bWU6cGFzcyB3b3Jk")
    assert [str(path) for path, content in kept.items() if any(secret in content for secret in secrets)] == []
