"""Serves `/metrics` in Prometheus' text format on loopback, from a thread of its own. Collects nothing itself."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import start_http_server

from inhouse.serving.ports import LOOPBACK
from inhouse.telemetry import TraceMetrics

_LOG = logging.getLogger(__name__)


@contextmanager
def serve_metrics(metrics: TraceMetrics, port: int) -> Generator[int | None]:
    """Serve while the block runs; gives the port, or None where it is taken: metrics are never worth the engines.

    Args:
        metrics: whose registry is shown.
        port: loopback port; 0 picks a free one.
    """
    try:
        server, thread = start_http_server(port, addr=LOOPBACK, registry=metrics.registry)
    except OSError as error:
        _LOG.error("no metrics on %s:%d: %s", LOOPBACK, port, error.strerror)
        yield None
        return
    try:
        bound = int(server.server_port)
        _LOG.info("metrics on http://%s:%d/metrics", LOOPBACK, bound)
        yield bound
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
