"""Asks one endpoint through the gateway and collects its streamed answer. Retries nothing, scores nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol, cast

import msgspec
from msgspec import Struct

from inhouse.backends import (
    CHAT_PATH,
    EventCutter,
    EventTooLongError,
    HttpClient,
    StreamedResponse,
    Timeouts,
    read_data,
    split_events,
)
from inhouse.domain import EndpointError, ErrorCode, InhouseError
from inhouse.evals.suite import Message, Sampling

_MAX_OUTPUT_BYTES = 16_777_216
_OK = 200
_DONE = b"[DONE]"
_HOPELESS = frozenset(
    {
        ErrorCode.MISSING_API_KEY,
        ErrorCode.INVALID_API_KEY,
        ErrorCode.ROUTE_NOT_ALLOWED,
        ErrorCode.PIN_NOT_ALLOWED,
        ErrorCode.MODEL_NOT_FOUND,
        ErrorCode.UNKNOWN_PATH,
    }
)
"""Codes that every further request would get too."""


class GatewayDownError(InhouseError):
    """Nobody took the request: the gateway is not there, or shutting down. It may be restarting."""


class GatewayRefusedError(InhouseError):
    """The gateway refuses every request of this run: the key or the endpoint is wrong."""


class ChatCall(Struct, frozen=True, kw_only=True):
    """One question to an endpoint."""

    endpoint_id: str
    task: str
    messages: tuple[Message, ...]
    sampling: Sampling


class ChatReply(Struct, frozen=True, kw_only=True):
    """What came back: an answer (`text`, perhaps empty) or an `error_code`, never both.

    Times in milliseconds by this process's clock, from the sending; the gateway's own stand in the trace.
    """

    text: str | None = None
    error_code: str | None = None
    trace_id: str | None = None
    is_simulated: bool = False
    latency_ms: float
    ttft_ms: float | None = None


class ChatClient(Protocol):
    """Who can be asked."""

    async def chat(self, call: ChatCall) -> ChatReply:
        """Ask once.

        Raises:
            GatewayDownError: the request was taken by nobody; it may be tried again.
            GatewayRefusedError: no request of this kind will be answered.
        """
        ...


class GatewayChat:
    """The gateway's data port, as an eval key sees it.

    Args:
        base_url: address of the data port (`http://127.0.0.1:8080`, with or without `/v1`).
        token: eval key, sent as Bearer; it appears in no error and no repr.
        http: the client to use; the caller closes it.
        timeouts: deadlines of one request.
    """

    def __init__(self, base_url: str, token: str, http: HttpClient, *, timeouts: Timeouts | None = None) -> None:
        root = base_url.rstrip("/")
        self._url = (root if root.endswith("/v1") else f"{root}/v1") + CHAT_PATH
        self._token = token
        self._http = http
        self._timeouts = timeouts or Timeouts()

    async def chat(self, call: ChatCall) -> ChatReply:
        """Ask once, as a stream, so that the gateway measures the time to the first token."""
        headers = {
            "authorization": f"Bearer {self._token}",
            "content-type": "application/json",
            "x-inhouse-endpoint": call.endpoint_id,
            "x-inhouse-task": call.task,
        }
        answer = _Answer(asyncio.get_running_loop().time())
        body = _encode_body(call)
        try:
            async with self._http.stream(
                "POST", self._url, headers=headers, body=body, timeouts=self._timeouts
            ) as response:
                await answer.read(response)
        except EndpointError as error:
            if error.code is ErrorCode.UPSTREAM_UNREACHABLE:
                raise GatewayDownError(f"the gateway at {self._url} does not answer: {error}") from None
            answer.error_code = error.code.replace("upstream_", "gateway_")
        if answer.error_code == ErrorCode.SHUTTING_DOWN:
            raise GatewayDownError(f"the gateway at {self._url} is shutting down")
        if answer.error_code in _HOPELESS:
            raise GatewayRefusedError(f"the gateway refuses the evaluation of {call.endpoint_id}: {answer.error_code}")
        return answer.finish()


class _Answer:
    """Collects one reply, streamed or whole."""

    def __init__(self, started_at: float) -> None:
        self.error_code: str | None = None
        self._started_at = started_at
        self._headers: Mapping[str, str] = {}
        self._parts: list[str] = []
        self._num_bytes = 0
        self._first_at: float | None = None
        self._is_finished = False

    async def read(self, response: StreamedResponse) -> None:
        """Read to the end, or until the answer is known to be an error."""
        self._headers = response.headers
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        if response.status == _OK and is_stream:
            await self._read_events(response)
            return
        body = bytearray()
        async for chunk in response:
            body += chunk
            if len(body) > _MAX_OUTPUT_BYTES:
                self.error_code = "output_too_long"
                return
        self._take(bytes(body), response.status)

    def finish(self) -> ChatReply:
        """The reply as it is now."""
        now = asyncio.get_running_loop().time()
        if self.error_code is None and not self._is_finished:
            self.error_code = "gateway_cut"
        return ChatReply(
            text="".join(self._parts) if self.error_code is None else None,
            error_code=self.error_code,
            trace_id=self._headers.get("x-inhouse-trace") or None,
            is_simulated=self._headers.get("x-inhouse-simulated", "").lower() == "true",
            latency_ms=(now - self._started_at) * 1000,
            ttft_ms=None if self._first_at is None else (self._first_at - self._started_at) * 1000,
        )

    async def _read_events(self, response: StreamedResponse) -> None:
        cutter = EventCutter()
        async for chunk in response:
            self._num_bytes += len(chunk)
            try:
                block = cutter.feed(chunk)
            except EventTooLongError:
                block, self.error_code = b"", "output_too_long"
            if self._num_bytes > _MAX_OUTPUT_BYTES:
                self.error_code = "output_too_long"
            for event in split_events(block):
                data = read_data(event)
                if data == _DONE:
                    self._is_finished = True
                elif data is not None:
                    self._take(data, _OK)
            if self.error_code is not None:
                return

    def _take(self, data: bytes, status: int) -> None:
        """Read one chunk of a stream, a whole reply or an error."""
        try:
            reply: object = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or "error" in reply or status != _OK:
            self.error_code = _find_code(cast("object", reply), status)
            return
        try:
            chunk = msgspec.convert(reply, _Chunk)
        except msgspec.ValidationError:
            self.error_code = "invalid_reply"
            return
        for choice in chunk.choices[:1]:
            part = (choice.delta or choice.message or _Delta()).content
            if part:
                self._first_at = self._first_at or asyncio.get_running_loop().time()
                self._parts.append(part)
            self._is_finished = self._is_finished or choice.finish_reason is not None


class _Delta(Struct):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] = []


class _Error(Struct):
    code: str | int | None = None


class _ErrorReply(Struct):
    error: _Error


def _find_code(reply: object, status: int) -> str:
    """The wire code of an error reply; `http_<status>` where it has none, `invalid_reply` for a 200 without sense."""
    fallback = "invalid_reply" if status == _OK else f"http_{status}"
    try:
        return str(msgspec.convert(reply, _ErrorReply).error.code or fallback)[:100]
    except msgspec.ValidationError:
        return fallback


def _encode_body(call: ChatCall) -> bytes:
    sampling = call.sampling
    body: dict[str, Any] = {
        **sampling.extra,
        "model": call.endpoint_id,
        "messages": call.messages,
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    optional = {"seed": sampling.seed, "top_p": sampling.top_p, "stop": sampling.stop or None}
    return msgspec.json.encode(body | {name: value for name, value in optional.items() if value is not None})
