"""The snapshot compiler: configuration + replica rows + prices → one frozen Snapshot. Pure; `now` is passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec

from inhouse.backends.credentials import name_deployment_credential, name_provider_credential
from inhouse.backends.quirks import native_operations
from inhouse.backends.settings import ObserveSettings, ProviderSettings
from inhouse.catalog import PriceBook
from inhouse.control.observe import compile_observed
from inhouse.control.outbound import (
    build_deployment_network,
    build_provider_network,
    build_provider_replicas,
    choose_auth,
    choose_engine,
    choose_operations,
    choose_provider_engine,
)
from inhouse.control.pricing import price_deployment, price_provider_model
from inhouse.domain import (
    OWN_PROCESSOR,
    ApiKey,
    DataClass,
    Dialect,
    DigestBasis,
    DigestField,
    EgressPolicy,
    Endpoint,
    EndpointKind,
    Observed,
    Replica,
    ReplicaState,
    Route,
    Rule,
    Snapshot,
    Variant,
    compute_digest,
    digest_variant,
)
from inhouse.routing.settings import RouteSettings
from inhouse.serving.settings import DeploymentSettings
from inhouse.store import ReplicaRow


@dataclass(frozen=True, slots=True)
class CompileInputs:
    """Everything that a snapshot is made from.

    Args:
        data_classes: name → processors that may see the class.
        keys: client keys as keyed hashes, the eval key among them.
        is_open: no client keys are configured and the data port is loopback-only.
        replicas: the store's rows, of every deployment and host.
        provider_urls: base URLs of the simulated providers that `up` started, by provider.
        observe: observe mode's one upstream; None outside of it.
        version: of the snapshot to make; only ever grows.
        now: Unix seconds; becomes `created_at` and decides which dated prices apply.
    """

    routes: Mapping[str, RouteSettings]
    deployments: Mapping[str, DeploymentSettings]
    providers: Mapping[str, ProviderSettings]
    data_classes: Mapping[str, frozenset[str]]
    keys: Sequence[ApiKey]
    is_open: bool
    replicas: Sequence[ReplicaRow]
    price_book: PriceBook
    provider_urls: Mapping[str, str]
    version: int
    now: float
    observe: ObserveSettings | None = None


@dataclass(frozen=True, slots=True)
class Misfit:
    """A replica that is left out of the snapshot, because it is not the revision that its deployment serves."""

    replica_id: str
    deployment: str
    digest: str | None
    deployment_digest: str

    def __str__(self) -> str:
        found = f"has digest {_short(self.digest)}" if self.digest else "is ready without a digest"
        return (
            f"replica {self.replica_id} of {self.deployment} {found}, its deployment serves "
            f"{_short(self.deployment_digest)}: it takes no traffic"
        )


def compile_snapshot(inputs: CompileInputs) -> Snapshot:
    """Compile one snapshot.

    References must have been checked (`check_references`): a variant of an unknown endpoint raises KeyError.
    """
    endpoints = compile_endpoints(inputs)
    routes = {name: _compile_route(name, settings, endpoints) for name, settings in sorted(inputs.routes.items())}
    classes = tuple(DataClass(name, processors) for name, processors in sorted(inputs.data_classes.items()))
    return Snapshot(
        version=inputs.version,
        created_at=inputs.now,
        routes=routes,
        endpoints=endpoints,
        keys=tuple(sorted(inputs.keys, key=lambda key: key.key_id)),
        egress=EgressPolicy(classes),
        is_open=inputs.is_open,
        observed=_compile_observed(inputs),
    )


def _compile_observed(inputs: CompileInputs) -> Observed | None:
    if inputs.observe is None:
        return None
    return compile_observed(inputs.observe, inputs.price_book, date_of(inputs.now))


def compile_endpoints(inputs: CompileInputs) -> dict[str, Endpoint]:
    """Every deployment and provider model as an endpoint, in the order of their ids."""
    own = [_compile_deployment(name, settings, inputs) for name, settings in inputs.deployments.items()]
    bought = [
        _compile_provider_model(name, model, settings, inputs)
        for name, settings in inputs.providers.items()
        for model in settings.models
    ]
    return {endpoint.endpoint_id: endpoint for endpoint in sorted([*own, *bought], key=lambda e: e.endpoint_id)}


def find_misfits(replicas: Sequence[ReplicaRow]) -> list[Misfit]:
    """The replicas that `compile_snapshot` leaves out, in the order of their ids."""
    found: list[Misfit] = []
    for deployment in sorted({row.deployment for row in replicas}):
        rows = [row for row in replicas if row.deployment == deployment]
        digest = _choose_digest(rows)
        if digest is not None:
            found += [
                Misfit(row.replica_id, deployment, row.digest, digest)
                for row in sorted(rows, key=lambda row: row.replica_id)
                if not _fits(row, digest)
            ]
    return found


def is_same_content(one: Snapshot | None, other: Snapshot) -> bool:
    """Whether two snapshots say the same, version and time of making aside."""
    return one is not None and msgspec.structs.replace(one, version=0, created_at=0.0) == msgspec.structs.replace(
        other, version=0, created_at=0.0
    )


def date_of(now: float) -> date:
    """The day (UTC) of a Unix second, for dated prices."""
    return datetime.fromtimestamp(now, UTC).date()


def recall_replicas(snapshot: Snapshot) -> list[ReplicaRow]:
    """Replica rows as an earlier snapshot knew them, for a start while the store is down."""
    return [
        ReplicaRow(
            replica_id=replica.replica_id,
            deployment=endpoint.endpoint_id,
            host_id="",
            base_url=replica.base_url,
            state=replica.state,
            digest=endpoint.digest,
            updated_at=snapshot.created_at,
        )
        for endpoint in snapshot.endpoints.values()
        if endpoint.kind is EndpointKind.OWN
        for replica in endpoint.replicas
    ]


def _compile_deployment(name: str, settings: DeploymentSettings, inputs: CompileInputs) -> Endpoint:
    rows = sorted((row for row in inputs.replicas if row.deployment == name), key=lambda row: row.replica_id)
    digest = _choose_digest(rows)
    return Endpoint(
        endpoint_id=name,
        kind=EndpointKind.OWN,
        dialect=Dialect.OPENAI,
        model=settings.served_model or name,
        processor=OWN_PROCESSOR,
        replicas=tuple(
            Replica(replica_id=row.replica_id, base_url=row.base_url.rstrip("/"), state=row.state)
            for row in rows
            if _fits(row, digest)
        ),
        credential=name_deployment_credential(name) if settings.api_key else None,
        digest=digest,
        price=price_deployment(name, settings, inputs.price_book, date_of(inputs.now)),
        engine=choose_engine(settings),
        operations=native_operations(Dialect.OPENAI, choose_engine(settings)),
        network=build_deployment_network(settings),
    )


def _choose_digest(rows: Sequence[ReplicaRow]) -> str | None:
    """The digest that most replicas have, those that serve counting first; a tie goes to the first replica id."""
    ordered = sorted(rows, key=lambda row: row.replica_id)
    serving = [row.digest for row in ordered if row.digest and row.state in _SERVING]
    votes = serving or [row.digest for row in ordered if row.digest]
    return Counter(votes).most_common(1)[0][0] if votes else None


_SERVING = frozenset({ReplicaState.READY, ReplicaState.DRAINING})


def _fits(row: ReplicaRow, digest: str | None) -> bool:
    """Whether a replica may stand in the snapshot: it is the revision served, or it does not serve yet."""
    return digest is None or row.digest == digest or (row.digest is None and row.state not in _SERVING)


def _compile_provider_model(name: str, model: str, settings: ProviderSettings, inputs: CompileInputs) -> Endpoint:
    endpoint_id = f"{name}/{model}"
    chosen = settings.models[model]
    return Endpoint(
        endpoint_id=endpoint_id,
        kind=EndpointKind.PROVIDER,
        dialect=settings.dialect,
        model=chosen.upstream_model or model,
        processor=name,
        replicas=build_provider_replicas(name, endpoint_id, settings, inputs.provider_urls),
        credential=name_provider_credential(name) if settings.api_key else None,
        digest=_digest_provider_model(name, model, settings),
        price=price_provider_model(name, model, settings, inputs.price_book, date_of(inputs.now)),
        modalities=chosen.modalities,
        is_simulated=settings.simulated is not None,
        engine=choose_provider_engine(settings),
        operations=choose_operations(settings),
        auth=choose_auth(settings),
        api_version=settings.api_version,
        network=build_provider_network(settings),
    )


def _digest_provider_model(name: str, model: str, settings: ProviderSettings) -> str:
    """Digest of what is asked for. What the provider reports is an observation, kept in traces, never hashed.

    A simulated provider's address changes from start to start, so its parameters stand in the address's place. Regions
    and the API's version are part of it: another deployment of the "same" model may answer there.
    """
    facts = {
        "provider": name,
        "dialect": settings.dialect.value,
        "model": settings.models[model].upstream_model or model,
    }
    if settings.simulated:
        facts |= {f"simulated.{key}": str(value) for key, value in settings.simulated.model_dump().items()}
    else:
        facts["base_url"] = (settings.base_url or "").rstrip("/")
        facts |= {f"region.{region}": chosen.base_url.rstrip("/") for region, chosen in settings.regions.items()}
    if settings.api_version is not None:
        facts["api_version"] = settings.api_version
    fields = tuple(DigestField(key, value, DigestBasis.DECLARED) for key, value in facts.items())
    return compute_digest("provider_model", fields).value


def _compile_route(name: str, settings: RouteSettings, endpoints: Mapping[str, Endpoint]) -> Route:
    share = settings.capture.share
    return Route(
        name=name,
        data_class=settings.data_class,
        variants=tuple(
            _compile_variant(variant, endpoints[chosen.endpoint]) for variant, chosen in settings.variants.items()
        ),
        default=settings.use.default,
        rules=tuple(
            Rule(
                use=rule.use,
                task=rule.task,
                modality=rule.modality,
                header=_lower_header(rule.header) if rule.header else None,
            )
            for rule in settings.use.when
        ),
        fallback=settings.fallback,
        capture=settings.capture.content,
        capture_share=float(share) if share is not None else 0.0,
        fallback_on=settings.fallback_on,
        is_buffered=settings.buffered,
    )


def _compile_variant(name: str, endpoint: Endpoint) -> Variant:
    digest = digest_variant(endpoint.digest).value if endpoint.digest else None
    return Variant(name=name, endpoint_id=endpoint.endpoint_id, digest=digest)


def _lower_header(header: Mapping[str, str]) -> tuple[str, str]:
    ((name, value),) = header.items()
    return name.lower(), value


def _short(digest: str | None) -> str:
    return (digest or "").removeprefix("sha256:")[:12]
