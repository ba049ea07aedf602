"""The embedded engine as a process: what it serves, and how it fails."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine


def start(model: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "inhouse.serving.embedded_engine", "--model", str(model), "--alias", "tiny", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextlib.contextmanager
def running(model: Path, *options: str) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    with start(model, *options) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            assert line.startswith("LISTENING http://127.0.0.1:")
            yield process, int(line.rsplit(":", 1)[1])
        finally:
            process.kill()


def call(port: int, path: str, body: object = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        payload = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, payload, {"origin": "http://elsewhere"})
        with connection.getresponse() as reply:
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()


def test_it_serves_the_asked_context_in_every_slot_and_lets_no_web_page_read(tiny_gguf: Path) -> None:
    with running(tiny_gguf, "--context-tokens", "256", "--slots", "3") as (process, port):
        slots = json.loads(call(port, "/slots")[2])
        assert [slot["n_ctx"] for slot in slots] == [256, 256, 256]
        question = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
        status, headers, body = call(port, "/v1/chat/completions", question)
        assert (status, json.loads(body)["usage"]["completion_tokens"]) == (200, 3)
        assert headers.get("access-control-allow-origin", "") == ""
        assert b"llamacpp:n_decode_total" in call(port, "/metrics")[2]
        assert call(port, "/")[0] == 404  # no web interface
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == -signal.SIGTERM


def test_a_request_that_cannot_be_parsed_leaves_no_content_in_the_log(tiny_gguf: Path) -> None:
    with running(tiny_gguf) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/chat/completions", '{"messages": "my secret plan", bad')
            with connection.getresponse() as reply:
                assert reply.status == 400
                reply.read()
        process.kill()
        assert process.stderr is not None
        assert b"secret" not in process.stderr.read()


def test_a_model_that_cannot_be_loaded_ends_it_with_code_4_and_one_clear_line(tiny_gguf: Path, tmp_path: Path) -> None:
    text, cut = tmp_path / "text.gguf", tmp_path / "cut.gguf"
    text.write_text("no model")
    cut.write_bytes(tiny_gguf.read_bytes()[:2000])
    for model, words in (
        (tmp_path / "none.gguf", f"the model {tmp_path / 'none.gguf'} cannot be read: No such file or directory. Fix:"),
        (text, f"the model {text} is no GGUF file. Fix:"),
        (cut, f"llama.cpp cannot load {cut} (its reason stands above). Fix:"),
    ):
        with start(model) as process:
            assert process.wait(20) == 4
            assert process.stderr is not None
            assert process.stderr.read().decode().splitlines()[-1].startswith(f"inhouse engine: {words}")


def test_a_taken_port_ends_it_with_code_5(tiny_gguf: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with start(tiny_gguf, "--port", str(port)) as process:
            assert process.wait(20) == 5
            assert process.stderr is not None
            assert f"port {port} is taken." in process.stderr.read().decode()
