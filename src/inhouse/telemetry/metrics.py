"""Prometheus metrics, fed by shipped records and by the host agent. Metrics are derived: the traces are the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from inhouse.domain import USAGE_BUCKETS, TraceClose, TraceOpen, TraceStatus
from inhouse.telemetry.signals import SignalFlag, read_flags

EVAL_ROUTE = "(eval)"
"""`route` label of evaluation traffic, which is never counted as live."""
UNKNOWN_ROUTE = "(unknown)"
"""`route` label of a close whose open cannot be found."""

OTHER = "(other)"
"""Route, variant and replica label of signals beyond the first `MAX_SIGNAL_ORIGINS` places that answers came from."""
MAX_SIGNAL_ORIGINS = 500
"""Triples of route, variant and replica whose signals have labels of their own."""

FindOpens = Callable[[Sequence[str]], Mapping[str, TraceOpen]]
"""Trace ids → their opens, where known."""


class MetricKind(StrEnum):
    """Prometheus types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class MetricInfo(Struct, frozen=True, kw_only=True):
    """What a metric is called on the wire and means. `buckets` are upper bounds of a histogram in its unit."""

    name: str
    kind: MetricKind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


# From a cached prompt on a GPU to a long queue.
_TTFT_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)
# 1,000 tokens per second down to one.
_TPOT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0)
_E2E_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
# The gateway's own work is about 0.1 ms; beyond 10 ms something is wrong.
_OVERHEAD_BUCKETS_S = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5)

_METRICS = (
    MetricInfo(
        name="inhouse_requests_total",
        kind=MetricKind.COUNTER,
        unit="requests",
        help="Ended requests that were sent upstream. Evaluation traffic has route (eval).",
        labels=("route", "variant", "endpoint", "status", "simulated"),
    ),
    MetricInfo(
        name="inhouse_tokens_total",
        kind=MetricKind.COUNTER,
        unit="tokens",
        help="Tokens by usage bucket, where the endpoint's usage is known; evaluation traffic included.",
        labels=("endpoint", "bucket"),
    ),
    MetricInfo(
        name="inhouse_cost_usd_total",
        kind=MetricKind.COUNTER,
        unit="US dollars",
        help="Usage-based cost of priced requests; see inhouse_unpriced_requests_total for the rest.",
        labels=("route", "endpoint"),
    ),
    MetricInfo(
        name="inhouse_unpriced_requests_total",
        kind=MetricKind.COUNTER,
        unit="requests",
        help="Ended requests without a known cost, failed ones left out. They are not free.",
        labels=("endpoint",),
    ),
    MetricInfo(
        name="inhouse_ttft_seconds",
        kind=MetricKind.HISTOGRAM,
        unit="seconds",
        help="Time to first token of completed live streams.",
        labels=("route", "endpoint"),
        buckets=_TTFT_BUCKETS_S,
    ),
    MetricInfo(
        name="inhouse_tpot_seconds",
        kind=MetricKind.HISTOGRAM,
        unit="seconds",
        help="Mean time per output token after the first, of completed live streams.",
        labels=("route", "endpoint"),
        buckets=_TPOT_BUCKETS_S,
    ),
    MetricInfo(
        name="inhouse_e2e_seconds",
        kind=MetricKind.HISTOGRAM,
        unit="seconds",
        help="Whole time of completed live requests.",
        labels=("route", "endpoint"),
        buckets=_E2E_BUCKETS_S,
    ),
    MetricInfo(
        name="inhouse_gateway_overhead_seconds",
        kind=MetricKind.HISTOGRAM,
        unit="seconds",
        help="What the gateway itself took before sending a completed live request upstream.",
        buckets=_OVERHEAD_BUCKETS_S,
    ),
    MetricInfo(
        name="inhouse_signals_total",
        kind=MetricKind.COUNTER,
        unit="answers",
        help="Answers in which a free quality signal was raised; divide by inhouse_signals_measured_total.",
        labels=("route", "variant", "replica", "signal"),
    ),
    MetricInfo(
        name="inhouse_signals_measured_total",
        kind=MetricKind.COUNTER,
        unit="answers",
        help="Answers in which a free quality signal could be judged, raised or not.",
        labels=("route", "variant", "replica", "signal"),
    ),
    MetricInfo(
        name="inhouse_spool_lag_seconds",
        kind=MetricKind.GAUGE,
        unit="seconds",
        help="Age of the oldest trace record on this host that is not in the store yet; 0 where all are.",
    ),
    MetricInfo(
        name="inhouse_replica_ready",
        kind=MetricKind.GAUGE,
        unit="boolean",
        help="1 while a replica of this host may take traffic, else 0.",
        labels=("deployment", "replica"),
    ),
    MetricInfo(
        name="inhouse_replica_restarts_total",
        kind=MetricKind.COUNTER,
        unit="restarts",
        help="Restarts of a deployment's replicas on this host.",
        labels=("deployment",),
    ),
)
METRIC_NAMES: dict[str, MetricInfo] = {metric.name: metric for metric in _METRICS}
"""Every metric by its name on the wire."""


class TraceMetrics:
    """The metrics of one host agent, on a registry of their own.

    Feed it each record once, after it is stored. A counter begins at 0 with the process, as Prometheus expects.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._open: dict[str, TraceOpen] = {}
        self._requests = self._counter("inhouse_requests_total")
        self._tokens = self._counter("inhouse_tokens_total")
        self._cost_usd = self._counter("inhouse_cost_usd_total")
        self._unpriced = self._counter("inhouse_unpriced_requests_total")
        self._ttft_s = self._histogram("inhouse_ttft_seconds")
        self._tpot_s = self._histogram("inhouse_tpot_seconds")
        self._e2e_s = self._histogram("inhouse_e2e_seconds")
        self._overhead_s = self._histogram("inhouse_gateway_overhead_seconds")
        self._signals = self._counter("inhouse_signals_total")
        self._signals_measured = self._counter("inhouse_signals_measured_total")
        self._signal_counters: dict[tuple[str, str, str], dict[SignalFlag, tuple[Counter, Counter]]] = {}
        self._spool_lag_s = self._gauge("inhouse_spool_lag_seconds")
        self._replica_ready = self._gauge("inhouse_replica_ready")
        self._restarts = self._counter("inhouse_replica_restarts_total")

    def observe(self, records: Sequence[TraceOpen | TraceClose], *, find_opens: FindOpens | None = None) -> None:
        """Count records in the order shipped.

        Opens are kept in memory until their close. For closes whose open this process never saw (it was restarted in
        between), `find_opens` is asked once, e.g. with a look-up in the store.
        """
        closes: list[TraceClose] = []
        for record in records:
            if isinstance(record, TraceOpen):
                self._open[record.trace_id] = record
            else:
                closes.append(record)
        missing = [close.trace_id for close in closes if close.trace_id not in self._open]
        found: Mapping[str, TraceOpen] = find_opens(missing) if missing and find_opens is not None else {}
        for close in closes:
            self._observe_close(close, self._open.pop(close.trace_id, None) or found.get(close.trace_id))

    def abort_writer(self, writer: str) -> int:
        """Count the requests that a dead gateway left open as aborted, and forget them; returns how many."""
        lost = [record for record in self._open.values() if record.writer == writer]
        for record in lost:
            del self._open[record.trace_id]
            self._count_request(record, record, TraceStatus.ABORTED)
            self._unpriced.labels(record.endpoint_id).inc()
        return len(lost)

    def set_spool_lag(self, lag_s: float) -> None:
        """Set the age in seconds of the oldest record not shipped yet; 0 where there is none."""
        self._spool_lag_s.set(lag_s)

    def set_replica_ready(self, deployment: str, replica: str, *, is_ready: bool) -> None:
        """Set whether a replica may take traffic."""
        self._replica_ready.labels(deployment, replica).set(1 if is_ready else 0)
        self._restarts.labels(deployment)

    def drop_replica(self, deployment: str, replica: str) -> None:
        """Show a replica no more; one that was never shown is no error."""
        self._replica_ready.labels(deployment, replica)
        self._replica_ready.remove(deployment, replica)

    def count_restart(self, deployment: str) -> None:
        """Count one restart of a replica of this deployment."""
        self._restarts.labels(deployment).inc()

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _observe_close(self, close: TraceClose, opened: TraceOpen | None) -> None:
        route = self._count_request(opened, close, close.status)
        if close.usage is not None:
            for bucket in USAGE_BUCKETS:
                if (number := getattr(close.usage, bucket)) > 0:
                    self._tokens.labels(close.endpoint_id, bucket).inc(number)
        if close.cost_usd is not None:
            self._cost_usd.labels(route, close.endpoint_id).inc(max(0.0, close.cost_usd))
        elif close.status is not TraceStatus.FAILED:
            self._unpriced.labels(close.endpoint_id).inc()
        if close.status is TraceStatus.COMPLETE and route != EVAL_ROUTE:
            self._observe_times(close, route)
        if close.signals is not None:
            counters = self._find_signal_counters(route, close.variant, close.replica_id)
            for flag, is_raised in read_flags(close.signals).items():
                measured, raised = counters[flag]
                measured.inc()
                if is_raised:
                    raised.inc()

    def _find_signal_counters(
        self, route: str, variant: str, replica: str
    ) -> dict[SignalFlag, tuple[Counter, Counter]]:
        """The counters (measured, raised) of each flag for one origin; beyond the bound, those of all others."""
        origin = (route, variant, replica)
        if origin not in self._signal_counters and len(self._signal_counters) >= MAX_SIGNAL_ORIGINS:
            origin = (OTHER, OTHER, OTHER)
        counters = self._signal_counters.get(origin)
        if counters is None:
            counters = self._signal_counters[origin] = {
                flag: (self._signals_measured.labels(*origin, flag.value), self._signals.labels(*origin, flag.value))
                for flag in SignalFlag
            }
        return counters

    def _observe_times(self, close: TraceClose, route: str) -> None:
        labels = (route, close.endpoint_id)
        self._e2e_s.labels(*labels).observe(close.e2e_ms / 1000)
        if close.ttft_ms is not None:
            self._ttft_s.labels(*labels).observe(close.ttft_ms / 1000)
        if close.tpot_ms is not None:
            self._tpot_s.labels(*labels).observe(close.tpot_ms / 1000)
        if close.overhead_ms is not None:
            self._overhead_s.observe(close.overhead_ms / 1000)

    def _count_request(self, opened: TraceOpen | None, last: TraceOpen | TraceClose, status: TraceStatus) -> str:
        """Count one ended request; returns its route label. `last` says where it ended up."""
        route = _label_route(opened)
        simulated = "true" if last.is_simulated else "false"
        self._requests.labels(route, last.variant, last.endpoint_id, status.value, simulated).inc()
        return route

    def _counter(self, name: str) -> Counter:
        info = METRIC_NAMES[name]
        return Counter(name, info.help, info.labels, registry=self.registry)

    def _gauge(self, name: str) -> Gauge:
        info = METRIC_NAMES[name]
        return Gauge(name, info.help, info.labels, registry=self.registry)

    def _histogram(self, name: str) -> Histogram:
        info = METRIC_NAMES[name]
        return Histogram(name, info.help, info.labels, buckets=info.buckets, registry=self.registry)


def _label_route(opened: TraceOpen | None) -> str:
    if opened is None:
        return UNKNOWN_ROUTE
    return EVAL_ROUTE if opened.is_eval else opened.route
