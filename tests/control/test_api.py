"""The admin API behind its guard, over a real SQLite store."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from inhouse.control import Admin, AdminIdentity, DesiredState, Reconciler, StoreLink, build_app
from inhouse.domain import Attempt, TraceClose, TraceOpen, TraceStatus, Usage, UsageBasis
from inhouse.store import EvalRunRow, ReplicaRow, SpoolCursor, Store, StoreUnavailableError

NOW = 1_795_392_000.0


def make_open(trace_id: str, **changes: Any) -> TraceOpen:
    values: dict[str, Any] = {
        "trace_id": trace_id,
        "writer": "gw0-1-1",
        "started_at": NOW - 60,
        "route": "support",
        "variant": "in-house",
        "endpoint_id": "clerk",
        "replica_id": "clerk-0",
        "key_id": "demo",
        "task": "writing",
        "reasons": ("in-house: default",),
    }
    return TraceOpen(**(values | changes))


def make_close(trace_id: str, **changes: Any) -> TraceClose:
    values: dict[str, Any] = {
        "trace_id": trace_id,
        "writer": "gw0-1-1",
        "ended_at": NOW - 59,
        "status": TraceStatus.COMPLETE,
        "http_status": 200,
        "variant": "in-house",
        "endpoint_id": "clerk",
        "replica_id": "clerk-0",
        "usage": Usage(input_uncached=10, output_visible=4),
        "usage_basis": UsageBasis.MEASURED,
        "cost_usd": 0.25,
        "e2e_ms": 100.0,
        "ttft_ms": 40.0,
        "attempts": (Attempt(endpoint_id="clerk", replica_id="clerk-0", duration_ms=99.0, status=200),),
    }
    return TraceClose(**(values | changes))


@pytest.fixture
def filled(store: Store, make_row: Callable[..., ReplicaRow]) -> Store:
    store.replicas.put(make_row(base_url="http://user:hunter22@127.0.0.1:4100/v1"))
    ids = [f"{number:032x}" for number in range(1, 5)]
    records = [
        make_open(ids[0]),
        make_close(ids[0], content={"request": "a secret of a customer"}),
        make_open(ids[1], task="reasoning", started_at=NOW - 30),
        make_close(ids[1], status=TraceStatus.FAILED, http_status=502, usage=None, cost_usd=None, ttft_ms=None),
        make_open(ids[2], started_at=NOW - 10),
        make_open(ids[3], variant="gone", endpoint_id="old", replica_id="old-0", started_at=NOW - 5),
        make_close(ids[3], variant="gone", endpoint_id="old", replica_id="old-0", cost_usd=None),
    ]
    store.traces.ship(records, cursor=SpoolCursor("gw0-1-1-0000.spool", 10))
    run = EvalRunRow(
        run_id="ev-1",
        suite="tickets",
        suite_digest="sha256:1",
        endpoint_id="clerk",
        started_at=NOW,
        num_samples=2,
        config={"suite": {"samples": ["content"]}, "num_epochs": 1},
    )
    store.evals.create_run(run)
    return store


@pytest.fixture
def make_client(
    desired: DesiredState, state_dir: Path, store_url: str, clock: Callable[[], float]
) -> Iterator[Callable[..., TestClient]]:
    opened: list[StoreLink] = []

    def make(link: StoreLink | None = None) -> TestClient:
        link = link or StoreLink(store_url)
        opened.append(link)
        reconciler = Reconciler(desired, link, state_dir, clock)
        asyncio.run(reconciler.step())
        identity = AdminIdentity(
            state_dir=state_dir, gateway_url="http://127.0.0.1:8080", started_at=NOW - 5, pid=os.getpid()
        )
        app = build_app(Admin(reconciler, link, identity, clock))
        return TestClient(app, base_url="http://127.0.0.1:8081", raise_server_exceptions=False)

    yield make
    for link in opened:
        link.close()


@pytest.fixture
def client(make_client: Callable[..., TestClient], filled: Store) -> TestClient:
    return make_client()


def test_healthz_says_whether_all_is_well(client: TestClient) -> None:
    assert client.get("/api/healthz").json() == {"status": "ok", "snapshot_version": 1, "problems": []}


def test_status_joins_snapshot_replicas_and_traffic(client: TestClient) -> None:
    status = client.get("/api/status").json()
    assert (status["gateway_url"], status["snapshot"]["version"]) == ("http://127.0.0.1:8080", 1)
    assert (status["snapshot"]["num_keys"], status["snapshot"]["age_s"]) == (1, 0.0)
    (route,) = status["routes"]
    assert (route["name"], route["num_requests"]) == ("support", 4)
    in_house, api, gone = route["variants"]
    assert (in_house["role"], in_house["num_ready"], in_house["is_simulated"]) == ("default", 1, False)
    assert (api["role"], api["is_simulated"], api["traffic"]["share"]) == ("task reasoning, fallback", True, 0.0)
    assert (gone["role"], gone["is_configured"]) == ("no longer configured", False)


def test_traffic_counts_errors_over_ended_requests_and_unpriced_apart(client: TestClient) -> None:
    in_house, _, gone = client.get("/api/status").json()["routes"][0]["variants"]
    traffic = in_house["traffic"]
    assert (traffic["num_requests"], traffic["num_under_way"], traffic["num_errors"]) == (3, 1, 1)
    assert (traffic["share"], traffic["error_rate"]) == (0.75, 0.5)
    assert traffic["ttft"] == {"n": 1, "p50_ms": 40.0, "p95_ms": 40.0}
    assert (traffic["cost_usd"], traffic["num_tokens_in"]) == ("0.25", 10)
    assert in_house["tasks"] == [
        {"task": "writing", "num_requests": 2},
        {"task": "reasoning", "num_requests": 1},
    ]
    assert (gone["traffic"]["cost_usd"], gone["traffic"]["num_unpriced"]) == (None, 1)


def test_no_password_of_an_address_is_shown(client: TestClient) -> None:
    for path in ("/api/status", "/api/snapshot"):
        text = client.get(path).text
        assert "hunter22" not in text
        assert "http://127.0.0.1:4100/v1" in text


def test_a_status_is_made_once_a_second(client: TestClient, clock: Any, filled: Store) -> None:
    before = client.get("/api/status").json()
    filled.traces.ship([make_open("f" * 32)], cursor=SpoolCursor("x", 1))
    assert client.get("/api/status").json() == before
    clock.now += 1.0
    assert client.get("/api/status").json()["routes"][0]["num_requests"] == 5


def test_gateway_workers_are_those_that_hold_a_spool(client: TestClient, state_dir: Path, clock: Any) -> None:
    spool = state_dir / "spool"
    spool.mkdir()
    (spool / "gw0-1000-11-0000.spool").write_bytes(b"x" * 30)
    with (spool / "gw1-2000-12-0000.spool").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        status = client.get("/api/status").json()
    assert status["gateway_workers"] == [{"worker": "gw1", "started_at": 2.0, "pid": 12}]
    assert status["spool"] == {"num_files": 2, "lag_bytes": 30}


def test_traces_come_newest_first_and_can_be_filtered(client: TestClient) -> None:
    traces = client.get("/api/traces").json()["traces"]
    assert [trace["trace_id"][-1] for trace in traces] == ["4", "3", "2", "1"]
    assert [trace["status"] for trace in traces] == ["complete", "open", "failed", "complete"]
    assert len(client.get("/api/traces?limit=1").json()["traces"]) == 1
    assert [trace["trace_id"][-1] for trace in client.get("/api/traces?status=failed").json()["traces"]] == ["2"]
    assert client.get("/api/traces?route=other").json() == {"traces": []}


def test_a_trace_is_given_whole_without_captured_content(client: TestClient) -> None:
    reply = client.get(f"/api/traces/{1:032x}")
    assert reply.json()["open"]["reasons"] == ["in-house: default"]
    assert reply.json()["close"]["attempts"][0]["status"] == 200
    assert reply.json()["close"]["content"] == {"request": "captured, 22 characters, not shown here"}
    assert "a secret of a customer" not in reply.text + client.get("/api/traces").text


def test_evaluations_come_without_their_samples(client: TestClient) -> None:
    (run,) = client.get("/api/evals").json()["runs"]
    assert run["config"] == {"num_epochs": 1}
    assert client.get("/api/evals/ev-1").json() == run


def test_the_snapshot_holds_no_key_hash(client: TestClient) -> None:
    snapshot = client.get("/api/snapshot").json()
    assert [(key["key_id"], key["key_hash"]) for key in snapshot["keys"]] == [("demo", "")]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/traces?limit=0", 400, "invalid_parameter"),
        ("/api/traces?limit=1001", 400, "invalid_parameter"),
        ("/api/traces?limit=%C2%B2", 400, "invalid_parameter"),
        ("/api/traces?limit=99999999999999999999", 400, "invalid_parameter"),
        ("/api/traces?status=done", 400, "invalid_parameter"),
        ("/api/traces/none", 404, "not_found"),
        ("/api/evals/none", 404, "not_found"),
        ("/api/nothing", 404, "unknown_path"),
        ("/nothing", 404, "unknown_path"),
    ],
)
def test_errors_carry_a_code_and_the_fix(client: TestClient, path: str, status: int, code: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert len(reply.json()["error"]["message"]) > 20


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "localhost@evil.example", "", "[::2]"]
)
def test_strangers_names_are_refused(client: TestClient, host: str) -> None:
    reply = client.get("/api/status", headers={"host": host})
    assert (reply.status_code, reply.json()["error"]["code"]) == (421, "forbidden_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8081", "127.0.0.1:1", "127.8.9.1", "[::1]:8081"])
def test_loopback_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_the_port_only_reads(client: TestClient, method: str) -> None:
    reply = client.request(method, "/api/status")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")


def test_every_answer_keeps_browsers_in_check(client: TestClient) -> None:
    for path in ("/api/status", "/nothing"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_with_the_store_down_status_serves_and_traces_say_so(make_client: Callable[..., TestClient]) -> None:
    def down(_url: str) -> Store:
        raise StoreUnavailableError("The store does not answer.", fix="start it.")

    client = make_client(StoreLink("sqlite:///unused", opener=down))
    assert client.get("/api/healthz").json()["status"] == "degraded"
    status = client.get("/api/status").json()
    assert (status["store"]["is_up"], status["snapshot"]["version"]) == (False, 1)
    assert status["routes"][0]["variants"][0]["traffic"]["share"] is None
    reply = client.get("/api/traces")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "store_unavailable")


def test_a_summary_over_all_tasks_has_the_exact_quantiles(filled: Store) -> None:
    rows = filled.traces.summarize(NOW - 900, by_task=False).rows
    assert [(row.variant, row.task, row.num_requests) for row in rows] == [("gone", None, 1), ("in-house", None, 3)]


def test_answers_are_msgspec_json(client: TestClient) -> None:
    reply = client.get("/api/status")
    assert reply.headers["content-type"] == "application/json"
    assert msgspec.json.decode(reply.content)["window_s"] == 900.0
