"""A client that speaks Anthropic's Messages API at an endpoint that is OpenAI-compatible."""

from __future__ import annotations

from inhouse.backends.translate.messages_to_chat_reply import write_messages_reply
from inhouse.backends.translate.messages_to_chat_request import ChatNames, build_chat_body, shows_thinking
from inhouse.backends.translate.messages_to_chat_stream import MessagesWriter
from inhouse.backends.wire import WireRequest


class MessagesToChat:
    """A Translator for one attempt; see docs/design/dialects.md for what is carried over.

    Args:
        request: the messages request.
        cap_field: what the endpoint calls the output cap: `max_completion_tokens`, or `max_tokens` where an engine
            knows only that and would pass over the other without a word.
        reasoning_field: the member of a message that holds reasoning text; None where the endpoint has none.

    Raises:
        UntranslatableError: `thinking` is not what Anthropic's dialect says.
    """

    def __init__(
        self,
        request: WireRequest,
        *,
        cap_field: str = "max_completion_tokens",
        reasoning_field: str | None = "reasoning_content",
    ) -> None:
        self._request = request
        self._names = ChatNames(cap_field, reasoning_field)
        self._shows_thinking = shows_thinking(request.body)
        self._writer = MessagesWriter(shows_thinking=self._shows_thinking)

    def build(self, model: str) -> bytes:
        """The request body for the endpoint, asking for usage on streams.

        Raises:
            UntranslatableError: a field cannot be carried over.
        """
        return build_chat_body(self._request.body, model, self._names)

    def translate_reply(self, body: bytes) -> bytes:
        """A whole reply as a message.

        Raises:
            ValueError: it is not one of the chat dialect.
        """
        return write_messages_reply(body, shows_thinking=self._shows_thinking)

    def translate_events(self, block: bytes) -> bytes:
        """Whole events as Anthropic's events; may be empty.

        Raises:
            ValueError: an event is not one of the chat dialect.
        """
        return self._writer.write(block)

    def finish(self) -> bytes:
        """What is still missing up to `message_stop`; empty where it was sent."""
        return self._writer.end()
