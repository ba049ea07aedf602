"""`gateway.responses` from the file to a worker that keeps Responses; without it a worker carries no database code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import openai
import pytest

from inhouse.cli.config import ConfigFileError, Configuration, load_config_text
from inhouse.cli.launch import build_children, choose_addresses
from inhouse.cli.starts import GatewayStart
from inhouse.cli.state import StateFolder
from inhouse.cli.supervisor import ChildSpec
from inhouse.domain import (
    DataClass,
    Dialect,
    EgressPolicy,
    Endpoint,
    EndpointKind,
    Network,
    Replica,
    Route,
    Snapshot,
    Variant,
)
from inhouse.gateway.settings import GatewaySettings
from inhouse.store import open_store

FILE = """\
data_classes: {{internal: {{processors: [a]}}}}
providers: {{a: {{simulated: {{}}, models: {{m: {{}}}}}}}}
routes: {{r: {{data_class: internal, variants: {{v: {{endpoint: a/m}}}}, use: {{default: v}}}}}}
gateway: {{port: 0, workers: 1{more}}}
admin: {{port: 0}}
agent: {{metrics_port: 0}}
"""
ANSWER = json.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    }
).encode()


def load(more: str) -> Configuration:
    return load_config_text(FILE.format(more=more), "inhouse.yaml", Path("/srv"), {})


def build_gateway(tmp_path: Path, more: str) -> ChildSpec:
    """The gateway's child spec as `up` makes it of the file."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    configuration = load(more)
    with ExitStack() as held:
        children = build_children(configuration, state, choose_addresses(configuration, None, held))
    return next(child for child in children if child.name == "gateway")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2_592_000), ("12h", 43_200), ('"45m"', 2_700), ("90s", 90), ('" 1d "', 86_400)]
)
def test_a_period_means_the_same_in_the_file_and_in_the_worker(text: str, seconds: int) -> None:
    gateway = load(f", responses: {{keep: {text}}}").settings.gateway
    assert gateway.responses is not None
    assert gateway.responses.keep.total_seconds() == seconds
    dumped = json.loads(json.dumps(gateway.model_dump(mode="json")))
    assert GatewaySettings.model_validate(dumped) == gateway


@pytest.mark.parametrize("text", ["30", "0d", "-1d", "1.5h", "P3D", "1w", "forever", "true", "[1]"])
def test_what_is_no_period_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ConfigFileError, match=r"inhouse.yaml:4: gateway.responses.keep: .*`12h` or `30d`"):
        load(f", responses: {{keep: {text}}}")


def test_a_store_of_responses_without_a_period_is_refused() -> None:
    """It is content, and content without an end is nobody's wish."""
    with pytest.raises(ConfigFileError, match=r"`keep` is missing in gateway\.responses") as caught:
        load(", responses: {}")
    assert "How long a response is kept" in caught.value.fix


def test_only_a_worker_that_keeps_responses_is_told_where_the_store_is(tmp_path: Path) -> None:
    plain = build_gateway(tmp_path, "")
    keeping = build_gateway(tmp_path, ", responses: {keep: 30d}")
    assert plain.module == "inhouse.cli.gateway_process"
    assert msgspec.json.decode(plain.start, type=GatewayStart).store_url is None
    assert keeping.module == "inhouse.cli.keeping_gateway_process"
    assert msgspec.json.decode(keeping.start, type=GatewayStart).store_url == "sqlite:////srv/.inhouse/inhouse.db"


class Answering(BaseHTTPRequestHandler):
    """Any request is answered with the same chat completion."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Say nothing."""


@pytest.fixture
def endpoint_url() -> Iterator[str]:
    """An endpoint that only has chat."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def build_snapshot(url: str) -> Snapshot:
    one = Endpoint(
        endpoint_id="e",
        kind=EndpointKind.OWN,
        dialect=Dialect.OPENAI,
        model="tiny",
        processor="own",
        network=Network(is_declared_private=True),
        replicas=(Replica(replica_id="e-0", base_url=url),),
    )
    route = Route(name="r", data_class="c", variants=(Variant(name="v", endpoint_id="e"),), default="v")
    return Snapshot(
        version=1,
        created_at=1.0,
        routes={"r": route},
        endpoints={"e": one},
        keys=(),
        egress=EgressPolicy((DataClass("c", frozenset({"own"})),)),
        is_open=True,
    )


def test_the_process_keeps_what_it_answered_also_when_it_ends_right_after(tmp_path: Path, endpoint_url: str) -> None:
    """The worker as `up` starts it: an answer, another one that follows it, SIGTERM; both are in the store."""
    (tmp_path / "run").mkdir()
    (tmp_path / "spool").mkdir()
    (tmp_path / "run" / "snapshot.json").write_bytes(msgspec.json.encode(build_snapshot(endpoint_url)))
    store_url = f"sqlite:///{tmp_path}/inhouse.db"
    start = GatewayStart(
        state_dir=str(tmp_path),
        worker_index=0,
        settings={"port": 0, "drain_s": 5.0, "responses": {"keep": "1h"}},
        credentials={},
        pepper="00" * 32,
        store_url=store_url,
    )
    command = [sys.executable, "-m", "inhouse.cli.keeping_gateway_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        try:
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write(msgspec.json.encode(start) + b"\n")
            worker.stdin.flush()
            url = worker.stdout.readline().decode().removeprefix("LISTENING ").strip()
            with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
                first = client.responses.create(model="r", input="one")
                second = client.responses.create(model="r", input="two", previous_response_id=first.id)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
        finally:
            worker.kill()
    with open_store(store_url) as store:
        turns = store.responses.list_turns(second.id, "anonymous", now=0.0)
    assert turns is not None
    assert [turn.response_id for turn in turns] == [first.id, second.id]
    assert [turn.expires_at - turn.created_at for turn in turns] == [3600.0, 3600.0]
    assert json.loads(turns[1].response_json)["output"][0]["content"][0]["text"] == "Hello"
