"""Which wire exchange serves an operation at an endpoint: address, meter, translation. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from inhouse.backends.anthropic import (
    ANTHROPIC_VERSION,
    COUNT_TOKENS_PATH,
    MESSAGES_PATH,
    read_messages_reply,
)
from inhouse.backends.azure import build_azure_path
from inhouse.backends.chained import Chained
from inhouse.backends.chat_meter import ChatMeter
from inhouse.backends.completions import COMPLETIONS_PATH, CompletionsMeter, read_completions_reply
from inhouse.backends.continued import ContinuedRequest
from inhouse.backends.embeddings import EMBEDDINGS_PATH, read_embeddings_reply
from inhouse.backends.messages_meter import MessagesMeter
from inhouse.backends.openai import CHAT_PATH, read_chat_facts, read_chat_request
from inhouse.backends.quirks import ENGINE_QUIRKS, EngineQuirks, find_quirks
from inhouse.backends.responses import RESPONSES_PATH, read_responses_reply
from inhouse.backends.responses_meter import ResponsesMeter
from inhouse.backends.translate import (
    ChatToMessages,
    MessagesToChat,
    chat_error_from_messages,
    messages_error_from_chat,
)
from inhouse.backends.translate_responses import ResponsesToChat, name_member
from inhouse.backends.wire import Meter, ReplyFacts, Translator, WireRequest
from inhouse.domain import Dialect, Endpoint, EngineKind, Operation

FactsReader = Callable[[bytes], ReplyFacts | None]
NewMeter = Callable[[bool], Meter]
NewTranslator = Callable[[WireRequest], Translator]
_ANTHROPIC_OPERATIONS = frozenset({Operation.MESSAGES, Operation.COUNT_TOKENS})


class ExchangePlan(Struct, frozen=True, kw_only=True):
    """How one operation is carried out at one endpoint.

    `upstream` is the operation as the endpoint sees it. `new_meter` takes whether the usage chunk of a stream is
    withheld from the client. `new_translator` is None where the request and reply pass as they are.
    `translate_rejection` turns a 4xx body (status, bytes) into the client's dialect. `headers` are those that the
    dialect wants beside authentication.
    """

    upstream: Operation
    new_meter: NewMeter
    read_facts: FactsReader
    new_translator: NewTranslator | None = None
    translate_rejection: Callable[[int, bytes], bytes] | None = None
    headers: tuple[tuple[str, str], ...] = ()


class _TokenCount(Struct):
    input_tokens: int


class _Wire(Struct, frozen=True):
    """An operation as it stands on the wire."""

    path: str
    new_meter: NewMeter
    read_facts: FactsReader


def plan_exchange(operation: Operation, endpoint: Endpoint) -> ExchangePlan | None:
    """The plan; None where the endpoint can serve the operation neither natively nor by translation."""
    offered = endpoint.operations
    if operation in offered:
        return _plan(operation, endpoint, None, None)
    if operation is Operation.CHAT and Operation.MESSAGES in offered:
        return _plan(Operation.MESSAGES, endpoint, ChatToMessages, chat_error_from_messages)
    if operation is Operation.MESSAGES and Operation.CHAT in offered:
        quirks = find_quirks(endpoint.dialect, endpoint.engine, endpoint.api_version)
        new_translator = partial(MessagesToChat, cap_field=quirks.cap_field, reasoning_field=quirks.reasoning_field)
        return _plan(Operation.CHAT, endpoint, new_translator, messages_error_from_chat)
    if operation is Operation.RESPONSES and Operation.CHAT in offered:
        quirks = find_quirks(endpoint.dialect, endpoint.engine, endpoint.api_version)
        new_translator = partial(_respond_through_chat, quirks=quirks)
        return _plan(Operation.CHAT, endpoint, new_translator, _reject_response)
    if operation is Operation.RESPONSES and Operation.MESSAGES in offered:
        return _plan(Operation.MESSAGES, endpoint, _respond_through_messages, _reject_response)
    return None


def build_url(operation: Operation, endpoint: Endpoint, base_url: str) -> str:
    """The URL of an operation, as the endpoint sees it, under one of its addresses."""
    if endpoint.dialect is Dialect.AZURE_OPENAI:
        parts = urlsplit(base_url)
        path = build_azure_path(base_url, endpoint.model, operation, endpoint.api_version)
        return f"{parts.scheme}://{parts.netloc}{path}"
    return base_url.rstrip("/") + _WIRES[operation].path


def meter_operation(operation: Operation) -> Meter:
    """A meter for a stream that passes as it is."""
    return _WIRES[operation].new_meter(False)


def read_operation_facts(operation: Operation, body: bytes) -> ReplyFacts | None:
    """What is metered of a whole reply that passes as it is."""
    return _WIRES[operation].read_facts(body)


def _plan(
    upstream: Operation,
    endpoint: Endpoint,
    new_translator: NewTranslator | None,
    translate_rejection: Callable[[int, bytes], bytes] | None,
) -> ExchangePlan:
    wire = _WIRES[upstream]
    version = endpoint.api_version if endpoint.dialect is Dialect.ANTHROPIC else None
    headers = (("anthropic-version", version or ANTHROPIC_VERSION),) if upstream in _ANTHROPIC_OPERATIONS else ()
    return ExchangePlan(
        upstream=upstream,
        new_meter=wire.new_meter,
        read_facts=wire.read_facts,
        new_translator=new_translator,
        translate_rejection=translate_rejection,
        headers=headers,
    )


def _respond_through_chat(request: WireRequest, quirks: EngineQuirks) -> ResponsesToChat:
    history = request.history if isinstance(request, ContinuedRequest) else None
    return ResponsesToChat(request, history=history, quirks=quirks)


def _respond_through_messages(request: WireRequest) -> Translator:
    outer = _respond_through_chat(request, ENGINE_QUIRKS[EngineKind.GENERIC])
    return Chained(
        outer,
        lambda body: ChatToMessages(read_chat_request(body)),
        lambda path: name_member(path, request.body),
    )


def _reject_response(status: int, body: bytes) -> bytes:
    """A refusal as a Responses client reads it: the shape is that of chat, the name of the field is not."""
    written = msgspec.json.decode(chat_error_from_messages(status, body))
    error = written["error"]
    if error["param"] is not None:
        error["param"] = name_member(error["param"], b"")
    return msgspec.json.encode(written)


def _read_count(body: bytes) -> ReplyFacts | None:
    """A count of tokens is an answer without usage: nothing was generated."""
    try:
        msgspec.json.decode(body, type=_TokenCount)
    except (ValueError, RecursionError):
        return None
    return ReplyFacts()


def _meter_chat(withholds_usage: bool) -> Meter:  # noqa: FBT001  # the plan's one flag
    return ChatMeter(withholds_usage=withholds_usage)


def _meter_completions(withholds_usage: bool) -> Meter:  # noqa: FBT001  # same
    return CompletionsMeter(withholds_usage=withholds_usage)


def _meter_messages(_: bool) -> Meter:  # noqa: FBT001  # same
    return MessagesMeter()


def _meter_responses(_: bool) -> Meter:  # noqa: FBT001  # same
    return ResponsesMeter()


_WIRES = {
    Operation.CHAT: _Wire(CHAT_PATH, _meter_chat, read_chat_facts),
    Operation.COMPLETIONS: _Wire(COMPLETIONS_PATH, _meter_completions, read_completions_reply),
    Operation.EMBEDDINGS: _Wire(EMBEDDINGS_PATH, _meter_chat, read_embeddings_reply),
    Operation.RESPONSES: _Wire(RESPONSES_PATH, _meter_responses, read_responses_reply),
    Operation.MESSAGES: _Wire(MESSAGES_PATH, _meter_messages, read_messages_reply),
    Operation.COUNT_TOKENS: _Wire(COUNT_TOKENS_PATH, _meter_messages, _read_count),
}
