"""What the status page and `/api/status` show, put together from what is known. Pure: reads no store, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from inhouse.control.reconciler import ObservedState
from inhouse.domain import Endpoint, EndpointKind, ReplicaState, Route, Snapshot, TraceStatus, Variant
from inhouse.store import Quantiles, ReplicaRow, TraceSummary, TraceSummaryRow

WINDOW_S = 900.0
"""Traffic is shown over the last fifteen minutes."""

_ERRORS = (TraceStatus.FAILED, TraceStatus.ABORTED)


class GatewayWorkerStatus(Struct, frozen=True, kw_only=True):
    """A live gateway worker of this host, known by its locked spool; `started_at` in Unix seconds."""

    worker: str
    started_at: float
    pid: int


class SpoolStatus(Struct, frozen=True, kw_only=True):
    """Trace records on this host's disk that have not reached the store."""

    num_files: int
    lag_bytes: int


class StoreStatus(Struct, frozen=True, kw_only=True):
    """Whether the store answers, and in words why not."""

    is_up: bool
    problem: str | None


class SnapshotStatus(Struct, frozen=True, kw_only=True):
    """The snapshot in place. `observing` is observe mode's upstream; None outside of it."""

    version: int
    created_at: float
    age_s: float
    num_keys: int
    is_open: bool
    observing: str | None = None


class ReplicaStatus(Struct, frozen=True, kw_only=True):
    """A replica as its agent last saw it. `misfit` says why it takes no traffic although it runs.

    `since` is when control first saw it in this state as this process; a control that started later saw it later.
    """

    replica_id: str
    deployment: str
    host_id: str
    base_url: str
    state: ReplicaState
    digest: str | None
    pid: int | None
    num_restarts: int
    updated_at: float
    since: float | None
    detail: str
    misfit: str | None


class Traffic(Struct, frozen=True, kw_only=True):
    """Live requests of the window. Shares and rates are None where nothing is there to divide by.

    `error_rate` counts failed and aborted requests over ended ones. `cost_usd` sums priced requests only; None where
    nothing is priced, and `num_unpriced` says how many it leaves out.
    """

    num_requests: int = 0
    num_under_way: int = 0
    num_errors: int = 0
    share: float | None = None
    error_rate: float | None = None
    ttft: Quantiles = Quantiles(n=0)
    tpot: Quantiles = Quantiles(n=0)
    e2e: Quantiles = Quantiles(n=0)
    num_tokens_in: int = 0
    num_tokens_out: int = 0
    cost_usd: Decimal | None = None
    num_unpriced: int = 0


class TaskShare(Struct, frozen=True, kw_only=True):
    """How many of a variant's requests named a task; None for those that named none."""

    task: str | None
    num_requests: int


class VariantStatus(Struct, frozen=True, kw_only=True):
    """A variant with its endpoint and its traffic.

    `role` says when it serves. `is_configured` False: it had traffic in the window and is no longer in the file.
    """

    name: str
    role: str
    endpoint_id: str
    kind: EndpointKind | None
    model: str | None
    processor: str | None
    digest: str | None
    endpoint_digest: str | None
    is_simulated: bool
    is_priced: bool
    is_configured: bool
    num_ready: int
    num_replicas: int
    tasks: tuple[TaskShare, ...]
    traffic: Traffic


class RouteStatus(Struct, frozen=True, kw_only=True):
    """A route with its variants, those with no traffic too."""

    name: str
    data_class: str | None
    is_configured: bool
    num_requests: int
    variants: tuple[VariantStatus, ...]


class Status(Struct, frozen=True, kw_only=True):
    """Everything at a glance. Times are Unix seconds.

    `traffic_problem` is set, and every `traffic` empty, where the store could not be asked.
    """

    product_version: str
    now: float
    started_at: float
    pid: int
    gateway_url: str
    gateway_workers: tuple[GatewayWorkerStatus, ...] | None
    store: StoreStatus
    spool: SpoolStatus | None
    snapshot: SnapshotStatus | None
    snapshot_problem: str | None
    window_s: float
    traffic_problem: str | None
    routes: tuple[RouteStatus, ...]
    replicas: tuple[ReplicaStatus, ...]


def describe_snapshot(snapshot: Snapshot | None, now: float) -> SnapshotStatus | None:
    """The snapshot in place; None before the first."""
    if snapshot is None:
        return None
    return SnapshotStatus(
        version=snapshot.version,
        created_at=snapshot.created_at,
        age_s=max(0.0, now - snapshot.created_at),
        num_keys=sum(not key.is_eval for key in snapshot.keys),
        is_open=snapshot.is_open,
        observing=None if snapshot.observed is None else snapshot.observed.root_url,
    )


def describe_replicas(observed: ObservedState) -> tuple[ReplicaStatus, ...]:
    """Every replica of the store, in the order of deployments and ids."""
    misfits = {misfit.replica_id: str(misfit) for misfit in observed.misfits}
    return tuple(
        _describe_replica(row, misfits.get(row.replica_id), observed.since.get(row.replica_id))
        for row in observed.replicas
    )


def describe_routes(
    snapshot: Snapshot | None, by_variant: TraceSummary | None, by_task: TraceSummary | None
) -> tuple[RouteStatus, ...]:
    """Every route of the snapshot with its traffic, then those that only have traffic left.

    Args:
        snapshot: the one in place; None before the first.
        by_variant: summary whose rows name no task (exact quantiles for a variant).
        by_task: summary with a row per task, for the counts.
    """
    routes = snapshot.routes if snapshot else {}
    rows = by_variant.rows if by_variant else ()
    names = [*sorted(routes), *sorted({row.route for row in rows} - set(routes))]
    return tuple(
        _describe_route(
            name,
            snapshot,
            [row for row in rows if row.route == name],
            [row for row in (by_task.rows if by_task else ()) if row.route == name],
        )
        for name in names
    )


def _describe_replica(row: ReplicaRow, misfit: str | None, since: float | None) -> ReplicaStatus:
    return ReplicaStatus(
        replica_id=row.replica_id,
        deployment=row.deployment,
        host_id=row.host_id,
        base_url=strip_userinfo(row.base_url),
        state=row.state,
        digest=row.digest,
        pid=row.pid,
        num_restarts=row.num_restarts,
        updated_at=row.updated_at,
        since=since,
        detail=row.detail,
        misfit=misfit,
    )


def strip_userinfo(url: str) -> str:
    """An address without the user and password that it may hold."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _describe_route(
    name: str, snapshot: Snapshot | None, rows: Sequence[TraceSummaryRow], task_rows: Sequence[TraceSummaryRow]
) -> RouteStatus:
    route = snapshot.routes.get(name) if snapshot else None
    num_requests = sum(row.num_requests for row in rows)
    left = list(rows)
    variants: list[VariantStatus] = []
    if route is not None and snapshot is not None:
        for variant in route.variants:
            endpoint = snapshot.endpoints[variant.endpoint_id]
            mine = next((row for row in left if _is_of(row, variant.name, endpoint)), None)
            if mine is not None:
                left.remove(mine)
            traffic = _describe_traffic(mine, num_requests)
            tasks = _list_tasks(task_rows, variant.name, endpoint.endpoint_id, is_simulated=endpoint.is_simulated)
            variants.append(_describe_variant(route, variant, endpoint, traffic, tasks))
    variants += [_describe_past(row, num_requests, task_rows) for row in left]
    return RouteStatus(
        name=name,
        data_class=route.data_class if route else None,
        is_configured=route is not None,
        num_requests=num_requests,
        variants=tuple(variants),
    )


def _is_of(row: TraceSummaryRow, variant: str, endpoint: Endpoint) -> bool:
    return (row.variant, row.endpoint_id, row.is_simulated) == (variant, endpoint.endpoint_id, endpoint.is_simulated)


def _describe_variant(
    route: Route, variant: Variant, endpoint: Endpoint, traffic: Traffic, tasks: tuple[TaskShare, ...]
) -> VariantStatus:
    return VariantStatus(
        name=variant.name,
        role=_describe_role(route, variant.name),
        endpoint_id=endpoint.endpoint_id,
        kind=endpoint.kind,
        model=endpoint.model,
        processor=endpoint.processor,
        digest=variant.digest,
        endpoint_digest=endpoint.digest,
        is_simulated=endpoint.is_simulated,
        is_priced=endpoint.price is not None,
        is_configured=True,
        num_ready=sum(replica.state is ReplicaState.READY for replica in endpoint.replicas),
        num_replicas=len(endpoint.replicas),
        tasks=tasks,
        traffic=traffic,
    )


def _describe_past(row: TraceSummaryRow, num_requests: int, task_rows: Sequence[TraceSummaryRow]) -> VariantStatus:
    """A variant that had traffic in the window and is no longer configured like that."""
    return VariantStatus(
        name=row.variant,
        role="no longer configured",
        endpoint_id=row.endpoint_id,
        kind=None,
        model=None,
        processor=None,
        digest=None,
        endpoint_digest=None,
        is_simulated=row.is_simulated,
        is_priced=row.num_priced > 0,
        is_configured=False,
        num_ready=0,
        num_replicas=0,
        tasks=_list_tasks(task_rows, row.variant, row.endpoint_id, is_simulated=row.is_simulated),
        traffic=_describe_traffic(row, num_requests),
    )


def _describe_role(route: Route, variant: str) -> str:
    """When a variant serves, in words: `default`, `task reasoning`, `2nd fallback`, `evaluations only`."""
    roles = ["default"] if route.default == variant else []
    for rule in route.rules:
        if rule.use == variant:
            conditions = [f"task {rule.task}"] if rule.task is not None else []
            conditions += [f"modality {rule.modality.value}"] if rule.modality is not None else []
            conditions += [f"{rule.header[0]}: {rule.header[1]}"] if rule.header is not None else []
            roles.append(" and ".join(conditions) or "any request")
    if variant in route.fallback:
        rank = route.fallback.index(variant) + 1
        roles.append("fallback" if len(route.fallback) == 1 else f"fallback {rank}")
    return ", ".join(roles) or "evaluations only"


def _describe_traffic(row: TraceSummaryRow | None, num_route_requests: int) -> Traffic:
    if row is None:
        return Traffic(share=0.0 if num_route_requests else None)
    num_under_way = row.num_by_status.get(TraceStatus.OPEN, 0)
    num_errors = sum(row.num_by_status.get(status, 0) for status in _ERRORS)
    num_ended = row.num_requests - num_under_way
    return Traffic(
        num_requests=row.num_requests,
        num_under_way=num_under_way,
        num_errors=num_errors,
        share=row.num_requests / num_route_requests,
        error_rate=num_errors / num_ended if num_ended else None,
        ttft=row.ttft,
        tpot=row.tpot,
        e2e=row.e2e,
        num_tokens_in=row.tokens.input_total,
        num_tokens_out=row.tokens.output_total,
        cost_usd=row.cost_usd,
        num_unpriced=row.num_unpriced,
    )


def _list_tasks(
    rows: Sequence[TraceSummaryRow], variant: str, endpoint_id: str, *, is_simulated: bool
) -> tuple[TaskShare, ...]:
    mine = [
        TaskShare(task=row.task, num_requests=row.num_requests)
        for row in rows
        if (row.variant, row.endpoint_id, row.is_simulated) == (variant, endpoint_id, is_simulated)
    ]
    return tuple(sorted(mine, key=lambda share: (-share.num_requests, share.task or "")))
