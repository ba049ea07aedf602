"""The dialects that clients speak on the data port: path, request reader, error shapes. Knows no endpoint."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from inhouse.backends import (
    RequestReader,
    messages_error_body,
    messages_error_event,
    read_chat_request,
    read_completions_request,
    read_count_tokens_request,
    read_embeddings_request,
    read_messages_request,
    read_responses_request,
    responses_error_event,
)
from inhouse.domain import Operation
from inhouse.gateway.replies import ErrorDetail, error_body, error_event


class ClientDialect(Struct, frozen=True, kw_only=True):
    """One operation as clients call it. `error_body` and `error_event` put an error into its shape.

    `content_field` is the member of a request that holds what is said, images and files included.
    """

    operation: Operation
    path: str
    read: RequestReader
    content_field: str = "messages"
    error_body: Callable[[ErrorDetail], bytes] = error_body
    error_event: Callable[[ErrorDetail], bytes] = error_event


def _messages_body(detail: ErrorDetail) -> bytes:
    return messages_error_body(detail.status, detail.code, detail.message, detail.param, detail.context)


def _messages_event(detail: ErrorDetail) -> bytes:
    return messages_error_event(detail.status, detail.code, detail.message, detail.param, detail.context)


def _responses_event(detail: ErrorDetail) -> bytes:
    return responses_error_event(
        detail.status, detail.code, detail.message, detail.param, sequence_number=detail.num_events
    )


CLIENT_DIALECTS: dict[str, ClientDialect] = {
    dialect.path: dialect
    for dialect in (
        ClientDialect(operation=Operation.CHAT, path="/v1/chat/completions", read=read_chat_request),
        ClientDialect(operation=Operation.COMPLETIONS, path="/v1/completions", read=read_completions_request),
        ClientDialect(operation=Operation.EMBEDDINGS, path="/v1/embeddings", read=read_embeddings_request),
        ClientDialect(
            operation=Operation.RESPONSES,
            path="/v1/responses",
            read=read_responses_request,
            content_field="input",
            error_event=_responses_event,
        ),
        ClientDialect(
            operation=Operation.MESSAGES,
            path="/v1/messages",
            read=read_messages_request,
            error_body=_messages_body,
            error_event=_messages_event,
        ),
        ClientDialect(
            operation=Operation.COUNT_TOKENS,
            path="/v1/messages/count_tokens",
            read=read_count_tokens_request,
            error_body=_messages_body,
            error_event=_messages_event,
        ),
    )
}
"""By path."""
