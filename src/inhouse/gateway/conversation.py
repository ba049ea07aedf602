"""A Responses request and the kept ones that it follows: what each endpoint gets of them, and who may get any."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from inhouse.backends import ResponsesRequest, Turn, WireRequest, continue_request
from inhouse.domain import Candidate, ErrorCode, RequestError, RouteDecision, Snapshot
from inhouse.gateway.stored import Answered, ResponseShelf

_FIELD = "previous_response_id"


class Conversation(Struct, frozen=True, kw_only=True):
    """What a request has to do with kept responses. `shelf` is None where its own answer is not to be kept."""

    own: ResponsesRequest
    turns: Sequence[Turn] = ()
    shelf: ResponseShelf | None = None

    def build_wire(self, endpoint_id: str) -> WireRequest:
        """The request as one endpoint gets it."""
        return continue_request(self.own, self.turns, endpoint_id) if self.turns else self.own

    def keep(self, response: bytes, key_id: str, route: str, endpoint_id: str) -> None:
        """Keep the finished answer, if that is wanted and allowed."""
        if self.shelf is not None:
            answered = Answered(
                request=self.own, response=response, key_id=key_id, route=route, endpoint_id=endpoint_id
            )
            self.shelf.keep(answered)

    def restrict(self, decision: RouteDecision, snapshot: Snapshot) -> RouteDecision:
        """Leave out who may not see what was said on another route before.

        Raises:
            RequestError: 400, nobody is left.
        """
        routes = sorted({turn.route for turn in self.turns})
        allowed: list[Candidate] = []
        reasons = list(decision.reasons)
        for candidate in decision.candidates:
            reason = _find_bar(routes, snapshot.endpoints[candidate.endpoint_id].processor, snapshot)
            if reason is None:
                allowed.append(candidate)
            else:
                reasons.append(f"left out {candidate.variant or candidate.endpoint_id}: {reason}")
        if decision.candidates and not allowed:
            message = f"No endpoint of this route may see the earlier responses ({'; '.join(reasons)})."
            raise RequestError(400, ErrorCode.NO_CANDIDATE, message, param=_FIELD)
        return msgspec.structs.replace(decision, candidates=tuple(allowed), reasons=tuple(reasons))


def refuse_unkept() -> RequestError:
    """Nothing is kept here, so nothing can be followed."""
    message = (
        f"This gateway keeps no responses, so '{_FIELD}' leads nowhere. Send the whole conversation as 'input', or ask "
        "the platform's owner to set `gateway.responses.keep`."
    )
    return RequestError(400, ErrorCode.INVALID_REQUEST, message, param=_FIELD)


def refuse_missing() -> RequestError:
    """The same words whether it is not there, or another key's, or one before it is gone."""
    message = (
        f"'{_FIELD}' names no kept response of this key: it was not kept, has expired or was deleted, or one before it "
        "was. Send the whole conversation as 'input'."
    )
    return RequestError(404, ErrorCode.RESPONSE_NOT_FOUND, message, param=_FIELD)


def _find_bar(routes: Sequence[str], processor: str, snapshot: Snapshot) -> str | None:
    """Why a processor may not see content of these routes; None where it may."""
    for name in routes:
        route = snapshot.routes.get(name)
        if route is None:
            return f"the conversation began on the route {name}, which is gone, and with it who may see it"
        verdict = snapshot.egress.check(processor, route.data_class)
        if not verdict.is_allowed:
            return f"{verdict.reason} (said on the route {name})"
    return None
