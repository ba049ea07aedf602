"""An endpoint on a raw socket that goes wrong as the model's name says: `fault:NAME:WHEN` or `fault:NAME:WHEN:TIMES`.

NAME is one of `kinds.FAULTS`, WHEN is `before` or `after` (the reply's first content), TIMES how many requests are hit
before all is well again. Any other model name gets the whole answer. OpenAI chat and Anthropic messages.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from typing import Any, Self

from flows.faults.kinds import FAULTS, Fault
from flows.faults.turn import BEFORE, Asked, Turn
from flows.faults.wire import ANTHROPIC, Answer

OWN_ANSWER = Answer(("All", " is", " well", " here", "."), num_input=7)


class FaultServer:
    """Serves on loopback in the running loop between `async with`.

    Args:
        answer: what is answered where nothing goes wrong.
    """

    def __init__(self, answer: Answer = OWN_ANSWER) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.may_break = asyncio.Event()
        """Faults `after` the first content wait for it; set, unless a test has a client that must see it first."""
        self.may_break.set()
        self.script: Fault | None = None
        """Answers every request in place of what its model names."""
        self.closed = asyncio.Event()
        """Set when a connection is lost while its request is being answered."""
        self._hits: Counter[str] = Counter()
        self._writers: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        # Bound and not listening: connections are refused, and nobody else gets the port.
        self._refusing = _bind_on_loopback()
        # Listening with a queue for one that nobody takes in: whoever comes later waits for ever.
        self._deaf = _bind_on_loopback()
        self._deaf.listen(0)
        self._queued = [socket.socket() for _ in range(2)]
        for waiting in self._queued:
            waiting.setblocking(False)
            waiting.connect_ex(self._deaf.getsockname())

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers.values():
            writer.transport.abort()
        await asyncio.gather(*self._writers)
        for unused in (self._refusing, self._deaf, *self._queued):
            unused.close()

    async def wait_asked(self, number: int = 1) -> None:
        """Wait until so many requests have arrived."""
        async with asyncio.timeout(10):
            while len(self.asked) < number:
                await asyncio.sleep(0.005)

    @property
    def num_open(self) -> int:
        """Connections that are open now."""
        return len(self._writers)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def refusing_url(self) -> str:
        """An address where every connection is refused."""
        return f"http://127.0.0.1:{self._refusing.getsockname()[1]}/v1"

    @property
    def deaf_url(self) -> str:
        """An address where a connection is never made."""
        return f"http://127.0.0.1:{self._deaf.getsockname()[1]}/v1"

    @property
    def unknown_url(self) -> str:
        """An address whose name does not exist."""
        return f"http://fault-server.invalid:{self.port}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._writers[task] = writer
        early = b""
        try:
            while not writer.is_closing():
                early = await self._serve_one(early, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self._writers[task]
            writer.transport.abort()

    async def _serve_one(self, early: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Serve a request whose first byte may have been read already; gives back that of the next one."""
        lines = (early + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        body = await reader.readexactly(int(headers["content-length"]))
        request: dict[str, Any] = json.loads(body)
        path = lines[0].split(" ")[1]
        has_usage = path == ANTHROPIC.path or bool((request.get("stream_options") or {}).get("include_usage"))
        asked = Asked(time.monotonic(), path, request["model"], bool(request.get("stream")), has_usage, body, headers)
        self.asked.append(asked)
        fault, when = (self.script, BEFORE) if self.script is not None else self._find_fault(asked.model)
        loop = asyncio.get_running_loop()
        answering = loop.create_task(fault(Turn(asked, when, self.answer, self.may_break, writer)))
        watching = loop.create_task(reader.read(1))
        is_answered = False
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and (watching.exception() is not None or not watching.result()):
                raise ConnectionAbortedError
            await answering
            is_answered = True
            if not writer.is_closing():
                watching.cancel()
                await asyncio.wait((watching,))
            return b"" if watching.cancelled() or not watching.done() else watching.result()
        finally:
            if not is_answered:
                self.closed.set()
            answering.cancel()
            watching.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)

    def _find_fault(self, model: str) -> tuple[Fault, str]:
        prefix, *words = model.split(":")
        if prefix != "fault" or len(words) < 2:
            return FAULTS["none"], BEFORE
        self._hits[model] += 1
        is_over = len(words) > 2 and self._hits[model] > int(words[2])
        return FAULTS["none" if is_over else words[0]], words[1]


def _bind_on_loopback() -> socket.socket:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound
