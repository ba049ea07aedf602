"""Tries candidates and their replicas in order until one's reply can be committed. Writes nothing to the client."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from inhouse.backends import HttpClient
from inhouse.domain import Candidate, Endpoint, EndpointError, ErrorCode, Replica
from inhouse.gateway.call import ChatCall
from inhouse.gateway.exchange import ChatExchange
from inhouse.gateway.record import TraceDraft
from inhouse.gateway.settings import TimeoutSettings
from inhouse.gateway.view import ServingView
from inhouse.routing import pick_replica

AVOID_S = 5.0
"""A replica that could not be reached is tried last for this long, so that a dead one is not everybody's first try."""
_AVOIDED = 1_000_000
_FORWARDED = (b"accept", b"x-request-id", b"traceparent", b"tracestate")
_JSON = b"application/json"


class Sent(Struct, frozen=True):
    """A reply that can be committed, and who gave it."""

    exchange: ChatExchange
    candidate: Candidate
    endpoint: Endpoint
    replica: Replica


class Sender:
    """Sends requests upstream and counts what is in flight.

    Args:
        client: the HTTP client.
        timeouts: deadlines of one request.
    """

    def __init__(self, client: HttpClient, timeouts: TimeoutSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._timeouts = timeouts
        self._in_flight: Counter[str] = Counter()
        self._avoided_until: dict[str, float] = {}
        self._num_sent = 0

    @property
    def in_flight(self) -> dict[str, int]:
        """Requests under way by replica, those at zero left out."""
        return {replica_id: num for replica_id, num in self._in_flight.items() if num}

    async def send(
        self, call: ChatCall, candidates: tuple[Candidate, ...], view: ServingView, draft: TraceDraft
    ) -> Sent:
        """The first reply that can be committed. Its replica stays counted until `release`.

        Raises:
            EndpointError: the last attempt's failure, when nothing is left to try.
            StateError: the open record could not be written; nothing was sent.
        """
        loop = self._loop
        total_at = loop.time() + self._timeouts.total_s
        failure: EndpointError | None = None
        for candidate, endpoint, replica in self._list_tries(candidates, view):
            draft.begin_attempt(candidate, endpoint, replica)
            withholds_usage = call.chat.is_stream and not call.chat.asks_usage
            exchange = ChatExchange(loop, self._timeouts, total_at, withholds_usage=withholds_usage)
            began_at = time.perf_counter()
            is_started = False
            self._in_flight[replica.replica_id] += 1
            try:
                address = view.address(endpoint, replica)
                payload = build_payload(address.head, call, endpoint.model)
                await self._client.perform(address.target, payload, exchange, self._timeouts.connect_s)
                is_started = True
            except EndpointError as error:
                failure = error
                self._note_failure(error, replica, exchange)
                draft.note_attempt(began_at, error.status, error.code)
                if not error.is_retryable or loop.time() >= total_at:
                    break
            else:
                draft.note_attempt(began_at, exchange.status)
                return Sent(exchange, candidate, endpoint, replica)
            finally:
                if not is_started:
                    exchange.abandon()
                    self.release(replica)
        raise failure or EndpointError(ErrorCode.UPSTREAM_UNREACHABLE, "no replica is ready")

    def release(self, replica: Replica) -> None:
        """The reply of a replica has ended."""
        self._in_flight[replica.replica_id] -= 1

    def _list_tries(
        self, candidates: tuple[Candidate, ...], view: ServingView
    ) -> Iterator[tuple[Candidate, Endpoint, Replica]]:
        """Every ready replica of each candidate once, picked when its turn comes."""
        tried: set[str] = set()
        for candidate in candidates:
            endpoint = view.snapshot.endpoints[candidate.endpoint_id]
            while True:
                self._num_sent += 1
                replica = pick_replica(endpoint.replicas, self._weigh_loads(), tried, tie=self._num_sent)
                if replica is None:
                    break
                tried.add(replica.replica_id)
                yield candidate, endpoint, replica

    def _weigh_loads(self) -> Counter[str]:
        if not self._avoided_until:
            return self._in_flight
        now = time.monotonic()
        self._avoided_until = {replica_id: at for replica_id, at in self._avoided_until.items() if at > now}
        return self._in_flight + Counter(dict.fromkeys(self._avoided_until, _AVOIDED))

    def _note_failure(self, error: EndpointError, replica: Replica, exchange: ChatExchange) -> None:
        """A replica that gave no answer at all is tried last for a while."""
        if error.status is None and exchange.status == 0:
            self._avoided_until[replica.replica_id] = time.monotonic() + AVOID_S


def build_payload(head: bytes, call: ChatCall, model: str) -> bytes:
    """The upstream request: the address's head, the allowed headers, the edited body."""
    body = call.chat.edit(model)
    headers = call.request.headers
    lines = [b"%b: %b\r\n" % (name, headers[name]) for name in _FORWARDED if name in headers]
    return b"%b%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (
        head,
        b"".join(lines),
        headers.get(b"content-type", _JSON),
        len(body),
        body,
    )
