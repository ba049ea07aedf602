"""What each endpoint is known to offer, and what its refusals mean. A table; it calls nothing.

Each row says for which version of the server it holds, and where that is written. A newer version may offer more; a
provider's `operations` in the file overrules the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct

from inhouse.backends.azure import is_filter_rejection
from inhouse.backends.rejection import Rejection, read_rejection
from inhouse.domain import Dialect, EngineKind, Operation


class EngineQuirks(Struct, frozen=True, kw_only=True):
    """One OpenAI-compatible server.

    Args:
        operations: what it offers natively, under the names of the API that they come from.
        has_stream_usage: it understands `stream_options.include_usage`.
        cap_field: the member of a chat request that limits its output. One that a server does not know is ignored by
            some of them without a word.
        reasoning_field: the member of a message and of a delta that holds reasoning text; None where it has none.
        context_types: `type` or `code` of the error for a request that is too long for the model's context.
        context_words: what such an error's message holds, in lower case.
    """

    operations: frozenset[Operation]
    has_stream_usage: bool = True
    cap_field: str = "max_completion_tokens"
    reasoning_field: str | None = None
    context_types: frozenset[str] = frozenset()
    context_words: tuple[str, ...] = ()


_CHAT = frozenset({Operation.CHAT, Operation.COMPLETIONS})
_EMBEDDING = _CHAT | {Operation.EMBEDDINGS}
_RESPONDING = _EMBEDDING | {Operation.RESPONSES}

ENGINE_QUIRKS: Mapping[EngineKind, EngineQuirks] = MappingProxyType(
    {
        # vLLM 0.33: vllm/entrypoints/openai/*/api_router.py, vllm/entrypoints/anthropic/api_router.py; embeddings only
        # where a pooling model is served (else 501 or 404). `reasoning` was `reasoning_content` before 0.12.
        # `stream_options` on a call that does not stream is a 400. Errors: {"error": {message, type, param, code}}, the
        # code a number; before 0.10 the same members at the top with "object": "error".
        EngineKind.VLLM: EngineQuirks(
            operations=_RESPONDING | {Operation.MESSAGES, Operation.COUNT_TOKENS},
            reasoning_field="reasoning",
            context_words=("maximum context length", "the model's context length is only", "maximum model length"),
        ),
        # SGLang 0.5.23: python/sglang/srt/entrypoints/http_server.py and anthropic/; embeddings with --is-embedding.
        # Errors: {"object": "error", message, type, param, code: 400}.
        EngineKind.SGLANG: EngineQuirks(
            operations=_RESPONDING | {Operation.MESSAGES, Operation.COUNT_TOKENS},
            reasoning_field="reasoning_content",
            context_words=(
                "longer than the model's context length",
                "requested token count exceeds the model's maximum context length",
            ),
        ),
        # TGI 3.3 (in maintenance): router/src/server.rs, router/src/validation.rs. Embeddings are another server's.
        # Errors: 422 {"error": text, "error_type": "validation"}.
        EngineKind.TGI: EngineQuirks(
            operations=_CHAT,
            cap_field="max_tokens",
            context_words=("`inputs` tokens + `max_new_tokens` must be", "`inputs` must have less than"),
        ),
        # TensorRT-LLM 1.2: tensorrt_llm/serve/openai_server.py; its Anthropic routes are on the main branch only.
        # Errors: {"object": "error", message, type, param, code: 400}.
        EngineKind.TENSORRT_LLM: EngineQuirks(
            operations=_CHAT | {Operation.RESPONSES},
            reasoning_field="reasoning_content",
            context_words=(
                "should not exceed max_num_tokens",
                "exceeds maximum input length",
                "exceeds maximum sequence length",
                "max_seq_len",
            ),
        ),
        # llama.cpp b9000, llama-server: tools/server/README.md (/v1/responses, /v1/messages with count_tokens);
        # embeddings with --embeddings, else 501 `not_supported_error`. Errors: {"error": {code: 400, message, type}}.
        EngineKind.LLAMACPP: EngineQuirks(
            operations=_RESPONDING | {Operation.MESSAGES, Operation.COUNT_TOKENS},
            reasoning_field="reasoning_content",
            context_types=frozenset({"exceed_context_size_error"}),
            context_words=(
                "exceeds the available context size",
                "tokens exceed n_ctx",
                "input is too large to process",
                "context shift is disabled",
            ),
        ),
        # Ollama 0.40: docs.ollama.com/api/openai-compatibility (responses without state since 0.13.3) and
        # /api/anthropic-compatibility (0.14; no count_tokens). A chat that is too long is truncated without a word:
        # only embeddings are refused. Errors: {"error": {message, type, param, code: null}}, or {"error": text}.
        EngineKind.OLLAMA: EngineQuirks(
            operations=_RESPONDING | {Operation.MESSAGES},
            cap_field="max_tokens",
            reasoning_field="reasoning",
            context_types=frozenset({"exceed_context_size_error"}),
            context_words=("input length exceeds", "exceeds the available context size"),
        ),
        # OpenAI, platform.openai.com/docs/api-reference/chat/create (2026-11): `max_tokens` is deprecated there, and
        # its reasoning models refuse it with `unsupported_parameter`. Its Responses API keeps answers by default, which
        # its chat does not, so it is called only where the provider's `operations` name it.
        EngineKind.OPENAI: EngineQuirks(operations=_EMBEDDING, reasoning_field="reasoning_content"),
        # Anything that calls itself OpenAI-compatible: what nearly all of them have. Hosted open models follow
        # DeepSeek's API in the name of reasoning. Where `max_tokens` is not known, that is said; many others would
        # ignore `max_completion_tokens` in silence.
        EngineKind.GENERIC: EngineQuirks(
            operations=_EMBEDDING, cap_field="max_tokens", reasoning_field="reasoning_content"
        ),
    }
)
# Azure OpenAI: the reasoning models take `max_completion_tokens` alone, which all chat models take since API version
# 2024-09-01-preview (learn.microsoft.com/azure/ai-services/openai/how-to/reasoning; inference.yaml of 2024-10-21 in
# Azure/azure-rest-api-specs deprecates `max_tokens`). Versions before it refuse it as an unrecognized argument.
_AZURE_QUIRKS = EngineQuirks(operations=_RESPONDING, reasoning_field="reasoning_content")
_OLD_AZURE_QUIRKS = EngineQuirks(operations=_RESPONDING, cap_field="max_tokens", reasoning_field="reasoning_content")
_AZURE_COMPLETION_CAP_SINCE = "2024-09-01"
_ANTHROPIC_OPERATIONS = frozenset({Operation.MESSAGES, Operation.COUNT_TOKENS})


def find_quirks(dialect: Dialect, engine: EngineKind, api_version: str | None) -> EngineQuirks:
    """What is known of an endpoint that speaks chat.

    Args:
        dialect: OpenAI's or Azure's.
        engine: the server behind an OpenAI-compatible address.
        api_version: Azure's; None for its v1 API.
    """
    if dialect is not Dialect.AZURE_OPENAI:
        return ENGINE_QUIRKS[engine]
    is_old = api_version is not None and api_version < _AZURE_COMPLETION_CAP_SINCE
    return _OLD_AZURE_QUIRKS if is_old else _AZURE_QUIRKS


def native_operations(dialect: Dialect, engine: EngineKind) -> frozenset[Operation]:
    """What an endpoint of this kind offers without translation."""
    if dialect is Dialect.ANTHROPIC:
        return _ANTHROPIC_OPERATIONS
    if dialect is Dialect.AZURE_OPENAI:
        return _AZURE_QUIRKS.operations
    return ENGINE_QUIRKS[engine].operations


class UpstreamFault(StrEnum):
    """Why an endpoint refused a request that another endpoint might serve."""

    CONTEXT_LENGTH = "context_length"
    """Too long for this endpoint's model."""
    CAPABILITY = "capability"
    """It lacks the operation, a modality, tools or a parameter."""
    CONTENT_FILTER = "content_filter"
    """Its content filter refused the prompt or withheld the answer."""
    MODEL_MISSING = "model_missing"
    """It does not know the model, or it is not loaded there."""
    OTHER = "other"
    """The request is at fault, or nothing is known."""


# What any of them may say; hosted APIs and proxies pass on the words of what stands behind them.
_CONTEXT_CODES = frozenset({"context_length_exceeded", "context_window_exceeded", "string_above_max_length"})
_CONTEXT_WORDS = (
    "maximum context length",
    "context length exceeded",
    "context window",
    "exceed context limit",
    "exceeds the context length",
    "prompt is too long",
    "input is too long",
    "please reduce the length of the",
    "exceeds the maximum number of tokens",
    "exceeds the maximum allowed input length",
    "maximum prompt length",
)
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})
_FILTER_WORDS = (
    "content management policy",
    "content filtering policy",
    "flagged as potentially violating",
    "rejected as a result of our safety system",
)
_MODEL_CODES = frozenset({"model_not_found", "deploymentnotfound", "invalid_model", "model_not_available"})
_CAPABILITY_CODES = frozenset(
    {"operationnotsupported", "unsupported_parameter", "unsupported_value", "not_supported_error", "unsupported_model"}
)
_CAPABILITY_WORDS = (
    "does not support",
    "not supported",
    "doesn't support",
    "is unsupported",
    "not a multimodal model",
    "at most 0 ",
    "--enable-auto-tool-choice",
    "chat template is no longer allowed",
    "template not found",
    "supports at most",
    "no endpoints found that support",
)
_NO_PATH_WORDS = ("not found", "file not found", "")
"""What a server says, in lower case, of a path that it does not have."""
_NOT_FOUND, _TOO_LARGE = 404, 413
_NO_OPERATION = frozenset({405, 501})
_SILENT = frozenset({401, 403, 408, 429})
"""Statuses that are about the caller or its pace, whatever the words."""


def classify_rejection(dialect: Dialect, engine: EngineKind, status: int, body: bytes) -> UpstreamFault:
    """What an endpoint's refusal means for the route: whether another endpoint could serve the request.

    Args:
        dialect: the endpoint's.
        engine: the server behind an OpenAI-compatible address.
        status: HTTP status, 400 or above.
        body: the refusal's body, any bytes.
    """
    fault = UpstreamFault.OTHER
    if status not in _SILENT:
        found = read_rejection(body)
        if is_filter_rejection(body) or found.names(_FILTER_CODES) or found.says(_FILTER_WORDS):
            fault = UpstreamFault.CONTENT_FILTER
        elif status == _TOO_LARGE or _is_context(found, dialect, engine):
            fault = UpstreamFault.CONTEXT_LENGTH
        elif _is_model_missing(found, status):
            fault = UpstreamFault.MODEL_MISSING
        elif _is_incapable(found, status):
            fault = UpstreamFault.CAPABILITY
    return fault


def read_error_message(body: bytes) -> str | None:
    """The words of an error body of any known shape; None where there are none.

    They may quote the request. Show them to nobody but the one who sent it, and never log them.
    """
    return read_rejection(body).message or None


def _is_context(found: Rejection, dialect: Dialect, engine: EngineKind) -> bool:
    if found.names(_CONTEXT_CODES) or found.says(_CONTEXT_WORDS):
        return True
    if dialect is not Dialect.OPENAI:
        return False
    rows = ENGINE_QUIRKS.values() if engine is EngineKind.GENERIC else (ENGINE_QUIRKS[engine],)  # generic: any of them
    return any(found.names(row.context_types) or found.says(row.context_words) for row in rows)


def _is_incapable(found: Rejection, status: int) -> bool:
    if status in _NO_OPERATION or found.names(_CAPABILITY_CODES) or found.says(_CAPABILITY_WORDS):
        return True
    message = found.lowered
    return status == _NOT_FOUND and (message in _NO_PATH_WORDS or message.startswith("invalid url"))


def _is_model_missing(found: Rejection, status: int) -> bool:
    if found.names(_MODEL_CODES):
        return True
    message = found.lowered
    if "model" in message and ("does not exist" in message or "not found" in message or "not loaded" in message):
        return True
    return status == _NOT_FOUND and message.startswith("model:")  # Anthropic: `model: NAME`
