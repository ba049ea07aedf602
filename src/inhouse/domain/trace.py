"""The record of one request: an `open` before anything leaves, a `close` before the last byte is delivered."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from inhouse.domain.signals import Signals
from inhouse.domain.usage import Usage, UsageBasis


class TraceStatus(StrEnum):
    """How a request ended.

    `open` is not an end: it is a request under way. `aborted` ended after the first byte went to the client, or lost
    its gateway. `client_closed`: the client left first. `failed`: an error was answered, nothing was committed.
    """

    OPEN = "open"
    COMPLETE = "complete"
    FAILED = "failed"
    ABORTED = "aborted"
    CLIENT_CLOSED = "client_closed"


class Attempt(Struct, frozen=True, omit_defaults=True, gc=False):
    """One try at one replica; `duration_ms` from send to its end.

    Where it failed, `code` is the error code and `message` says which deadline, limit or fault it was.
    """

    endpoint_id: str
    replica_id: str
    duration_ms: float
    code: str | None = None
    status: int | None = None
    message: str | None = None


class TraceOpen(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="open", tag_field="kind", gc=False):
    """Written with write(2) before the request is sent upstream.

    `started_at` is Unix seconds. `writer` identifies one life of one gateway worker: when its spool lock is free,
    its unmatched opens become `aborted`.
    """

    trace_id: str
    writer: str
    started_at: float
    route: str
    variant: str
    endpoint_id: str
    replica_id: str
    key_id: str
    team: str | None = None
    task: str | None = None
    user: str | None = None
    tags: dict[str, str] = {}
    is_stream: bool = False
    is_eval: bool = False
    is_simulated: bool = False
    variant_digest: str | None = None
    endpoint_digest: str | None = None
    snapshot_version: int = 0
    reasons: tuple[str, ...] = ()


class TraceClose(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="close", tag_field="kind", gc=False):
    """Written before the last byte of the reply is delivered.

    Variant, endpoint and replica stand again because a fallback may have changed them since the open.
    Times in milliseconds from the arrival of the request's last byte: `ttft_ms` first content token (streams only),
    `e2e_ms` the whole request, `overhead_ms` what of it the gateway itself took before sending upstream.
    `tpot_ms` is the mean time per output token after the first (streams of two tokens or more).
    `cost_usd` None is `unpriced`, never free.
    """

    trace_id: str
    writer: str
    ended_at: float
    status: TraceStatus
    http_status: int
    variant: str
    endpoint_id: str
    replica_id: str
    variant_digest: str | None = None
    endpoint_digest: str | None = None
    is_simulated: bool = False
    error_code: str | None = None
    finish_reason: str | None = None
    reported_model: str | None = None
    fingerprint: str | None = None
    usage: Usage | None = None
    usage_basis: UsageBasis = UsageBasis.UNKNOWN
    tier: str | None = None
    """The tariff that the reply named, where it is another than the standard one."""
    cost_usd: float | None = None
    price_id: str | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2e_ms: float
    overhead_ms: float | None = None
    num_chunks: int | None = None
    attempts: tuple[Attempt, ...] = ()
    content: dict[str, str] | None = None
    """Captured content, only where the route says so: `hash` → sha256 values, `sampled`/`full` → the text itself."""
    signals: Signals | None = None
    """Free quality signals; None where there was no answer to measure, or measuring is off."""


class Trace(Struct, frozen=True, kw_only=True):
    """The joined record as the store returns it. `close` is None while the request is under way.

    A request whose writer died carries a close made by the agent: status `aborted`, code `gateway_lost`.
    """

    open: TraceOpen
    close: TraceClose | None

    @property
    def status(self) -> TraceStatus:
        """`open` until there is a close."""
        return TraceStatus.OPEN if self.close is None else self.close.status
