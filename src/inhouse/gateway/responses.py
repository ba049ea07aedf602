"""Responses requests: each may follow kept ones, and its answer may be kept. All else is as with any request."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inhouse.backends import ReplyFacts, ResponsesRequest, Turn, continue_request
from inhouse.domain import TraceStatus
from inhouse.gateway.attempt import AttemptCall
from inhouse.gateway.call import Call, read_call
from inhouse.gateway.connection import ClientConnection, Request, Serving
from inhouse.gateway.conversation import Conversation, refuse_missing, refuse_unkept
from inhouse.gateway.dialects import ClientDialect
from inhouse.gateway.machine import MachineParts, RequestMachine
from inhouse.gateway.record import Outcome
from inhouse.gateway.serve import RequestStarter, decide_call
from inhouse.gateway.stored import ResponseShelf
from inhouse.gateway.view import Lane, ServingView
from inhouse.gateway.waiting import Refuse, WaitingRequest


class ResponsesStarter:
    """Starts requests of the Responses dialect.

    Args:
        starter: starts every other request.
        parts: what the worker's requests share.
        shelf: where responses are kept; None where none are.
        refuse: what is told of a request that is refused after it had to wait.
    """

    def __init__(
        self, starter: RequestStarter, parts: MachineParts, shelf: ResponseShelf | None, refuse: Refuse
    ) -> None:
        self._starter = starter
        self._parts = parts
        self._shelf = shelf
        self._refuse = refuse

    def start(self, dialect: ClientDialect, request: Request, client: ClientConnection, view: ServingView) -> Serving:
        """Start one request; what it follows is read first.

        Raises:
            RequestError: it is refused before anything was sent.
        """
        call = read_call(dialect, request, view)
        own = call.wire
        if not isinstance(own, ResponsesRequest):
            raise TypeError("this dialect's reader gives nothing else")
        if own.previous_response_id is None:
            return self._begin(call, Conversation(own=own, shelf=self._choose_shelf(call, own, (), view)), client, view)
        if self._shelf is None:
            raise refuse_unkept()
        waiting = WaitingRequest(request, client, self._refuse)
        waiting.start(self._follow(self._shelf, own.previous_response_id, call, own, client, view))
        return waiting

    async def _follow(
        self,
        shelf: ResponseShelf,
        previous_id: str,
        call: Call,
        own: ResponsesRequest,
        client: ClientConnection,
        view: ServingView,
    ) -> Serving:
        """Read the earlier turns, then begin: the route is decided on what they carry too."""
        turns = await shelf.list_turns(previous_id, call.key.key_id)
        if turns is None:
            raise refuse_missing()
        wire = continue_request(own, turns, "")
        facts = msgspec.structs.replace(call.facts, modalities=wire.modalities)
        call = msgspec.structs.replace(call, wire=wire, facts=facts, is_plain=False)
        conversation = Conversation(own=own, turns=turns, shelf=self._choose_shelf(call, own, turns, view))
        return self._begin(call, conversation, client, view)

    def _begin(
        self, call: Call, conversation: Conversation, client: ClientConnection, view: ServingView
    ) -> RequestMachine:
        decision = decide_call(call, view)
        if conversation.turns:
            decision = conversation.restrict(decision, view.snapshot)
        draft = self._starter.draft_trace(call, decision, view)
        machine = ConversationMachine(self._parts, client, call, decision, view)
        machine.conversation = conversation
        machine.start(draft, view.only_lane(decision, call.dialect.operation))
        return machine

    def _choose_shelf(
        self, call: Call, own: ResponsesRequest, turns: Sequence[Turn], view: ServingView
    ) -> ResponseShelf | None:
        """Where the answer is kept: nowhere where the client forbids it, or the data class of anything in it."""
        routes = {call.facts.route, *(turn.route for turn in turns)}
        may_keep = own.is_stored and call.facts.pinned_endpoint is None and all(map(view.may_keep, routes))
        return self._shelf if may_keep else None


class ConversationMachine(RequestMachine):
    """A request whose endpoints get what was said before, and whose finished answer is kept."""

    conversation: Conversation
    _answering: AttemptCall | None = None

    def take_ready(self, attempt: AttemptCall) -> None:
        """The commit point; the attempt that comes to it is the answer."""
        self._answering = attempt
        super().take_ready(attempt)

    def take_answer(self, attempt: AttemptCall, facts: ReplyFacts) -> None:
        """The answer is looked at once more before its trace is closed."""
        del facts
        self.take_ready(attempt)

    def close_trace(self, outcome: Outcome) -> None:
        """Record the end, then hand the finished answer over to be kept. Both come before the client's last byte."""
        super().close_trace(outcome)
        attempt = self._answering
        if attempt is None or outcome.status is not TraceStatus.COMPLETE:
            return
        response = attempt.final_response
        if response is not None:  # else the translation's end is still to come, and with it another call
            self._answering = None
            call, endpoint_id = self._call, self._lane.endpoint.endpoint_id
            self.conversation.keep(response, call.key.key_id, call.facts.route, endpoint_id)

    def _begin(self, lane: Lane, now: float) -> bool:
        if self.conversation.turns:
            wire = self.conversation.build_wire(lane.endpoint.endpoint_id)
            self._call = msgspec.structs.replace(self._call, wire=wire)
        return super()._begin(lane, now)
