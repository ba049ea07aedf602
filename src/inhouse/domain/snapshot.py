"""The frozen, versioned snapshot that the gateway serves from. Compiled by control, swapped whole, holds no secrets."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from inhouse.domain.egress import EgressPolicy
from inhouse.domain.usage import PriceVector


class EndpointKind(StrEnum):
    """Own machines or a company's API."""

    OWN = "own"
    PROVIDER = "provider"


class Dialect(StrEnum):
    """Wire dialects that a backend speaks upstream."""

    OPENAI = "openai"
    """OpenAI-compatible: OpenAI itself, every engine, hosted open models."""
    AZURE_OPENAI = "azure_openai"
    """OpenAI's bodies under Azure's deployment addresses."""
    ANTHROPIC = "anthropic"
    """Anthropic's Messages API."""


class Operation(StrEnum):
    """What a client calls on the data port, and what an endpoint may offer natively."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"


class EngineKind(StrEnum):
    """Which server answers behind an OpenAI-compatible address; its quirks differ."""

    GENERIC = "generic"
    OPENAI = "openai"
    """OpenAI's own API."""
    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"
    TENSORRT_LLM = "tensorrt_llm"
    LLAMACPP = "llamacpp"
    OLLAMA = "ollama"


class AuthScheme(StrEnum):
    """How a key is shown to an endpoint."""

    BEARER = "bearer"
    """`authorization: Bearer KEY` (OpenAI-compatible; Azure with an Entra token)."""
    API_KEY = "api_key"
    """`api-key: KEY` (Azure OpenAI)."""
    X_API_KEY = "x_api_key"
    """`x-api-key: KEY` (Anthropic)."""


class FallbackCause(StrEnum):
    """Endings that are an answer, not a fault: they fall back only where the route says so."""

    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"


class Modality(StrEnum):
    """What a request carries, or an endpoint accepts."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    FILE = "file"


class ReplicaState(StrEnum):
    """Life of a replica as the host agent sees it."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    DOWN = "down"


class Replica(Struct, frozen=True, kw_only=True):
    """One running engine process, or the single address of a provider.

    `base_url` is the root under which the dialect's paths stand (for OpenAI: `…/v1`), without a trailing slash.
    """

    replica_id: str
    base_url: str
    state: ReplicaState = ReplicaState.READY
    credential: str | None = None
    """Name of this address's own keys (a region with keys of its own); None: the endpoint's."""


class Network(Struct, frozen=True, kw_only=True):
    """How connections to an endpoint are made. Paths are files on the gateway's host; nothing here is secret.

    `proxy` is an http:// URL of a proxy that takes CONNECT, `none` for a direct connection, or None: as the
    environment says. `ca_file` replaces the
    system's authorities. `client_cert_file` and `client_key_file` are shown to an engine that asks for them (mTLS).
    `is_declared_private`: the address may be loopback or private (own deployments, and providers that say so).
    """

    proxy: str | None = None
    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    is_declared_private: bool = False


class Endpoint(Struct, frozen=True, kw_only=True):
    """A deployment's replica group, or a provider's model: what a variant calls.

    Args:
        endpoint_id: `clerk` for a deployment, `openai/gpt-mid` for a provider's model.
        model: the model name written into the upstream request.
        processor: `own`, or the provider's name; what the egress policy is asked about.
        credential: name under which the gateway holds the API key; None where none is needed.
        digest: deployment digest, or digest of the pinned provider model; None until known.
        price: None means `unpriced`, never zero.
        is_simulated: True where the answers are simulated; shown wherever a user sees it.
        engine: which OpenAI-compatible server it is, for its quirks.
        operations: what it offers natively; anything else must be translated or refused.
        auth: how its key is shown.
        api_version: `api-version` of Azure, `anthropic-version` of Anthropic; None: the dialect's default.
        network: how connections to it are made.
    """

    endpoint_id: str
    kind: EndpointKind
    dialect: Dialect
    model: str
    processor: str
    replicas: tuple[Replica, ...]
    credential: str | None = None
    digest: str | None = None
    price: PriceVector | None = None
    modalities: frozenset[Modality] = frozenset({Modality.TEXT})
    is_simulated: bool = False
    engine: EngineKind = EngineKind.GENERIC
    operations: frozenset[Operation] = frozenset({Operation.CHAT, Operation.COMPLETIONS, Operation.EMBEDDINGS})
    auth: AuthScheme = AuthScheme.BEARER
    api_version: str | None = None
    network: Network = Network()


class Variant(Struct, frozen=True, kw_only=True):
    """One concrete choice on a route: endpoint (+ template + sampling + hooks, none yet). `digest` covers them all."""

    name: str
    endpoint_id: str
    digest: str | None = None


class Rule(Struct, frozen=True, kw_only=True):
    """`when` line of a route: the first rule whose every given condition holds picks `use`.

    Conditions left None are not asked. `header` is (lower-case name, value).
    """

    use: str
    task: str | None = None
    modality: Modality | None = None
    header: tuple[str, str] | None = None


class CaptureMode(StrEnum):
    """How much content of a route is kept."""

    NONE = "none"
    HASH = "hash"
    SAMPLED = "sampled"
    FULL = "full"


class Route(Struct, frozen=True, kw_only=True):
    """The public model name that a client sends, and how its requests are decided.

    `fallback` names variants tried in order when the chosen one fails before the commit point.
    `capture_share` is the share of requests whose content is kept under `sampled` (0..1).
    """

    name: str
    data_class: str
    variants: tuple[Variant, ...]
    default: str
    rules: tuple[Rule, ...] = ()
    fallback: tuple[str, ...] = ()
    capture: CaptureMode = CaptureMode.NONE
    capture_share: float = 0.0
    fallback_on: frozenset[FallbackCause] = frozenset()
    """Answers of these kinds fall back too; faults, limits of context and missing capability always do."""
    is_buffered: bool = False
    """Hold every answer until it is complete, so that fallback still works after the endpoint's first byte."""

    def variant(self, name: str) -> Variant:
        """The variant called `name`; KeyError where the route has none."""
        for candidate in self.variants:
            if candidate.name == name:
                return candidate
        raise KeyError(name)


class ApiKey(Struct, frozen=True, kw_only=True):
    """A client key as the gateway knows it: only its keyed hash.

    `key_hash` is hex HMAC-SHA256 of the token under the installation's pepper. `routes` None means every route.
    `is_eval` keys may pin an endpoint, and their traffic is never counted as live.
    """

    key_id: str
    key_hash: str
    team: str | None = None
    routes: frozenset[str] | None = None
    is_eval: bool = False


class Observed(Struct, frozen=True, kw_only=True):
    """The one upstream that observe mode passes everything to.

    `prices` are by model name; what is not there is unpriced. `root_url` is the API's address without `/v1`: the path
    and query of the client are put behind it.
    """

    endpoint_id: str
    root_url: str
    dialect: Dialect = Dialect.OPENAI
    network: Network = Network()
    prices: dict[str, PriceVector] = {}
    is_simulated: bool = False


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything that the data plane needs to decide, in one frozen object. `version` only grows."""

    version: int
    created_at: float
    routes: dict[str, Route]
    endpoints: dict[str, Endpoint]
    keys: tuple[ApiKey, ...]
    egress: EgressPolicy
    is_open: bool = False
    """True where no keys are configured and the data port is loopback-only: requests need no key."""
    observed: Observed | None = None
    """Set in observe mode: every request passes there as it came, and routes and keys play no part."""
