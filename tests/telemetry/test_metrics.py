"""Metrics: what is counted, under which labels, and that names and docs agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from inhouse.domain import Signals, TraceClose, TraceOpen, TraceStatus, Usage
from inhouse.telemetry import EVAL_ROUTE, METRIC_NAMES, UNKNOWN_ROUTE, MetricKind, TraceMetrics

MakeOpen = Callable[..., TraceOpen]
MakeClose = Callable[..., TraceClose]
LABELS = {"route": "triage", "variant": "in-house", "endpoint": "clerk", "status": "complete", "simulated": "false"}
WRITER = "gw0-1763925240123-4711"


@pytest.fixture
def metrics() -> TraceMetrics:
    return TraceMetrics()


def value(metrics: TraceMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_rare_kinds_of_tokens_have_buckets_of_their_own(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    metrics.observe([make_open("a")])
    metrics.observe([make_close("a", usage=Usage(1, 0, 0, 1, cache_write_1h=4, input_audio=5, output_audio=6))])
    counted = {
        bucket: value(metrics, "inhouse_tokens_total", endpoint="clerk", bucket=bucket)
        for bucket in ("cache_write_1h", "input_audio", "output_audio")
    }
    assert counted == {"cache_write_1h": 4, "input_audio": 5, "output_audio": 6}


def test_a_request_is_counted_with_its_tokens_cost_and_times(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    metrics.observe([make_open("a")])
    metrics.observe([make_close("a")])
    assert value(metrics, "inhouse_requests_total", **LABELS) == 1
    assert value(metrics, "inhouse_tokens_total", endpoint="clerk", bucket="input_uncached") == 100
    assert value(metrics, "inhouse_tokens_total", endpoint="clerk", bucket="output_visible") == 20
    assert value(metrics, "inhouse_tokens_total", endpoint="clerk", bucket="cache_read") is None
    assert value(metrics, "inhouse_cost_usd_total", route="triage", endpoint="clerk") == 0.25
    assert value(metrics, "inhouse_unpriced_requests_total", endpoint="clerk") is None
    where = {"route": "triage", "endpoint": "clerk"}
    assert value(metrics, "inhouse_ttft_seconds_sum", **where) == 0.12
    assert value(metrics, "inhouse_tpot_seconds_sum", **where) == 0.004
    assert value(metrics, "inhouse_e2e_seconds_sum", **where) == 0.75
    assert value(metrics, "inhouse_gateway_overhead_seconds_sum") == pytest.approx(0.00015)


def test_a_fallback_is_counted_where_it_ended(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    metrics.observe([make_open("a"), make_close("a", variant="api", endpoint_id="sim/mid", is_simulated=True)])
    where = LABELS | {"variant": "api", "endpoint": "sim/mid", "simulated": "true"}
    assert value(metrics, "inhouse_requests_total", **where) == 1


def test_what_has_no_cost_is_unpriced_unless_it_failed(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    nothing = {"usage": None, "cost_usd": None, "price_id": None}
    metrics.observe([make_open("a"), make_close("a", **nothing)])
    metrics.observe([make_open("b"), make_close("b", **nothing, status=TraceStatus.FAILED, http_status=502)])
    assert value(metrics, "inhouse_unpriced_requests_total", endpoint="clerk") == 1
    assert value(metrics, "inhouse_cost_usd_total", route="triage", endpoint="clerk") is None
    assert value(metrics, "inhouse_requests_total", **(LABELS | {"status": "failed"})) == 1
    assert value(metrics, "inhouse_e2e_seconds_count", route="triage", endpoint="clerk") == 1


def test_an_unstreamed_request_has_no_token_times(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    metrics.observe([make_open("a"), make_close("a", ttft_ms=None, tpot_ms=None, overhead_ms=None)])
    where = {"route": "triage", "endpoint": "clerk"}
    assert value(metrics, "inhouse_ttft_seconds_count", **where) is None
    assert value(metrics, "inhouse_tpot_seconds_count", **where) is None
    assert value(metrics, "inhouse_gateway_overhead_seconds_count") == 0
    assert value(metrics, "inhouse_e2e_seconds_count", **where) == 1


def test_evaluation_traffic_is_never_counted_as_live(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    metrics.observe([make_open("a", is_eval=True), make_close("a")])
    assert value(metrics, "inhouse_requests_total", **(LABELS | {"route": EVAL_ROUTE})) == 1
    assert value(metrics, "inhouse_requests_total", **LABELS) is None
    assert value(metrics, "inhouse_e2e_seconds_count", route=EVAL_ROUTE, endpoint="clerk") is None


def test_opens_from_before_a_restart_are_looked_up_once(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    asked: list[Sequence[str]] = []

    def find_opens(ids: Sequence[str]) -> dict[str, TraceOpen]:
        asked.append(ids)
        return {"a": make_open("a")}

    metrics.observe([make_close("a"), make_close("b"), make_open("c"), make_close("c")], find_opens=find_opens)
    assert asked == [["a", "b"]]
    assert value(metrics, "inhouse_requests_total", **LABELS) == 2
    assert value(metrics, "inhouse_requests_total", **(LABELS | {"route": UNKNOWN_ROUTE})) == 1


def test_what_a_dead_gateway_left_open_is_counted_as_aborted(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    metrics.observe([make_open("a"), make_open("b", writer="gw1-2-3"), make_open("c"), make_close("c")])
    assert metrics.abort_writer(WRITER) == 1
    assert metrics.abort_writer(WRITER) == 0
    assert value(metrics, "inhouse_requests_total", **(LABELS | {"status": "aborted"})) == 1
    assert value(metrics, "inhouse_unpriced_requests_total", endpoint="clerk") == 1


def test_replicas_appear_change_and_go(metrics: TraceMetrics) -> None:
    where = {"deployment": "clerk", "replica": "clerk-0"}
    metrics.set_replica_ready("clerk", "clerk-0", is_ready=True)
    assert value(metrics, "inhouse_replica_ready", **where) == 1
    assert value(metrics, "inhouse_replica_restarts_total", deployment="clerk") == 0
    metrics.set_replica_ready("clerk", "clerk-0", is_ready=False)
    metrics.count_restart("clerk")
    assert value(metrics, "inhouse_replica_ready", **where) == 0
    assert value(metrics, "inhouse_replica_restarts_total", deployment="clerk") == 1
    metrics.drop_replica("clerk", "clerk-0")
    metrics.drop_replica("clerk", "never-there")
    assert value(metrics, "inhouse_replica_ready", **where) is None


def test_the_spool_lag_is_shown(metrics: TraceMetrics) -> None:
    metrics.set_spool_lag(2.5)
    assert b"inhouse_spool_lag_seconds 2.5\n" in metrics.render()


def test_two_agents_in_one_process_do_not_share_counts(make_open: MakeOpen, make_close: MakeClose) -> None:
    first, second = TraceMetrics(), TraceMetrics()
    first.observe([make_open("a"), make_close("a")])
    assert value(first, "inhouse_requests_total", **LABELS) == 1
    assert value(second, "inhouse_requests_total", **LABELS) is None


def test_every_metric_that_is_served_is_listed_and_the_other_way_round(metrics: TraceMetrics) -> None:
    served = {
        family.name + ("_total" if family.type == "counter" else ""): family for family in metrics.registry.collect()
    }
    assert set(served) == set(METRIC_NAMES)
    for name, info in METRIC_NAMES.items():
        assert served[name].documentation == info.help
        assert served[name].type == info.kind.value
        assert info.unit
        assert (info.kind is MetricKind.HISTOGRAM) == bool(info.buckets)
        assert list(info.buckets) == sorted(set(info.buckets))


SIGNALS = {"route": "triage", "variant": "in-house", "replica": "clerk-0"}


def test_signals_are_counted_with_how_often_they_could_be_judged(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    """By route, variant and replica, so that one bad replica shows; an answer without signals counts nowhere."""
    good, cut = Signals(num_chars=10, empty=0, truncated=0), Signals(num_chars=9, longest_run=9, truncated=1)
    for trace_id, signals in (("a", good), ("b", cut), ("c", None)):
        metrics.observe([make_open(trace_id), make_close(trace_id, signals=signals)])
    for name, raised, measured in (("truncated", 1, 2), ("long_run", 1, 2), ("empty", 0, 1), ("invalid_json", 0, 0)):
        assert value(metrics, "inhouse_signals_total", **SIGNALS, signal=name) == raised
        assert value(metrics, "inhouse_signals_measured_total", **SIGNALS, signal=name) == measured


def test_signals_of_evaluations_are_counted_apart(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose
) -> None:
    metrics.observe([make_open("a", is_eval=True), make_close("a", signals=Signals(num_chars=1, empty=1))])
    assert value(metrics, "inhouse_signals_total", **SIGNALS, signal="empty") is None
    assert value(metrics, "inhouse_signals_total", **(SIGNALS | {"route": EVAL_ROUTE}), signal="empty") == 1


def test_the_labels_of_signals_are_bounded(
    metrics: TraceMetrics, make_open: MakeOpen, make_close: MakeClose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas come and go; what comes after the first 500 places is counted together."""
    monkeypatch.setattr("inhouse.telemetry.metrics.MAX_SIGNAL_ORIGINS", 2)
    for number in range(4):
        closed = make_close(str(number), replica_id=f"clerk-{number}", signals=Signals(num_chars=1, empty=1))
        metrics.observe([make_open(str(number)), closed])
    assert value(metrics, "inhouse_signals_total", **(SIGNALS | {"replica": "clerk-1"}), signal="empty") == 1
    assert value(metrics, "inhouse_signals_total", **(SIGNALS | {"replica": "clerk-2"}), signal="empty") is None
    assert value(metrics, "inhouse_signals_total", **dict.fromkeys(SIGNALS, "(other)"), signal="empty") == 2
