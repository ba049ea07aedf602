"""A client that speaks chat completions at an endpoint that speaks Anthropic's Messages API."""

from __future__ import annotations

import time

from inhouse.backends.translate.chat_to_messages_reply import write_chat_reply
from inhouse.backends.translate.chat_to_messages_request import DEFAULT_MAX_TOKENS, build_messages_body
from inhouse.backends.translate.chat_to_messages_stream import ChatWriter
from inhouse.backends.wire import WireRequest


class ChatToMessages:
    """A Translator for one attempt; see docs/design/dialects.md for what is carried over.

    Args:
        request: the chat request.
        default_max_tokens: the output cap where the client set none; Anthropic asks for one.
    """

    def __init__(self, request: WireRequest, *, default_max_tokens: int = DEFAULT_MAX_TOKENS) -> None:
        self._request = request
        self._default_max_tokens = default_max_tokens
        self._created = int(time.time())
        self._writer = ChatWriter(self._created, asks_usage=request.asks_usage)

    def build(self, model: str) -> bytes:
        """The request body for the endpoint.

        Raises:
            UntranslatableError: a field cannot be carried over.
        """
        return build_messages_body(self._request.body, model, self._default_max_tokens)

    def translate_reply(self, body: bytes) -> bytes:
        """A whole reply as a chat completion.

        Raises:
            ValueError: it is not one of Anthropic's dialect.
        """
        return write_chat_reply(body, self._created)

    def translate_events(self, block: bytes) -> bytes:
        """Whole events as chat chunks; may be empty.

        Raises:
            ValueError: an event is not one of Anthropic's dialect.
        """
        return self._writer.write(block)

    def finish(self) -> bytes:
        """What is still missing up to `[DONE]`; empty where it was sent."""
        return self._writer.end()
