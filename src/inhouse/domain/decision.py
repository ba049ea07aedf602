"""What a request asks for, and what was decided about it, with reasons. The deciding itself is routing's."""

from __future__ import annotations

from msgspec import Struct

from inhouse.domain.snapshot import Modality


class RequestFacts(Struct, frozen=True, kw_only=True):
    """The facts of one request that a decision may rest on; never its content.

    `headers` holds lower-case names, only those that the route's rules name.
    `pinned_endpoint` is set by an eval key only: the request goes there or fails.
    """

    route: str
    task: str | None = None
    modalities: frozenset[Modality] = frozenset({Modality.TEXT})
    headers: tuple[tuple[str, str], ...] = ()
    pinned_endpoint: str | None = None


class Candidate(Struct, frozen=True, kw_only=True):
    """One variant that may serve the request, in the order to try it."""

    variant: str
    variant_digest: str | None
    endpoint_id: str


class RouteDecision(Struct, frozen=True, kw_only=True):
    """Ordered candidates and the reasons; empty candidates mean that the request is refused with these reasons.

    `is_capability_refusal`: there is no candidate, and what the request carries is the only cause (so it is the
    client's to mend).
    """

    route: str
    candidates: tuple[Candidate, ...]
    reasons: tuple[str, ...]
    is_capability_refusal: bool = False
