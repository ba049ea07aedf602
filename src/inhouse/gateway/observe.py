"""Observe mode: every request passes untouched to one upstream with the caller's own key, and becomes a trace.

No gate, no limit, no retry, no content kept. It fails open: where a record cannot be written, the request passes all
the same. The way back is `gateway/observed.py`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from inhouse.backends import Target, Way, name_pool, parse_target
from inhouse.domain import Candidate, Endpoint, EndpointKind, Observed, Replica, StateError, make_trace_id
from inhouse.gateway.auth import Authenticator
from inhouse.gateway.connection import ClientConnection, Request
from inhouse.gateway.dialects import CLIENT_DIALECTS, ClientDialect
from inhouse.gateway.machine import MachineParts
from inhouse.gateway.observed import HOP_BY_HOP, ObservedCall, read_hop_names
from inhouse.gateway.record import TraceDraft, TraceLabels, TraceSink
from inhouse.gateway.view import ServingView
from inhouse.gateway.why import RecentTraces

MAX_ROUTES = 1024
"""Model names and paths that traces are grouped by; those beyond are `OTHER_ROUTE`: no caller can fill memory."""
OTHER_ROUTE = "(other)"
_VARIANT = "observed"
_MAX_NAME_CHARS = 200
_NOT_SENT = HOP_BY_HOP | {b"host", b"expect"}
_CODING = b"accept-encoding"
"""Does not pass where the reply is metered, so that it comes uncompressed."""
_KEY_HEADERS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
_VERSION = "/v1"
_BODYLESS = ("GET", "HEAD", "DELETE")
_DIALECTS_BY_LENGTH = sorted(CLIENT_DIALECTS.values(), key=lambda dialect: -len(dialect.path))
_log = logging.getLogger("inhouse.gateway")


class _Body(Struct, gc=False):
    model: str | None = None
    stream: bool | None = None


class _Upstream(Struct, frozen=True):
    """The observed API made ready: `path` is what stands before the client's own."""

    observed: Observed
    target: Target
    path: str
    pool: str


_decode_body = msgspec.json.Decoder(_Body).decode


def name_observed_caller(headers: Mapping[bytes, bytes], auth: Authenticator) -> str:
    """A name for whose key a request shows, however it shows it; the key itself is kept nowhere."""
    shown = next((headers[name] for name in _KEY_HEADERS if name in headers), None)
    if shown is not None and shown[:7].lower() == b"bearer ":
        shown = shown[7:].strip()
    return auth.name_caller(shown)


class Observer:
    """Starts observed requests.

    Args:
        parts: what the worker's requests share.
        sink: takes the trace records.
        recent: remembers them.
        writer: name of this gateway life.
    """

    def __init__(self, parts: MachineParts, sink: TraceSink, recent: RecentTraces, writer: str) -> None:
        self._parts = parts
        self._sink = sink
        self._recent = recent
        self._writer = writer
        self._upstream: _Upstream | None = None
        self._endpoints: dict[str, Endpoint] = {}

    def start(self, request: Request, client: ClientConnection, view: ServingView, observed: Observed) -> ObservedCall:
        """Pass one request on."""
        upstream = self._prepare(observed)
        dialect = _find_dialect(request)
        draft = self._open_trace(request, dialect, view, upstream)
        call = ObservedCall(self._parts, client, draft, dialect, is_head=request.method == "HEAD")
        way = Way(upstream.target, observed.network, self._parts.settings.timeouts.connect_s, upstream.pool)
        payload = _build_head(request, upstream, is_metered=dialect is not None) + request.body
        self._parts.client.start(way, payload, call)
        return call

    def _prepare(self, observed: Observed) -> _Upstream:
        upstream = self._upstream
        if upstream is None or upstream.observed is not observed:
            target = parse_target(observed.root_url)
            path = target.path.rstrip("/")
            upstream = self._upstream = _Upstream(observed, target, path, name_pool(target, observed.network))
            self._endpoints.clear()
        return upstream

    def _open_trace(
        self, request: Request, dialect: ClientDialect | None, view: ServingView, upstream: _Upstream
    ) -> TraceDraft:
        asked = _read_body(request.body)
        endpoint, route = self._find_endpoint(_name_route(request, asked.model), upstream.observed)
        now = time.time()
        labels = TraceLabels(
            writer=self._writer,
            route=route,
            key_id=name_observed_caller(request.headers, view.auth),
            team=None,
            task=None,
            user=None,
            tags={} if dialect is not None else {"path": request.path[:_MAX_NAME_CHARS]},
            is_stream=asked.stream is True,
            is_eval=False,
            snapshot_version=view.snapshot.version,
            reasons=(f"observe mode: passed to {upstream.observed.endpoint_id} as it came",),
        )
        trace_id = make_trace_id(int(now * 1000), os.urandom(10))
        draft = TraceDraft(self._sink, self._recent, labels, trace_id, now, request.arrived_at, len(request.body))
        candidate = Candidate(variant=_VARIANT, variant_digest=None, endpoint_id=endpoint.endpoint_id)
        try:
            draft.begin_attempt(candidate, endpoint, endpoint.replicas[0])
        except StateError as error:
            _log.error("an observed request passes without a trace: %s", error)
        return draft

    def _find_endpoint(self, name: str, observed: Observed) -> tuple[Endpoint, str]:
        """The upstream as this model's endpoint, and the route that the trace is grouped by."""
        endpoint = self._endpoints.get(name)
        if endpoint is not None:
            return endpoint, name
        if len(self._endpoints) < MAX_ROUTES:
            endpoint = self._endpoints[name] = _make_endpoint(name, name, observed)
            return endpoint, name
        return _make_endpoint(OTHER_ROUTE, name, observed), OTHER_ROUTE


def _make_endpoint(route: str, model: str, observed: Observed) -> Endpoint:
    name = f"{observed.endpoint_id}/{route.removeprefix('/')}"
    return Endpoint(
        endpoint_id=name,
        kind=EndpointKind.PROVIDER,
        dialect=observed.dialect,
        model=model,
        processor=observed.endpoint_id,
        replicas=(Replica(replica_id=name, base_url=observed.root_url),),
        price=observed.prices.get(model),
        is_simulated=observed.is_simulated,
    )


def _find_dialect(request: Request) -> ClientDialect | None:
    """What a request is metered as; None for all that is only passed.

    Below `/v1` the path must be the operation's own. Elsewhere (Azure's deployments, `/v1beta/openai`) its end decides.
    """
    path = request.path
    if request.method != "POST":
        return None
    if path.startswith(f"{_VERSION}/"):
        return CLIENT_DIALECTS.get(path)
    return next((one for one in _DIALECTS_BY_LENGTH if path.endswith(one.path.removeprefix(_VERSION))), None)


def _name_route(request: Request, model: str | None) -> str:
    """The model that the caller names; without one, the first two parts of the path."""
    name = model or "/".join(request.path.split("/")[:3])
    if not name.isprintable():
        name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return name[:_MAX_NAME_CHARS]


def _read_body(body: bytes) -> _Body:
    """Model and stream of a JSON body; neither of any other."""
    try:
        return _decode_body(body)
    except (ValueError, RecursionError):  # msgspec's errors, and those of bytes that are no UTF-8
        return _Body()


def _build_head(request: Request, upstream: _Upstream, *, is_metered: bool) -> bytes:
    """Every header passes but those of the connection, `host`, and what would hide the reply from the meter."""
    headers = request.headers
    left_out = _NOT_SENT | read_hop_names(headers)
    if is_metered:
        left_out |= {_CODING}
    target = f"{upstream.path}{request.target}"
    lines = [f"{request.method} {target} HTTP/1.1\r\nhost: {upstream.target.host_header}\r\n".encode("latin-1")]
    lines += [b"%b: %b\r\n" % (name, value) for name, value in headers.items() if name not in left_out]
    if request.body or request.method not in _BODYLESS:
        lines.append(b"content-length: %d\r\n" % len(request.body))
    return b"".join((*lines, b"\r\n"))
