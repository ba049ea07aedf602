"""`inhouse up --observe URL` as a process: the real SDKs, changed by their base URL alone, and everything on record."""

import contextlib
import http.server
import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import anthropic
import openai
import pytest

from flows.installation import wait_until
from inhouse.cli.app import main
from inhouse.domain import Trace, TraceStatus, UsageBasis
from inhouse.store import Store, open_store

pytestmark = pytest.mark.engine
KEY = "sk-the-callers-own-key-0123456789"
SECRET = "a question that nobody may keep"
PROMPT: Any = [{"role": "user", "content": SECRET}]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1000, "output_tokens": 100},
}
ANSWERS: dict[str, Any] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": MESSAGE,
    "/v1/messages/count_tokens": {"input_tokens": 12},
    "/v1/embeddings": {
        "object": "list",
        "model": "e",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    },
    "/v1/models": {"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model", "created": 1, "owned_by": "x"}]},
    "/v1/files": {
        "id": "file-1", "object": "file", "bytes": 4, "created_at": 1, "filename": "a.bin", "purpose": "batch",
        "status": "processed",
    },
}  # fmt: skip


class ObservedApi:
    """Somebody's API on loopback, in OpenAI's and Anthropic's dialect. Keeps what it received."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        handler = type("Handler", (_Handler,), {"requests": self.requests})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.requests.append((self.path, headers, body))
        if b'"gone"' in body:
            self._send(404, b'{"error": {"message": "no such model", "code": "model_not_found", "type": "x"}}')
        elif b'"stream":true' in body:
            self._send(200, b"".join(_stream(path)), "text/event-stream")
        else:
            self._send(200, json.dumps(ANSWERS[path]).encode())

    def do_GET(self) -> None:
        self.do_POST()

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nx-request-id: req_9\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


def _stream(path: str) -> Iterator[bytes]:
    if path == "/v1/messages":
        start = MESSAGE | {"content": [], "stop_reason": None, "usage": {"input_tokens": 1000, "output_tokens": 1}}
        for payload in (
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 100}},
            {"type": "message_stop"},
        ):
            yield f"event: {payload['type']}\ndata: {json.dumps(payload)}\n\n".encode()
        return
    for text in ("Hel", "lo"):
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None if text == "Hel" else "stop"}
        chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        yield f"data: {json.dumps(chunk)}\n\n".encode()
    yield b"data: [DONE]\n\n"


@dataclass
class Observing:
    """An `inhouse up --observe` in a folder of its own."""

    folder: Path
    process: subprocess.Popen[bytes]
    api: ObservedApi
    store: Store
    root: str
    admin: str
    seen: set[str] = field(default_factory=set[str])

    @property
    def printed(self) -> str:
        return (self.folder / "up.log").read_text()

    def next_trace(self) -> Trace:
        """The trace of the one request sent since the last look, once it has ended."""
        wait_until(lambda: [trace for trace in self._list_new() if trace.close is not None], 10, "the trace")
        (trace,) = self._list_new()
        self.seen.add(trace.open.trace_id)
        return trace

    def _list_new(self) -> list[Trace]:
        return [trace for trace in self.store.traces.list(100) if trace.open.trace_id not in self.seen]


@contextlib.contextmanager
def run_observing(folder: Path, api: ObservedApi) -> Generator[Observing]:
    command = [sys.executable, "-m", "inhouse.cli.app", "up", "--observe", api.url, "--port", "0"]
    with (
        (folder / "up.log").open("wb") as log,
        subprocess.Popen([*command, "--prices-of", "openai"], stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            wait_until(lambda: b"Ctrl-C" in (folder / "up.log").read_bytes() or process.poll() is not None, 60, "up")
            assert process.poll() is None, (folder / "up.log").read_text()
            state = folder / ".inhouse-observe"
            addresses = json.loads((state / "run" / "addresses.json").read_text())
            with contextlib.closing(open_store(f"sqlite:///{state / 'inhouse.db'}")) as store:
                root, admin = (f"http://127.0.0.1:{addresses[name]}" for name in ("gateway_port", "admin_port"))
                yield Observing(folder, process, api, store, root, admin)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observing]:
    with ObservedApi() as api, run_observing(tmp_path_factory.mktemp("observing"), api) as observing:
        yield observing


@pytest.fixture
def client(running: Observing) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.root}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def claude(running: Observing) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=running.root, api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


def read_page(running: Observing) -> str:
    with urllib.request.urlopen(running.admin, timeout=5) as reply:  # noqa: S310  # our own loopback address
        return reply.read().decode()


def run_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str, str]:
    """One command of `inhouse` in this process: exit code, output, errors."""
    monkeypatch.setattr(sys, "argv", ["inhouse", *arguments])
    for console in ("out", "err"):
        monkeypatch.setattr(f"inhouse.cli.terminal.{console}._width", 200)
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_the_status_page_shows_how_to_begin_and_then_what_passed(client: openai.OpenAI, running: Observing) -> None:
    before = read_page(running)
    client.chat.completions.create(model="gpt-4o-mini", messages=PROMPT)
    running.next_trace()
    wait_until(lambda: "Nothing has passed yet" not in read_page(running), 10, "the page")
    after = read_page(running)

    assert f"export OPENAI_BASE_URL={running.root}/v1   # undo: unset OPENAI_BASE_URL" in before
    for page in (before, after):
        assert running.api.url.removesuffix("/v1") in page
        assert '<h2 id="replicas">' not in page
        assert "no longer configured" not in page
        assert "no snapshot" not in page
    assert "gpt-4o-mini" in after
    assert "$0.00021" in after


def test_a_chat_completion_passes_and_its_cost_is_on_record(client: openai.OpenAI, running: Observing) -> None:
    reply = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=PROMPT)
    trace = running.next_trace()
    path, headers, body = running.api.requests[-1]

    assert reply.parse().choices[0].message.content == "Hello"
    assert reply.headers["x-request-id"] == "req_9"
    assert reply.headers["x-inhouse-trace"] == trace.open.trace_id
    assert (path, headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert json.loads(body) == {"model": "gpt-4o-mini", "messages": PROMPT}
    assert trace.close is not None
    assert (trace.status, trace.open.route) == (TraceStatus.COMPLETE, "gpt-4o-mini")
    assert trace.open.key_id.startswith("caller-")
    assert trace.close.cost_usd == pytest.approx(1000 * 0.15e-6 + 100 * 0.60e-6)
    assert trace.close.usage_basis is UsageBasis.MEASURED


def test_a_stream_passes_and_its_usage_is_an_estimate(client: openai.OpenAI, running: Observing) -> None:
    chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=PROMPT, stream=True))
    trace = running.next_trace()

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
    assert b"stream_options" not in running.api.requests[-1][2]
    assert trace.close is not None
    assert (trace.status, trace.close.usage_basis) == (TraceStatus.COMPLETE, UsageBasis.ESTIMATED)


def test_anthropics_sdk_passes_and_its_usage_is_measured(claude: anthropic.Anthropic, running: Observing) -> None:
    reply = claude.messages.create(model="claude-haiku-4-5", max_tokens=16, messages=PROMPT)
    whole = running.next_trace()
    with claude.messages.stream(model="claude-haiku-4-5", max_tokens=16, messages=PROMPT) as stream:
        text = stream.get_final_text()
    streamed = running.next_trace()
    headers = running.api.requests[-1][1]

    assert reply.content[0].type == "text"
    assert text == reply.content[0].text == "Hello"
    assert KEY in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))
    for trace in (whole, streamed):
        assert trace.close is not None
        assert trace.close.usage is not None
        assert (trace.close.usage.input_total, trace.close.usage.output_total) == (1000, 100)
        assert trace.close.usage_basis is UsageBasis.MEASURED
        assert trace.close.cost_usd is None  # the prices asked for are OpenAI's: this model is in none of them


def test_what_is_no_chat_passes_too(client: openai.OpenAI, claude: anthropic.Anthropic, running: Observing) -> None:
    assert client.embeddings.create(model="e", input="x", encoding_format="float").data[0].embedding == [0.5]
    assert running.next_trace().open.route == "e"
    assert [model.id for model in client.models.list()] == ["gpt-4o-mini"]
    assert running.next_trace().open.route == "/v1/models"
    assert client.files.create(file=("a.bin", b"\x00\xff\r\n"), purpose="batch").id == "file-1"
    assert running.next_trace().open.route == "/v1/files"
    assert b"\x00\xff\r\n" in running.api.requests[-1][2]
    assert claude.messages.count_tokens(model="claude-haiku-4-5", messages=PROMPT).input_tokens == 12
    assert running.next_trace().status is TraceStatus.COMPLETE


def test_an_error_is_the_apis_own(client: openai.OpenAI, running: Observing) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gone", messages=PROMPT)
    trace = running.next_trace()

    assert caught.value.code == "model_not_found"
    assert caught.value.body == {"message": "no such model", "code": "model_not_found", "type": "x"}
    assert (trace.status, trace.close and trace.close.http_status) == (TraceStatus.FAILED, 404)


def test_the_commands_show_what_passed(
    client: openai.OpenAI, running: Observing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=PROMPT)
    trace = running.next_trace()
    monkeypatch.chdir(running.folder)
    file = ".inhouse-observe/run/inhouse.yaml"

    code, out, _ = run_command(capsys, monkeypatch, "traces", "-c", file, "-n", "1")
    assert code == 0
    newest = out.splitlines()[-1]
    assert newest.split()[1:4] == [f"…{trace.open.trace_id[-12:]}", "gpt-4o-mini", "-"]
    assert "1000/100" in newest
    assert "$0.00021" in newest
    code, out, _ = run_command(capsys, monkeypatch, "traces", "show", trace.open.trace_id, "-c", file)
    assert code == 0
    assert f"observe mode: passed to {running.api.url.split('/')[2]} as it came" in out
    code, out, _ = run_command(capsys, monkeypatch, "status", "-c", file)
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()[:3]] == ["ok", "ok", "ok"]
    assert "replica" not in out
    assert "gpt-4o-mini" in out


def test_what_is_printed_names_the_undo_and_where_to_look(running: Observing) -> None:
    lines = running.printed.splitlines()

    assert f"observing {running.api.url}" in lines[0]
    assert [line.split(maxsplit=1)[1] for line in lines if "undo" in line] == [
        "unset OPENAI_BASE_URL",
        "unset ANTHROPIC_BASE_URL",
    ]
    assert f"export OPENAI_BASE_URL={running.root}/v1" in running.printed
    assert f"export ANTHROPIC_BASE_URL={running.root}\n" in running.printed
    assert f"inhouse traces -c {running.folder}/.inhouse-observe/run/inhouse.yaml" in running.printed


def test_neither_a_key_nor_content_is_on_disk(client: openai.OpenAI, running: Observing) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=PROMPT)
    running.next_trace()
    files = [path for path in (running.folder / ".inhouse-observe").rglob("*") if path.is_file()]

    assert {"inhouse.db", "snapshot.json", "gateway.log"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert KEY.encode() not in content
        assert SECRET.encode() not in content


def test_a_second_one_in_the_same_folder_is_an_error_in_words(
    running: Observing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(running.folder)

    code, out, err = run_command(capsys, monkeypatch, "up", "--observe", running.api.url, "--port", "0")

    assert (code, out) == (3, "")
    assert f"another `inhouse up` runs on {running.folder}/.inhouse-observe" in err
    assert "start in another folder" in err


def test_a_port_in_use_is_an_error_that_names_the_option(
    running: Observing, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    port = running.root.rpartition(":")[2]

    code, _, err = run_command(capsys, monkeypatch, "up", "--observe", running.api.url, "--port", port)

    assert code == 2
    assert f"port {port} of 127.0.0.1 is in use by another program." in err
    assert "--port" in err


@pytest.mark.parametrize(
    ("arguments", "problem", "fix"),
    [
        (["--observe", "ftp://x"], "'ftp://x' is no address of an API", "https://api.openai.com/v1"),
        (["--observe", ""], "'' is no address of an API", "https://api.openai.com/v1"),
        (["--observe", "http://"], "'http://' is no address of an API", "https://api.openai.com/v1"),
        (["--observe", "api.openai.com/v1"], "is no address of an API", "Did you mean https://api.openai.com/v1?"),
        (["--observe", "https://u:secret@x/v1"], "must not carry a user name or password", "base URL"),
        (["--observe", "https://x/v1?key=1"], "must end with its path", "base URL"),
        (["--observe", "https://x:99999/v1"], "'https://x:99999/v1' is no address of an API", "base URL"),
        (["--observe", "http://localhost:8080/v1"], "go round in circles", "another --port"),
        (["--observe", "http://x/v1", "--prices-of", "nobody"], "no provider 'nobody'", "anthropic, aws, baseten"),
        (["--observe", "http://x/v1", "-c", "a.yaml"], "--observe needs no file", "Leave out --config"),
        (["--port", "1"], "--port goes with --observe only", "gateway.port"),
        (["--prices-of", "openai"], "--prices-of goes with --observe only", "providers"),
        (["--observe"], "requires an argument", ""),
    ],
)
def test_what_makes_no_sense_is_an_error_in_words(
    arguments: list[str], problem: str, fix: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)

    code, out, err = run_command(capsys, monkeypatch, "up", *arguments)

    assert (code, out) == (2, "")
    assert problem in err
    assert fix in err
    assert "secret" not in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_observe_mode_refuses_what_would_do_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who declares keys expects a gate, and there is none."""
    file = tmp_path / "inhouse.yaml"
    file.write_text("observe: {base_url: 'http://x y'}\nkeys: {a: {key: 0123456789abcdef}}\nroutes: {r: {}}\n")

    code, _, err = run_command(capsys, monkeypatch, "check", str(file))

    assert code == 2
    assert "inhouse.yaml:1: observe.base_url: the URL holds spaces or control characters" in err
    assert "inhouse.yaml:2: keys: observe mode passes everything to one API, so that `keys` would do nothing." in err
    assert "Remove it, or `observe:`." in err


def test_it_stops_with_its_undo(running: Observing) -> None:
    """The last of the file: nothing runs after it."""
    running.process.send_signal(signal.SIGTERM)

    assert running.process.wait(20) == 0
    assert running.printed.splitlines()[-1] == (
        "stopped; applications that still point here fail now: unset OPENAI_BASE_URL ANTHROPIC_BASE_URL"
    )
