"""Every page, rendered from a real SQLite store, hostile values included."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from inhouse.backends.settings import ProviderSettings
from inhouse.catalog import load_price_book
from inhouse.console import build_routes
from inhouse.control import Admin, AdminIdentity, DesiredState, Reconciler, StoreLink, build_app
from inhouse.domain import Attempt, ReplicaState, Signals, TraceClose, TraceOpen, TraceStatus, Usage, UsageBasis
from inhouse.routing.settings import RouteSettings
from inhouse.serving.settings import DeploymentSettings
from inhouse.store import EvalRunRow, EvalRunStatus, ReplicaRow, SpoolCursor, Store, StoreUnavailableError, open_store

NOW = 1_795_392_000.0
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}"
PAGES = ("/", "/fragments/status", "/traces/t1", "/traces/t2", "/traces/t3", "/evals/ev-1", "/evals/ev-2", "/nothing")


class Tags(HTMLParser):
    """Collects elements, and checks that they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br", "img"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def finish(self) -> None:
        self.close()
        assert self._open == []


def parse(text: str) -> list[tuple[str, dict[str, str | None]]]:
    tags = Tags()
    tags.feed(text)
    tags.finish()
    return tags.found


def read_words(text: str) -> str:
    """The page's text on one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def fill(store: Store) -> None:
    digest = "sha256:" + "a" * 64
    store.replicas.put(
        ReplicaRow(
            replica_id="clerk-0",
            deployment="clerk",
            host_id=HOSTILE,
            base_url="http://127.0.0.1:4100/v1",
            state=ReplicaState.READY,
            digest=digest,
            num_restarts=2,
            updated_at=NOW - 3,
            detail=HOSTILE,
        )
    )
    base: dict[str, Any] = {"writer": "gw0-1-1", "route": "desk", "key_id": "demo", "variant_digest": digest}
    own: dict[str, Any] = {"variant": "in-house", "endpoint_id": "clerk", "replica_id": "clerk-0"}
    paid: dict[str, Any] = {"variant": "api", "endpoint_id": "paid/mid", "replica_id": "paid/mid", "is_simulated": True}
    hostile: dict[str, Any] = dict.fromkeys(own, HOSTILE)
    records = [
        TraceOpen(trace_id="t1", started_at=NOW - 60, task="writing", reasons=("in-house: default",), **base, **own),
        TraceClose(
            trace_id="t1",
            writer="gw0-1-1",
            ended_at=NOW - 59,
            status=TraceStatus.COMPLETE,
            http_status=200,
            **paid,
            variant_digest=digest,
            usage=Usage(input_uncached=110, output_visible=7),
            usage_basis=UsageBasis.MEASURED,
            cost_usd=0.0021,
            price_id="simulated/*@2026-01-01",
            ttft_ms=40.0,
            e2e_ms=100.0,
            overhead_ms=1.0,
            attempts=(
                Attempt(endpoint_id="clerk", replica_id="clerk-0", duration_ms=9.0, code="upstream_unreachable"),
                Attempt(endpoint_id="paid/mid", replica_id="paid/mid", duration_ms=90.0, status=200),
            ),
            content={"request": "what the customer wrote"},
            signals=Signals(num_chars=40, empty=0, longest_run=40, truncated=0),
        ),
        TraceOpen(
            trace_id="t2",
            started_at=NOW - 30,
            **(base | {"route": HOSTILE, "key_id": HOSTILE}),
            **hostile,
            task=HOSTILE,
            user=HOSTILE,
            team=HOSTILE,
            tags={HOSTILE: HOSTILE},
            reasons=(HOSTILE,),
        ),
        TraceClose(
            trace_id="t2",
            writer="gw0-1-1",
            ended_at=NOW - 29,
            status=TraceStatus.FAILED,
            http_status=502,
            **hostile,
            error_code=HOSTILE,
            finish_reason=HOSTILE,
            reported_model=HOSTILE,
            fingerprint=HOSTILE,
            e2e_ms=10.0,
            attempts=(Attempt(endpoint_id=HOSTILE, replica_id=HOSTILE, duration_ms=1.0, code=HOSTILE),),
        ),
        TraceOpen(trace_id="t3", started_at=NOW - 1, is_stream=True, **base, **own),
    ]
    store.traces.ship(records, cursor=SpoolCursor("gw0-1-1-0000.spool", 1))
    store.evals.create_run(make_run("ev-1", endpoint_id="clerk", endpoint_digest=digest))
    store.evals.finish_run("ev-1", EvalRunStatus.COMPLETE, NOW, make_summary())
    store.evals.create_run(make_run("ev-2", endpoint_id="paid/mid", is_simulated=True, note=HOSTILE, suite=HOSTILE))


def make_run(run_id: str, **changes: Any) -> EvalRunRow:
    values: dict[str, Any] = {
        "suite": "tickets",
        "suite_digest": "sha256:1",
        "started_at": NOW - 90,
        "num_samples": 300,
    }
    return EvalRunRow(run_id=run_id, **(values | changes))


def make_summary() -> dict[str, Any]:
    interval = {"low": 0.877, "high": 0.941, "method": "Wilson"}
    metric = {"scorer": "exact", "value": 0.914, "n": 300, "interval": interval, "num_errors": 2}
    latency = {"n": 298, "num_missing": 2, "p50_ms": 182.2, "p95_ms": 401.0}
    return {
        "num_samples": 300,
        "num_epochs": 1,
        "num_outputs": 300,
        "num_errors": 2,
        "errors_by_code": {"upstream_error": 2},
        "num_truncated": 0,
        "score": metric,
        "tasks": [{"task": "writing", "num_samples": 300, "metrics": [metric]}],
        "slices": [],
        "must_pass_failed": ["refund-3"],
        "ttft": latency,
        "tpot": latency,
        "e2e": latency,
        "cost": {"n": 0, "num_unpriced": 298, "num_missing": 2},
        "num_traces_missing": 2,
        "endpoint_digest": None,
        "endpoint_digests": [],
        "is_simulated": False,
    }


def make_desired(*, is_open: bool = True) -> DesiredState:
    route = {
        "data_class": "internal",
        "variants": {"in-house": {"endpoint": "clerk"}, "api": {"endpoint": "paid/mid"}},
        "use": {"default": "in-house"},
        "fallback": ["api"],
    }
    return DesiredState(
        routes={"desk": RouteSettings.model_validate(route)},
        deployments={"clerk": DeploymentSettings(model="weights.gguf")},
        providers={"paid": ProviderSettings.model_validate({"simulated": {}, "models": {"mid": {}}})},
        data_classes={"internal": frozenset({"own", "paid"})},
        keys=(),
        is_open=is_open,
        price_book=load_price_book(),
        provider_urls={"paid": "http://127.0.0.1:4001/v1"},
    )


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    links: list[StoreLink] = []
    url = f"sqlite:///{tmp_path / 'inhouse.db'}"

    def make(*, is_filled: bool = True, link: StoreLink | None = None, is_open: bool = True) -> TestClient:
        if is_filled:
            with open_store(url) as store:
                fill(store)
        links.append(link or StoreLink(url))
        reconciler = Reconciler(make_desired(is_open=is_open), links[-1], tmp_path, lambda: NOW)
        asyncio.run(reconciler.step())
        identity = AdminIdentity(state_dir=tmp_path, gateway_url="http://127.0.0.1:8080", started_at=NOW - 9, pid=1)
        app = build_app(Admin(reconciler, links[-1], identity, lambda: NOW), build_routes())
        return TestClient(app, base_url="http://127.0.0.1:8081")

    yield make
    for link in links:
        link.close()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_well_formed_and_hostile_values_stay_text(
    make_client: Callable[..., TestClient], path: str
) -> None:
    text = make_client().get(path).text
    tags = parse(text)
    assert not [tag for tag, _ in tags if tag in {"img", "iframe", "form", "object", "style"}]
    assert [attrs.get("src") for tag, attrs in tags if tag == "script"] == (
        ["/static/console.js"] if path == "/" else []
    )
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on") or name == "style"]
    assert "<script>alert" not in text
    assert "49}}" not in text


def test_hostile_values_are_shown_as_they_are(make_client: Callable[..., TestClient]) -> None:
    text = make_client().get("/traces/t2").text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 10
    assert "{{7*7}}" in text


@pytest.mark.parametrize("path", PAGES)
def test_no_page_asks_any_other_address(make_client: Callable[..., TestClient], path: str) -> None:
    reply = make_client().get(path)
    links = [value for _, attrs in parse(reply.text) for name in ("src", "href") if (value := attrs.get(name))]
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links)
    assert reply.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("console.css", "text/css"), ("console.js", "text/javascript"), ("favicon.svg", "image/svg+xml")],
)
def test_static_files_come_from_the_package(make_client: Callable[..., TestClient], name: str, kind: str) -> None:
    reply = make_client(is_filled=False).get(f"/static/{name}")
    assert (reply.status_code, reply.headers["content-type"].split(";")[0]) == (200, kind)
    assert "https://" not in reply.text


def test_the_status_page_shows_routes_replicas_requests_and_evaluations(
    make_client: Callable[..., TestClient],
) -> None:
    words = read_words(make_client().get("/").text)
    assert "http://127.0.0.1:8080/v1 open on this machine, no key needed" in words
    assert "in-house default clerk 1 of 1 ready · aaaaaaaaaaaa" in words
    assert "paid/mid simulated" in words
    assert "40 / 40 ms n 1" in words
    assert "$0.0021" in words
    assert "0.914 0.877 to 0.941" in words
    assert "open" in words


def test_an_endpoint_without_a_price_is_unpriced_not_free(make_client: Callable[..., TestClient]) -> None:
    text = make_client().get("/").text
    row = text[text.index('data-label="Variant">in-house') : text.index('data-label="Variant">api')]
    assert "unpriced" in row
    assert "$0" not in row


def test_each_request_links_to_its_page(make_client: Callable[..., TestClient]) -> None:
    client = make_client()
    links = [attrs["href"] for tag, attrs in parse(client.get("/").text) if tag == "a"]
    wanted = ["/traces/t3", "/traces/t2", "/traces/t1", "/evals/ev-1", "/evals/ev-2"]
    assert [link for link in links if link in wanted] == [
        "/traces/t3",
        "/traces/t2",
        "/traces/t1",
        "/evals/ev-2",
        "/evals/ev-1",
    ]
    assert {client.get(link).status_code for link in wanted} == {200}


def test_a_trace_page_shows_decision_attempts_times_and_tokens(make_client: Callable[..., TestClient]) -> None:
    text = make_client().get("/traces/t1").text
    words = read_words(text)
    assert "Reasons in-house: default" in words
    assert "first choice was in-house" in words
    assert "upstream_unreachable 9.0 ms" in words
    assert "answered HTTP 200 90 ms" in words
    assert "gateway, before sending 1.0 ms" in words
    assert "Total 117" in words
    assert "paid/mid simulated" in words
    assert "sha256:" + "a" * 64 in words
    assert "what the customer wrote" not in text
    assert [attrs["width"] for tag, attrs in parse(text) if tag == "rect" and attrs.get("height") == "22"] == [
        "10.0",
        "390.0",
        "600.0",
    ]


def test_a_trace_page_shows_the_signals_that_were_measured(make_client: Callable[..., TestClient]) -> None:
    client = make_client()
    words = read_words(client.get("/traces/t1").text)
    assert "Signal Measured one character repeated yes, 40 times empty no cut at a limit of tokens no" in words
    assert "length 40 characters" in words
    assert "broken JSON" not in words
    assert "None were measured" in read_words(client.get("/traces/t2").text)


def test_a_request_under_way_says_so(make_client: Callable[..., TestClient]) -> None:
    assert "The request is under way" in make_client().get("/traces/t3").text


def test_an_evaluation_page_shows_intervals_and_must_pass_failures(make_client: Callable[..., TestClient]) -> None:
    client = make_client()
    words = read_words(client.get("/evals/ev-1").text)
    assert "Must-pass samples failed: refund-3" in words
    assert "writing exact 0.914 0.877 to 0.941 300 2 0" in words
    assert "Cost per request unpriced" in words
    assert "its scores come at its end" in client.get("/evals/ev-2").text


def test_an_empty_installation_says_what_to_do_next(make_client: Callable[..., TestClient]) -> None:
    text = make_client(is_filled=False).get("/").text
    assert "No requests yet. Send one with" in text
    assert "curl http://127.0.0.1:8080/v1/chat/completions" in text
    assert "&#34;model&#34;:&#34;desk&#34;" in text
    assert "authorization" not in text
    assert "inhouse eval run desk --on clerk" in text
    assert "No replica has reported" in text


def test_the_example_asks_for_a_key_where_one_is_needed(make_client: Callable[..., TestClient]) -> None:
    assert "authorization: Bearer $INHOUSE_KEY" in make_client(is_filled=False, is_open=False).get("/").text


@pytest.mark.parametrize("path", ["/traces/none", "/evals/none", "/none"])
def test_pages_that_are_not_there_say_so(make_client: Callable[..., TestClient], path: str) -> None:
    reply = make_client(is_filled=False).get(path)
    assert (reply.status_code, "There is no such" in reply.text) == (404, True)


def test_with_the_store_down_the_pages_say_so(make_client: Callable[..., TestClient]) -> None:
    def down(_url: str) -> Store:
        raise StoreUnavailableError("The store does not answer: made up.", fix="start it.")

    client = make_client(is_filled=False, link=StoreLink("sqlite:///unused", opener=down))
    status = client.get("/")
    assert (status.status_code, client.get("/traces/t1").status_code, client.get("/evals/x").status_code) == (
        200,
        503,
        503,
    )
    assert "The gateway serves on with snapshot 1" in status.text
    assert "which does not answer right now" in status.text
