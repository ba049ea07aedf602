"""A Responses request that follows earlier ones: the items of each turn, and the request with them before its own.

Knows no store: turns come from whoever keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.responses import ResponsesRequest, list_output_items, read_modalities
from inhouse.domain import Modality, Operation

_decode_items = msgspec.json.Decoder(list[Raw]).decode


class _Kind(Struct):
    type: str = ""


_decode_kind = msgspec.json.Decoder(_Kind).decode


class Turn(Struct, frozen=True, kw_only=True):
    """One earlier response: what was asked and answered, as JSON items.

    `portable` is the same without the endpoint's reasoning: its ids and ciphers mean nothing to another endpoint, which
    refuses them.
    """

    route: str
    endpoint_id: str
    items: tuple[bytes, ...]
    portable: tuple[bytes, ...]
    modalities: frozenset[Modality]


def read_turn(route: str, endpoint_id: str, input_items: bytes, response: bytes) -> Turn:
    """Take a turn apart.

    Args:
        route: the public model name that was asked.
        endpoint_id: what answered.
        input_items: JSON array of the request's own input items.
        response: the response object.

    Raises:
        ValueError: one of them is not what it should be.
    """
    try:
        asked = tuple(bytes(item) for item in _decode_items(input_items))
        modalities = read_modalities(input_items)
        answered = list_output_items(response)
        spoken = tuple(item for item in answered if _decode_kind(item).type != "reasoning")
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    return Turn(
        route=route,
        endpoint_id=endpoint_id,
        items=(*asked, *answered),
        portable=(*asked, *spoken),
        modalities=modalities,
    )


class ContinuedRequest(Struct, frozen=True, kw_only=True):
    """A `WireRequest` for one endpoint, with the earlier items that it gets before the request's own."""

    own: ResponsesRequest
    history: tuple[bytes, ...]
    modalities: frozenset[Modality]

    @property
    def operation(self) -> Operation:
        """Responses."""
        return self.own.operation

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self.own.body

    @property
    def model(self) -> str:
        """The public model name."""
        return self.own.model

    @property
    def is_stream(self) -> bool:
        """Whether the reply is to be streamed."""
        return self.own.is_stream

    @property
    def asks_usage(self) -> bool:
        """A stream of this dialect always ends with its usage."""
        return self.own.asks_usage

    @property
    def metadata(self) -> Mapping[str, str]:
        """Labels for inhouse."""
        return self.own.metadata

    def edit(self, model: str) -> bytes:
        """The body with the history in its input, and without the id of a response that the endpoint does not know."""
        return self.own.expand(self.history).edit(model)


def continue_request(own: ResponsesRequest, turns: Sequence[Turn], endpoint_id: str) -> ContinuedRequest:
    """The request as one endpoint gets it.

    Args:
        own: the client's.
        turns: the earlier ones, oldest first.
        endpoint_id: who is asked; it gets its own reasoning back, and nobody else's.
    """
    return ContinuedRequest(
        own=own,
        history=tuple(
            item for turn in turns for item in (turn.items if turn.endpoint_id == endpoint_id else turn.portable)
        ),
        modalities=own.modalities.union(*(turn.modalities for turn in turns)),
    )
