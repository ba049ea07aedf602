"""Scene 1: an application with the unchanged OpenAI SDK, in a process of its own, gets a streamed answer from clerk."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import msgspec
from rich.markup import escape
from rich.text import Text

from inhouse.cli.scenes.stage import ROUTE, SceneFailedError, Stage
from inhouse.evals.tickets import TaskType, generate_tickets

_SEED = 41
_TIMEOUT_S = 60.0


async def show_sdk(stage: Stage) -> None:
    """Run `inhouse.cli.sdk_app` with only its base URL changed, and show its stream as it arrives."""
    stage.title(1, "The OpenAI SDK, unchanged but for its base URL, streams from your own machine")
    ticket = generate_tickets(TaskType.EXTRACT, 1, seed=_SEED)[0]
    stage.status(f"OPENAI_BASE_URL={stage.call.base_url} python app.py")
    stage.print(Text(ticket.prompt, style="cyan"))
    async with asyncio.timeout(_TIMEOUT_S):
        events = await _run_app(stage, ticket.prompt, ticket.task)
    texts = [str(event["text"]) for event in events if event["kind"] == "text"]
    headers = _find_headers(events)
    stage.require(texts, "the SDK got no text")
    stage.require(any(event["kind"] == "end" for event in events), "the SDK's stream did not end")
    stage.print(Text("".join(texts), style="bold"))
    is_right = "".join(texts).strip() == ticket.target
    endpoint = headers.get("x-inhouse-endpoint", "?")
    stage.print(
        f"{stage.tag(is_simulated='x-inhouse-simulated' in headers)}  {len(texts)} streamed pieces from "
        f"[bold]{escape(endpoint)}[/] on this CPU, {'exactly right' if is_right else 'not the expected text'}"
    )


def _find_headers(events: list[dict[str, Any]]) -> dict[str, str]:
    for event in events:
        if event["kind"] == "headers":
            return event["headers"]
    return {}


async def _run_app(stage: Stage, prompt: str, task: str) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inhouse.cli.sdk_app", ROUTE, prompt, task,
        env={**os.environ, "OPENAI_BASE_URL": stage.call.base_url, "OPENAI_API_KEY": stage.call.key},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    if process.returncode != 0:
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise SceneFailedError(f"the application ended with exit code {process.returncode}: {''.join(last)}")
    return [msgspec.json.decode(line) for line in output.splitlines()]
