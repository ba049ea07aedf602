"""The translator from Responses to chat, one for each attempt."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inhouse.backends.quirks import ENGINE_QUIRKS, EngineQuirks
from inhouse.backends.sse import read_data, split_events
from inhouse.backends.translate_responses.chat_wire import NULL
from inhouse.backends.translate_responses.reply import build_output, read_chat
from inhouse.backends.translate_responses.request import build_chat_body, read_echo
from inhouse.backends.translate_responses.shape import ResponseShape
from inhouse.backends.translate_responses.stream import EventStream
from inhouse.backends.wire import WireRequest
from inhouse.domain import EngineKind

_DONE = b"[DONE]"


class ResponsesToChat:
    """Turns a Responses request into a chat request, and the chat reply or stream into a response.

    Args:
        request: the client's.
        history: items of earlier responses (`previous_response_id`) that go before the request's own, oldest first;
            None where nobody looked them up, and then such a request is refused.
        quirks: of the endpoint's server.
    """

    def __init__(
        self,
        request: WireRequest,
        *,
        history: Sequence[bytes] | None = None,
        quirks: EngineQuirks = ENGINE_QUIRKS[EngineKind.GENERIC],
    ) -> None:
        self._request = request
        self._history = history
        self._quirks = quirks
        self._shape = ResponseShape(read_echo(request.body), request.model)
        self._events = EventStream(self._shape)
        self._whole: bytes | None = None

    @property
    def num_events(self) -> int:
        """Events that the client got: the `sequence_number` of the next."""
        return self._events.num_events

    @property
    def final_response(self) -> bytes | None:
        """The finished response object as JSON, for the store; None before."""
        return self._whole or self._events.final_response

    def build(self, model: str) -> bytes:
        """The chat request, asking for usage on streams.

        Raises:
            RequestError: 400, a field is malformed.
            UntranslatableError: chat has nothing like a field.
        """
        return build_chat_body(self._request.body, model, self._quirks, self._history)

    def translate_reply(self, body: bytes) -> bytes:
        """A whole successful chat reply → the response object.

        Raises:
            ValueError: it is not one.
        """
        reply = read_chat(body)
        if not reply.choices:
            raise ValueError("a chat reply without a choice")
        choice = reply.choices[0]
        self._shape.take_head(reply.created, reply.model, reply.service_tier)
        output = build_output(choice, self._shape)
        self._whole = msgspec.json.encode(self._shape.end(choice.finish_reason, output, reply.usage))
        return self._whole

    def translate_events(self, block: bytes) -> bytes:
        """Whole chat events → Responses events. Comments pass; an error in the stream is left to the gateway.

        Raises:
            ValueError: an event is not one of chat.
        """
        passed: list[bytes] = []
        for event in split_events(block):
            data = read_data(event)
            if data is None:
                passed.append(event)
            elif data == _DONE:
                self._events.end()
            else:
                chunk = read_chat(data)
                if chunk.error == NULL:
                    self._events.take(chunk)
            passed.append(self._events.drain())
        return b"".join(passed)

    def finish(self) -> bytes:
        """The last events, where no `[DONE]` has brought them yet."""
        self._events.end()
        return self._events.drain()
