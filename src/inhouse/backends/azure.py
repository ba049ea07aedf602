"""Azure OpenAI's addresses, and the shapes in which its content filter speaks. Sends nothing."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Raw, Struct

from inhouse.domain import Operation

_PATHS = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETIONS: "/completions",
    Operation.EMBEDDINGS: "/embeddings",
    Operation.RESPONSES: "/responses",
}
_UNDER_DEPLOYMENT = frozenset({Operation.CHAT, Operation.COMPLETIONS, Operation.EMBEDDINGS})
_FILTERED = re.compile(rb'"filtered"\s*:\s*true')
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})


def build_azure_path(base_url: str, deployment: str, operation: Operation, api_version: str | None) -> str:
    """The path and query to ask for at the host of `base_url`.

    Args:
        base_url: the resource's address, with or without `/openai` or `/openai/v1` at its end; a prefix before that
            (a gateway in front of Azure) is kept.
        deployment: name of the deployment. The v1 API takes it as the body's `model`, and so do responses.
        operation: what is called.
        api_version: the classic API's `api-version`; None for the v1 API, which has none.

    Raises:
        ValueError: Azure has no such operation.
    """
    path = _PATHS.get(operation)
    if path is None:
        raise ValueError(f"Azure OpenAI does not offer {operation.value}")
    root = urlsplit(base_url).path.rstrip("/").removesuffix("/v1").removesuffix("/openai")
    if api_version is None:
        return f"{root}/openai/v1{path}"
    place = f"/deployments/{quote(deployment, safe='')}" if operation in _UNDER_DEPLOYMENT else ""
    return f"{root}/openai{place}{path}?api-version={quote(api_version, safe='')}"


class _InnerError(Struct):
    code: str | None = None


class _Error(Struct):
    """An error; streams spell the inner one differently."""

    code: str | int | None = None
    innererror: _InnerError | None = None
    inner_error: _InnerError | None = None


class _Rejection(Struct):
    error: _Error | None = None


_decode_rejection = msgspec.json.Decoder(_Rejection).decode


def is_filter_rejection(body: bytes) -> bool:
    """Whether a rejection's body says that the content filter refused the prompt."""
    try:
        error = _decode_rejection(body).error
    except (ValueError, RecursionError):
        return False
    if error is None:
        return False
    inner = error.innererror or error.inner_error
    return error.code in _FILTER_CODES or (inner is not None and inner.code in _FILTER_CODES)


class _PromptResult(Struct):
    """Verdicts on one prompt by category; their shapes differ by category, so they stay raw."""

    content_filter_results: dict[str, Raw] = {}


class _Choice(Struct):
    finish_reason: str | None = None


class _Filtered(Struct):
    """What a reply or chunk says of the filter."""

    choices: list[_Choice] = []
    prompt_filter_results: list[_PromptResult] = []


_decode_filtered = msgspec.json.Decoder(_Filtered).decode


def is_filtered_reply(data: bytes) -> bool:
    """Whether a reply, or one chunk of a stream, says that the filter withheld something.

    Either an answer was withheld (finish reason `content_filter`), or the prompt was (`prompt_filter_results`).
    """
    if b"filter" not in data:
        return False
    try:
        found = _decode_filtered(data)
    except (ValueError, RecursionError):
        return False
    if any(choice.finish_reason == "content_filter" for choice in found.choices):
        return True
    results = (verdict for result in found.prompt_filter_results for verdict in result.content_filter_results.values())
    return any(_FILTERED.search(verdict) is not None for verdict in results)


def is_prompt_chunk(data: bytes) -> bool:
    """Whether it is the chunk that Azure begins a stream with: filter results of the prompt, and no choice yet."""
    if b'"prompt_filter_results"' not in data:
        return False
    try:
        found = _decode_filtered(data)
    except (ValueError, RecursionError):
        return False
    return bool(found.prompt_filter_results) and not found.choices
