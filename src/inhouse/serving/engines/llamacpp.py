"""The embedded engine's adapter: launch line of `embedded_engine`, probes and read-back of llama.cpp's server."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from typing import cast

import msgspec

from inhouse.backends import HttpClient, Response, Timeouts
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
from inhouse.serving.weights import WeightsFacts, hash_text

_OK = 200
_PROGRESS_METRIC = b"llamacpp:n_decode_total "

# The defaults that decide an answer where a request leaves them out. llama.cpp's differ from OpenAI's (temperature
# 0.8), and from version to version.
_SAMPLING_KEYS = (
    "samplers", "temperature", "dynatemp_range", "dynatemp_exponent", "top_k", "top_p", "min_p", "top_n_sigma",
    "xtc_probability", "xtc_threshold", "typical_p", "repeat_last_n", "repeat_penalty", "presence_penalty",
    "frequency_penalty", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "mirostat",
    "mirostat_tau", "mirostat_eta", "max_tokens", "reasoning_format",
)  # fmt: skip


class LlamacppAdapter:
    """Runs `inhouse.serving.embedded_engine`.

    Args:
        client: makes the probes' calls; it should keep no idle connections, so that each probe proves a new one.
        token_deadline_s: the most that generating one token may take.
        health_deadline_s: the most that any other answer may take.
    """

    def __init__(self, client: HttpClient, *, token_deadline_s: float = 10.0, health_deadline_s: float = 3.0) -> None:
        self._client = client
        self._quick = Timeouts(health_deadline_s, health_deadline_s, health_deadline_s, health_deadline_s)
        self._token_deadline_s = token_deadline_s

    def launch(self, deployment: Deployment, replica: ReplicaAddress) -> LaunchCommand:
        """One engine process on the replica's port; it dies with this process."""
        settings = deployment.settings
        options: dict[str, object] = {
            "--model": deployment.weights,
            "--alias": deployment.served_model,
            "--port": replica.port,
            "--context-tokens": settings.context_tokens,
            "--slots": settings.slots,
            "--threads": settings.threads,
            "--parent-pid": os.getpid(),
        }
        words = [str(word) for pair in options.items() for word in pair]
        return LaunchCommand(
            (sys.executable, "-m", "inhouse.serving.embedded_engine", *words),
            {"OMP_NUM_THREADS": str(settings.threads)},
        )

    async def probe(self, deployment: Deployment, base_url: str, *, is_deep: bool) -> ReadinessProbe:
        """`/health` must be 200 (503 means that the model loads); with `is_deep` one token must come as well."""
        try:
            health = await self._get(base_url, "/health")
            if health.status != _OK:
                return ReadinessProbe(ProbeState.LOADING, f"/health answers {health.status}")
            return await self._generate(deployment, base_url) if is_deep else ReadinessProbe(ProbeState.READY)
        except EndpointError as error:
            is_refused = error.code is ErrorCode.UPSTREAM_UNREACHABLE
            return ReadinessProbe(ProbeState.REFUSED if is_refused else ProbeState.LOADING, f"/health: {error}")

    async def effective_config(self, base_url: str) -> EffectiveConfig:
        """From `/props`, `/slots` and `/v1/models`."""
        props = _read_object((await self._get(base_url, "/props")).body)
        slots = _read_list((await self._get(base_url, "/slots")).body)
        models = _read_list_in(_read_object((await self._get(base_url, "/v1/models")).body), "data")
        contexts = [context for slot in slots if isinstance(context := slot.get("n_ctx"), int)]
        template = props.get("chat_template")
        return EffectiveConfig(
            model=str(models[0].get("id")) if models else None,
            model_path=str(props["model_path"]) if "model_path" in props else None,
            context_tokens=min(contexts, default=None),
            slots=len(slots) or None,
            chat_template=template if isinstance(template, str) else None,
            sampling_defaults=_format_sampling(props),
        )

    async def read_progress(self, base_url: str) -> int | None:
        """`n_decode_total`: how often the model was evaluated."""
        try:
            answer = await self._get(base_url, "/metrics")
        except EndpointError:
            return None
        for line in answer.body.splitlines():
            if line.startswith(_PROGRESS_METRIC):
                return int(float(line.removeprefix(_PROGRESS_METRIC)))
        return None

    def digest_fields(
        self, deployment: Deployment, effective: EffectiveConfig, weights: WeightsFacts | None
    ) -> tuple[DigestField, ...]:
        """Digest version 1; what stays out, and why, stands in docs/design/serving.md."""
        if weights is None:
            raise ValueError(f"deployment {deployment.name} has no weights")
        template = effective.chat_template
        measured = {
            "chat_template_sha256": "" if template is None else hash_text(template),
            "context_tokens": str(effective.context_tokens),
            "engine": f"llamacpp xllamacpp=={importlib.metadata.version('xllamacpp')}",
            "quantization": weights.quantization,
            "sampling_defaults": effective.sampling_defaults or "",
            "tokenizer_sha256": weights.tokenizer_sha256,
            "weights_sha256": weights.sha256,
        }
        declared = {"adapter": "none", "gpu": "cpu", "kv_cache": "f16", "parallelism": "1"}
        return (
            *(DigestField(name, value, DigestBasis.MEASURED) for name, value in measured.items()),
            *(DigestField(name, value, DigestBasis.DECLARED) for name, value in declared.items()),
        )

    async def _get(self, base_url: str, path: str) -> Response:
        return await self._client.request("GET", f"{_root(base_url)}{path}", timeouts=self._quick)

    async def _generate(self, deployment: Deployment, base_url: str) -> ReadinessProbe:
        return await generate_token(self._client, deployment.served_model, base_url, self._token_deadline_s)


def _root(base_url: str) -> str:
    return base_url.removesuffix("/v1")


def _read_object(body: bytes) -> dict[str, object]:
    try:
        value: object = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _read_list(body: bytes) -> list[dict[str, object]]:
    try:
        return msgspec.json.decode(body, type=list[dict[str, object]])
    except msgspec.DecodeError:
        return []


def _read_list_in(value: dict[str, object], name: str) -> list[dict[str, object]]:
    return _read_list(msgspec.json.encode(value.get(name)))


def _format_sampling(props: dict[str, object]) -> str | None:
    """Known defaults as `name=value` in name order; numbers to six digits, so that float noise changes nothing."""
    try:
        settings = msgspec.convert(props.get("default_generation_settings"), dict[str, object])
        params = msgspec.convert(settings.get("params"), dict[str, object])
    except msgspec.ValidationError:
        return None
    return " ".join(f"{name}={_format_value(params[name])}" for name in sorted(_SAMPLING_KEYS) if name in params)


def _format_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ",".join(str(item) for item in cast("list[object]", value))
    return str(value)
