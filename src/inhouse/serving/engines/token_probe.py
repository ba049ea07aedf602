"""The probe that counts: one generated token, by the way that real requests take."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from inhouse.backends import HttpClient, Timeouts
from inhouse.domain import EndpointError
from inhouse.serving.engines.contract import ProbeState, ReadinessProbe

_OK = 200


class _Usage(msgspec.Struct):
    completion_tokens: int = 0


class _Answer(msgspec.Struct):
    choices: list[dict[str, object]] = []
    usage: _Usage | None = None


async def generate_token(
    client: HttpClient, model: str, base_url: str, deadline_s: float, authorization: Mapping[str, str] | None = None
) -> ReadinessProbe:
    """Ask for one token by chat completion. An answer that counts none, or holds no choice, is not ready."""
    body = {"model": model, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 1, "temperature": 0}
    try:
        answer = await client.request(
            "POST",
            f"{base_url}/chat/completions",
            headers={"content-type": "application/json", **(authorization or {})},
            body=msgspec.json.encode(body),
            timeouts=Timeouts(deadline_s, deadline_s, deadline_s, deadline_s),
        )
    except EndpointError as error:
        return ReadinessProbe(ProbeState.LOADING, f"asked for one token: {error}")
    if answer.status != _OK:
        return ReadinessProbe(ProbeState.LOADING, f"asked for one token, it answers {answer.status}")
    if not _holds_token(answer.body):
        return ReadinessProbe(ProbeState.LOADING, "asked for one token, the answer holds none")
    return ReadinessProbe(ProbeState.READY)


def _holds_token(body: bytes) -> bool:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError:
        return False
    return bool(answer.choices) and (answer.usage is None or answer.usage.completion_tokens > 0)
