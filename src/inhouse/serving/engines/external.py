"""The adapter of an engine that somebody else runs: an OpenAI-compatible URL. Nothing is launched or measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from inhouse.backends import HttpClient, Timeouts
from inhouse.domain import DigestBasis, DigestField, EndpointError, ErrorCode
from inhouse.serving.engines.contract import (
    Deployment,
    EffectiveConfig,
    LaunchCommand,
    ProbeState,
    ReadinessProbe,
    ReplicaAddress,
)
from inhouse.serving.engines.token_probe import generate_token
from inhouse.serving.weights import WeightsFacts

_OK = 200
_REFUSED = frozenset({401, 403})
_QUICK = Timeouts(connect_s=5.0, first_byte_s=5.0, idle_s=5.0, total_s=5.0)


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class ExternalAdapter:
    """Probes a URL.

    Args:
        client: makes the probes' calls.
        token_deadline_s: the most that generating one token may take.
        keys: what the engine wants to be shown, as of now; none where it asks for none.
    """

    def __init__(
        self, client: HttpClient, *, token_deadline_s: float = 30.0, keys: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self._keys = keys
        self._client = client
        self._token_deadline_s = token_deadline_s

    def launch(self, deployment: Deployment, replica: ReplicaAddress) -> LaunchCommand | None:
        """Nothing: somebody else starts it."""
        del deployment, replica
        return None

    async def probe(self, deployment: Deployment, base_url: str, *, is_deep: bool) -> ReadinessProbe:
        """`/models` must be 200 and name the model where it lists any; with `is_deep` one token must come as well."""
        try:
            answer = await self._client.request("GET", f"{base_url}/models", headers=self._authorize(), timeouts=_QUICK)
        except EndpointError as error:
            is_refused = error.code is ErrorCode.UPSTREAM_UNREACHABLE
            return ReadinessProbe(ProbeState.REFUSED if is_refused else ProbeState.LOADING, f"/models: {error}")
        if answer.status in _REFUSED:
            words = f"/models answers {answer.status}: the engine wants another `api_key`"
            return ReadinessProbe(ProbeState.LOADING, words)
        if answer.status != _OK:
            return ReadinessProbe(ProbeState.LOADING, f"/models answers {answer.status}")
        names = _read_names(answer.body)
        if names and deployment.served_model not in names:
            shown = ", ".join(sorted(names)[:8])
            return ReadinessProbe(
                ProbeState.LOADING,
                f"it serves no model {deployment.served_model!r} (it lists {shown}): set served_model",
            )
        if not is_deep:
            return ReadinessProbe(ProbeState.READY)
        deadline_s, authorization = self._token_deadline_s, self._authorize()
        return await generate_token(self._client, deployment.served_model, base_url, deadline_s, authorization)

    async def effective_config(self, base_url: str) -> EffectiveConfig:
        """Nothing can be read back in a way that holds for every engine."""
        del base_url
        return EffectiveConfig()

    async def read_progress(self, base_url: str) -> int | None:
        """Unknown."""
        del base_url

    def digest_fields(
        self, deployment: Deployment, effective: EffectiveConfig, weights: WeightsFacts | None
    ) -> tuple[DigestField, ...]:
        """All `declared`: the address stands for what is not known."""
        del effective, weights
        settings = deployment.settings
        declared = {
            "engine": "external",
            "model": settings.model or "unknown",
            "quantization": settings.quantization or "unknown",
            "served_model": deployment.served_model,
            "url": settings.url or "",
        }
        return tuple(DigestField(name, value, DigestBasis.DECLARED) for name, value in declared.items())

    def _authorize(self) -> Mapping[str, str]:
        keys = self._keys()
        return {"authorization": f"Bearer {keys[0]}"} if keys else {}


def _read_names(body: bytes) -> set[str]:
    try:
        return {model.id for model in msgspec.json.decode(body, type=_Models).data}
    except msgspec.DecodeError:
        return set()
