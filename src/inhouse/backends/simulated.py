"""A simulated provider: an OpenAI-dialect server for demos and tests. Everything that it says is labelled simulated.

It calls nobody and knows no route. Its answers come from a function given to it; delays and mistakes follow from the
seed and the prompt, so that two runs over the same requests give the same answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import math
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import uvicorn
from msgspec import Meta, Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from inhouse.backends.faults import DrawnFault, FaultKind, FaultMix, FaultSwitch
from inhouse.backends.settings import SimulationSettings

FINGERPRINT = "simulated"
IMAGE_ANSWER = "Simulated description: a picture, not looked at by any model."
CHARS_PER_TOKEN = 4
"""The simulated tokenizer: a token is four characters, the last one of a text may be shorter."""
TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 85
FAULTS_PATH = "/simulated/faults"
"""PUT a `FaultMix` to put it in force, GET what is. Only where the provider listens on loopback."""
_HEADERS = {"x-simulated": "true"}
_DRAIN_S = 3
_MIDDLE = frozenset({FaultKind.STALL, FaultKind.CUT, FaultKind.END})


class SimulatedAnswer(Struct, frozen=True):
    """The right answer to a prompt, and a wrong one of the same kind."""

    text: str
    wrong_text: str


Oracle = Callable[[str], SimulatedAnswer | None]
"""The last user message's text → its answers; None where the prompt is not known."""


@dataclass(frozen=True, slots=True)
class SimulatedFaults:
    """What goes wrong on purpose, for tests of what stands before it. Nothing by default.

    Args:
        status: every chat request is answered with this HTTP error.
        retry_after_s: sent with `status` as `retry-after`.
        cut_after_tokens: a stream's connection breaks off after so many tokens.
        stall_after_tokens: a stream goes silent after so many tokens and stays open.
        omits_usage: usage is never reported.
    """

    status: int | None = None
    retry_after_s: float | None = None
    cut_after_tokens: int | None = None
    stall_after_tokens: int | None = None
    omits_usage: bool = False


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """One simulated provider. `port` 0 picks a free one; with `api_key`, requests must bear it."""

    name: str
    model_names: Sequence[str]
    settings: SimulationSettings
    host: str
    port: int
    answer: Oracle
    api_key: str | None = field(default=None, repr=False)
    faults: SimulatedFaults = SimulatedFaults()


class SimulatedPlan(Struct, frozen=True, kw_only=True):
    """What one request will get: pieces of text (a token each), and the seconds to wait before each."""

    pieces: tuple[str, ...]
    waits_s: tuple[float, ...]
    is_wrong: bool
    finish_reason: str


class _Part(Struct):
    type: str
    text: str = ""


class _Message(Struct):
    role: str
    content: str | list[_Part] | None = None


class _StreamOptions(Struct):
    include_usage: bool = False


class _ChatBody(Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    n: int | None = None


class _Refusal(Exception):  # noqa: N818 -- an answer to the client, not a fault of this server
    """An OpenAI-shaped error answer."""

    def __init__(self, status: int, code: str, message: str, *, param: str | None = None) -> None:
        self.status = status
        self.code = code
        self.param = param
        super().__init__(message)


def run_simulated_provider(run: SimulatedRun) -> int:
    """Serve until SIGTERM or SIGINT; prints `LISTENING http://host:port` when ready. Returns 0."""
    listener = socket.create_server((run.host, run.port), family=socket.AF_INET6 if ":" in run.host else socket.AF_INET)
    with listener:
        asyncio.run(_serve(run, listener))
    return 0


def build_simulated_app(run: SimulatedRun) -> Starlette:
    """The provider as an ASGI application, for servers other than `run_simulated_provider`."""
    provider = _Provider(run)
    routes = [
        Route("/v1/models", provider.list_models, methods=["GET"]),
        Route("/v1/chat/completions", provider.complete_chat, methods=["POST"]),
    ]
    if _is_loopback(run.host):
        routes.append(Route(FAULTS_PATH, provider.switch_faults, methods=["GET", "PUT"]))
    return Starlette(routes=routes, exception_handlers={_Refusal: _answer_refusal, HTTPException: _answer_http_error})


def plan_answer(
    prompt: str, answer: SimulatedAnswer, settings: SimulationSettings, *, max_tokens: int | None = None
) -> SimulatedPlan:
    """Decide text, mistakes and delays from the seed and the prompt alone."""
    key = hashlib.sha256(f"{settings.seed}\0{prompt}".encode()).digest()
    draw = random.Random(int.from_bytes(key))
    is_wrong = draw.random() < settings.error_rate
    pieces = _cut_tokens(answer.wrong_text if is_wrong else answer.text)
    is_cut = max_tokens is not None and len(pieces) > max_tokens
    kept = pieces[:max_tokens] if is_cut else pieces
    first_s = draw.lognormvariate(math.log(settings.first_token_ms_median / 1000), settings.first_token_sigma)
    mean_s = settings.token_ms_mean / 1000
    gaps = (draw.expovariate(1 / mean_s) if mean_s else 0.0 for _ in kept[1:])
    return SimulatedPlan(
        pieces=kept, waits_s=(first_s, *gaps), is_wrong=is_wrong, finish_reason="length" if is_cut else "stop"
    )


def count_tokens(text: str) -> int:
    """Tokens of the simulated tokenizer; an empty text has none."""
    return math.ceil(len(text) / CHARS_PER_TOKEN)


class _Provider:
    def __init__(self, run: SimulatedRun) -> None:
        self._run = run
        self._started_at = int(time.time())
        self._num_replies = 0
        self._switch = FaultSwitch(run.settings.seed)

    async def list_models(self, request: Request) -> Response:
        self._check_key(request)
        owner = f"{self._run.name} (simulated)"
        rows = [
            {"id": name, "object": "model", "created": self._started_at, "owned_by": owner}
            for name in self._run.model_names
        ]
        return _reply(200, {"object": "list", "data": rows})

    async def switch_faults(self, request: Request) -> Response:
        """Say which faults are in force and what they have hit; with PUT, put others in force first."""
        self._check_key(request)
        if request.method == "PUT":
            try:
                self._switch.set(msgspec.json.decode(await request.body(), type=FaultMix))
            except msgspec.DecodeError as error:
                raise _Refusal(400, "invalid_request", f"The body is no mix of faults: {error}.") from None
        return Response(self._switch.describe(), media_type="application/json", headers=_HEADERS)

    async def complete_chat(self, request: Request) -> Response:
        self._check_key(request)
        body = self._read_body(await request.body())
        faults = self._run.faults
        if faults.status is not None:
            waits = {} if faults.retry_after_s is None else {"retry-after": f"{faults.retry_after_s:g}"}
            return _error(faults.status, "simulated_fault", "simulated provider: a fault on purpose", headers=waits)
        prompt, num_images = _read_prompt(body.messages)
        drawn = self._switch.draw(prompt)
        if drawn is not None and (drawn.kind not in _MIDDLE or not body.stream):
            return await self._fail(drawn.kind, request)
        max_tokens = body.max_completion_tokens or body.max_tokens
        plan = plan_answer(prompt, self._find_answer(prompt, num_images), self._run.settings, max_tokens=max_tokens)
        self._num_replies += 1
        frame = {
            "id": f"chatcmpl-simulated-{self._num_replies}",
            "created": int(time.time()),
            "model": body.model,
            "system_fingerprint": FINGERPRINT,
        }
        usage = None if faults.omits_usage else _make_usage(body.messages, plan)
        if body.stream:
            wants_usage = body.stream_options is not None and body.stream_options.include_usage
            events = self._stream(plan, frame, usage if wants_usage else None, drawn)
            return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)
        await asyncio.sleep(sum(plan.waits_s))
        message = {"role": "assistant", "content": "".join(plan.pieces), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": plan.finish_reason}
        whole: dict[str, object] = {**frame, "object": "chat.completion", "choices": [choice]}
        return _reply(200, whole if usage is None else {**whole, "usage": usage})

    async def _fail(self, kind: FaultKind, request: Request) -> Response:
        """What a fault of the mix answers in place of a reply."""
        if kind is FaultKind.THROTTLE:
            waits = {"retry-after": f"{self._switch.mix.retry_after_s}"}
            return _error(429, "rate_limit_exceeded", "simulated provider: slow down, on purpose", headers=waits)
        if kind in (FaultKind.ERROR, FaultKind.CUT):
            status = 503 if kind is FaultKind.ERROR else 500
            return _error(status, "simulated_fault", "simulated provider: a fault on purpose")
        if kind is not FaultKind.END:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        return Response(b"", media_type="application/json", headers=_HEADERS)

    async def _stream(
        self,
        plan: SimulatedPlan,
        frame: Mapping[str, object],
        usage: Mapping[str, object] | None,
        drawn: DrawnFault | None,
    ) -> AsyncIterator[bytes]:
        """The role with the first token, a chunk for each token, the end, and the usage where it was asked for."""
        breaks = self._plan_breaks(len(plan.pieces), drawn)
        for index, (piece, wait_s) in enumerate(zip(plan.pieces, plan.waits_s, strict=True)):
            if index in breaks:
                await _break_off(breaks[index])
                return
            await asyncio.sleep(wait_s)
            if index == 0:
                yield _event(frame, {"role": "assistant", "content": ""}, None)
            yield _event(frame, {"content": piece}, None)
        if len(plan.pieces) in breaks:
            await _break_off(breaks[len(plan.pieces)])
            return
        yield _event(frame, {}, plan.finish_reason)
        if usage is not None:
            last: dict[str, object] = {**frame, "object": "chat.completion.chunk", "choices": [], "usage": usage}
            yield b"data: " + msgspec.json.encode(last) + b"\n\n"
        yield b"data: [DONE]\n\n"

    def _plan_breaks(self, num_pieces: int, drawn: DrawnFault | None) -> dict[int, FaultKind]:
        """After how many tokens a stream meets a fault: those of the process, and the one drawn (after the first)."""
        faults = self._run.faults
        breaks: dict[int, FaultKind] = {}
        if drawn is not None:
            breaks[1 + int(drawn.position * num_pieces) % num_pieces] = drawn.kind
        if faults.stall_after_tokens is not None and faults.stall_after_tokens < num_pieces:
            breaks[faults.stall_after_tokens] = FaultKind.STALL
        if faults.cut_after_tokens is not None and faults.cut_after_tokens < num_pieces:
            breaks[faults.cut_after_tokens] = FaultKind.CUT
        return breaks

    def _check_key(self, request: Request) -> None:
        wanted = self._run.api_key
        given = request.headers.get("authorization", "")
        if wanted is not None and not hmac.compare_digest(given.encode(), f"Bearer {wanted}".encode()):
            raise _Refusal(401, "invalid_api_key", "Incorrect API key provided (simulated provider).")

    def _read_body(self, content: bytes) -> _ChatBody:
        try:
            body = msgspec.json.decode(content, type=_ChatBody)
        except msgspec.DecodeError as error:
            raise _Refusal(400, "invalid_request", f"The body is no chat request: {error}.") from None
        if body.model not in self._run.model_names:
            raise _Refusal(404, "model_not_found", f"The model {body.model!r} does not exist here.", param="model")
        if body.n not in (None, 1):
            raise _Refusal(400, "invalid_request", "The simulated provider gives one answer: leave n out.", param="n")
        return body

    def _find_answer(self, prompt: str, num_images: int) -> SimulatedAnswer:
        if num_images:
            return SimulatedAnswer(IMAGE_ANSWER, IMAGE_ANSWER)
        unknown = f"This is the simulated provider {self._run.name}; it has no answer to this prompt."
        return self._run.answer(prompt) or SimulatedAnswer(unknown, unknown)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _break_off(kind: FaultKind) -> None:
    """Do what the fault does in the middle of a stream; where this returns, the body is to end as HTTP wants it."""
    if kind is FaultKind.CUT:
        raise ConnectionAbortedError("a simulated fault: the stream breaks off")
    if kind is FaultKind.STALL:
        await asyncio.Event().wait()


def _read_prompt(messages: Sequence[_Message]) -> tuple[str, int]:
    """Text and number of images of the last user message; empty where there is none."""
    last = next((message for message in reversed(messages) if message.role == "user"), None)
    return ("", 0) if last is None else (_text_of(last), _count_images(last))


def _text_of(message: _Message) -> str:
    if isinstance(message.content, list):
        return "".join(part.text for part in message.content if part.type == "text")
    return message.content or ""


def _count_images(message: _Message) -> int:
    if isinstance(message.content, list):
        return sum(part.type in ("image_url", "input_image") for part in message.content)
    return 0


def _make_usage(messages: Sequence[_Message], plan: SimulatedPlan) -> dict[str, object]:
    num_prompt = sum(
        TOKENS_PER_MESSAGE + count_tokens(_text_of(message)) + TOKENS_PER_IMAGE * _count_images(message)
        for message in messages
    )
    num_completion = len(plan.pieces)
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_completion,
        "total_tokens": num_prompt + num_completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _cut_tokens(text: str) -> tuple[str, ...]:
    """Pieces of four characters; one empty piece for an empty text, so that there is a first token to wait for."""
    return tuple(text[start : start + CHARS_PER_TOKEN] for start in range(0, len(text), CHARS_PER_TOKEN)) or ("",)


def _event(frame: Mapping[str, object], delta: Mapping[str, object], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    payload = {**frame, "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"


def _reply(status: int, payload: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(payload), status, media_type="application/json", headers={**_HEADERS, **(headers or {})}
    )


def _error(
    status: int, code: str, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    return _reply(status, {"error": {"message": message, "type": kind, "param": param, "code": code}}, headers)


async def _answer_refusal(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, _Refusal):
        raise error
    return _error(error.status, error.code, str(error), param=error.param)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    text = f"The simulated provider has no {request.method} {request.url.path}."
    return _error(error.status_code, "unknown_path", text)


class _Server(uvicorn.Server):
    """Leaves signals to `_serve`, so that they end the run with code 0, and says when it listens."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            sys.stdout.write(f"LISTENING http://{f'[{host}]' if ':' in host else host}:{port}\n")
            sys.stdout.flush()


async def _serve(run: SimulatedRun, listener: socket.socket) -> None:
    config = uvicorn.Config(
        build_simulated_app(run),
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
    )
    server = _Server(config)

    def end() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    await server.serve(sockets=[listener])
