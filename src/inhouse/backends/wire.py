"""What the gateway knows of any dialect: a request read, a reply's facts, a meter, a translator. Speaks no dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from inhouse.domain import ErrorCode, Modality, Operation, RequestError, Usage, UsageBasis

TEXT_ONLY = frozenset({Modality.TEXT})
"""The modalities of most requests; readers give this very object, so that it is recognised by identity."""


class UntranslatableError(RequestError):
    """A request field that the endpoint's dialect cannot express, and that is never dropped silently.

    Another candidate may serve the request, else the client gets this 400.

    Args:
        param: path of the field, as the client wrote it (`tools[0].type`).
        message: what cannot be carried over, to which dialect, and what to do.
    """

    def __init__(self, param: str, message: str) -> None:
        super().__init__(400, ErrorCode.INVALID_REQUEST, message, param=param)


class ReplyFacts(Struct, frozen=True, gc=False):
    """What is metered of a whole reply. `finish_reason` is the endpoint's own word for it."""

    model: str | None = None
    fingerprint: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    usage_basis: UsageBasis = UsageBasis.UNKNOWN
    is_error: bool = False
    is_filtered: bool = False
    """A content filter of the endpoint withheld the answer (OpenAI and Azure: `content_filter`)."""
    is_refusal: bool = False
    """The model refused (OpenAI: a `refusal` text and no content; Anthropic: stop reason `refusal`)."""
    tier: str | None = None
    """The tariff that it ran under, where it says another than the standard one: a `ServiceTier`, or a word whose price
    is not known."""


class RequestReader(Protocol):
    """A function of each inbound operation: body bytes → what the gateway needs of them."""

    def __call__(self, body: bytes) -> WireRequest:
        """Read.

        Raises:
            RequestError: 400 `invalid_json`, `missing_field` or `invalid_request`, naming the field.
        """
        ...


class WireRequest(Protocol):
    """One request as far as the gateway needs it; the rest stays bytes.

    `asks_usage`: the client itself asked for a stream's usage. `metadata` holds the string members of `metadata`
    whose names begin with `inhouse_`.
    """

    @property
    def operation(self) -> Operation:
        """What is asked for."""
        ...

    @property
    def body(self) -> bytes:
        """The body as it came."""
        ...

    @property
    def model(self) -> str:
        """The public model name: a route."""
        ...

    @property
    def is_stream(self) -> bool:
        """Whether the reply is to be streamed."""
        ...

    @property
    def asks_usage(self) -> bool:
        """Whether a stream's usage is to reach the client."""
        ...

    @property
    def modalities(self) -> frozenset[Modality]:
        """What the request carries."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Labels for inhouse."""
        ...

    def edit(self, model: str) -> bytes:
        """The body with the edits that pass-through permits, the model name first of all.

        Where nothing is to change, the very same bytes.
        """
        ...


class Meter(Protocol):
    """Watches one stream of an endpoint, in the endpoint's dialect. Times are seconds on any one clock."""

    num_chunks: int
    """Events that brought content (text, reasoning, tool arguments)."""
    first_content_at: float | None
    last_content_at: float | None
    finish_reason: str | None
    model: str | None
    fingerprint: str | None
    error_event: bytes | None
    """The data of an error event that came inside the stream."""
    is_malformed: bool
    """An event came whose data is not JSON: whatever the stream is, it is no answer."""
    is_done: bool
    """The dialect's last event has come (`[DONE]`, `message_stop`, `response.completed`)."""

    @property
    def is_complete(self) -> bool:
        """Whether the answer is finished, so that an end of the body now is no cut."""
        ...

    def feed(self, block: bytes, now: float) -> tuple[bytes, bool]:
        """Meter whole events.

        Returns:
            What a client of the same dialect may see of them (byte for byte, but for a usage chunk that only the
            gateway asked for), and whether there was more than comments and pings.
        """
        ...

    def settle(self) -> tuple[Usage | None, UsageBasis]:
        """The usage reported so far."""
        ...

    def facts(self) -> ReplyFacts:
        """The same as of a whole reply."""
        ...


class Translator(Protocol):
    """Turns one endpoint's reply into the client's dialect. One for each attempt; it keeps the stream's state."""

    def build(self, model: str) -> bytes:
        """The request body in the endpoint's dialect, asking for usage on streams.

        Raises:
            UntranslatableError: a field cannot be carried over.
        """
        ...

    def translate_reply(self, body: bytes) -> bytes:
        """A whole successful reply.

        Raises:
            ValueError: the endpoint's reply is not one of its dialect.
        """
        ...

    def translate_events(self, block: bytes) -> bytes:
        """Whole events of the endpoint's stream → events of the client's dialect; may be empty.

        Raises:
            ValueError: an event is not one of the endpoint's dialect.
        """
        ...

    def finish(self) -> bytes:
        """What the client still needs at the regular end of the endpoint's body (`[DONE]`, `message_stop`).

        Empty where it was sent already.
        """
        ...
