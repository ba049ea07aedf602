"""Scene 2: mixed traffic on one route; most stays in-house, reasoning and an image go to the (simulated) provider."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from inhouse.cli.evals_view import format_interval, new_table
from inhouse.cli.oracle import demo_workload
from inhouse.cli.scenes.stage import ROUTE, Stage
from inhouse.cli.traffic import ChatReply, run_all, stream_chat
from inhouse.domain import Trace, TraceClose
from inhouse.evals import load_suite, wilson_interval
from inhouse.evals.tickets import TaskType, Ticket

_NUM_TICKETS = 300
_NUM_AT_ONCE = 12
_TRACE_WAIT_S = 5.0
# One transparent pixel: the smallest real PNG that a multimodal endpoint accepts.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


@dataclass(frozen=True, slots=True)
class _Answered:
    """One ticket's reply, its score (None: nothing to score by) and its trace."""

    task: str
    reply: ChatReply
    is_right: bool | None
    trace: Trace | None


async def show_hybrid(stage: Stage) -> None:
    """Send 300 tickets and one image, and show quality, times and cost by task and endpoint."""
    stage.title(2, f"{_NUM_TICKETS} tickets and one image through one hybrid route")
    stage.status("rules: task=reasoning → paid, modality=image → paid, everything else → in-house")
    tickets = list(itertools.islice(demo_workload(), _NUM_TICKETS))
    started_at = time.monotonic()
    replies, image = await _send_all(stage, tickets)
    seconds = time.monotonic() - started_at
    answered = await _join(stage, tickets, replies, image)
    stage.print(_render(stage, answered))
    in_house = sum(not item.reply.headers.get("simulated") for item in answered)
    failed = [item for item in answered if not item.reply.is_complete]
    stage.print(
        f"{in_house} of {len(answered)} requests ({in_house / len(answered):.0%}) stayed in-house; "
        f"{len(failed)} failed; {seconds:.1f} s for all"
    )
    stage.status("TTFT p50/p95, TPOT p50. $ per M: a million requests at list price or busy share")
    errors = "; ".join({str(item.reply.error) for item in failed})
    stage.require(not failed, f"{len(failed)} requests failed: {errors}")
    stage.require(
        all(_goes_out(item.task) == (item.reply.headers.get("endpoint") == "paid/mid") for item in answered),
        "a request went to the other side than the route's rules say",
    )


async def _send_all(stage: Stage, tickets: Sequence[Ticket]) -> tuple[list[ChatReply], ChatReply]:
    with Progress(
        TextColumn("  sending"), BarColumn(), MofNCompleteColumn(), console=stage.console, transient=True
    ) as progress:
        bar = progress.add_task("", total=len(tickets) + 1)

        async def send(ticket: Ticket) -> ChatReply:
            reply = await stream_chat(stage.call, make_body(ticket.prompt), headers={"x-inhouse-task": ticket.task})
            progress.advance(bar)
            return reply

        replies = await run_all(tickets, send, num_at_once=_NUM_AT_ONCE)
        image = await stream_chat(stage.call, _image_body())
        progress.advance(bar)
    return replies, image


def make_body(prompt: str) -> dict[str, Any]:
    """A chat request for one ticket."""
    return {
        "model": ROUTE,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": 160,
    }


def _image_body() -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}}
    text = {"type": "text", "text": "What does the screenshot of this ticket show?"}
    return {"model": ROUTE, "messages": [{"role": "user", "content": [text, image]}]}


async def _join(
    stage: Stage, tickets: Sequence[Ticket], replies: Sequence[ChatReply], image: ChatReply
) -> list[_Answered]:
    """Add scores by the suite's own scorers, and the traces that the host agent has shipped."""
    suite = load_suite("builtin:tickets")
    scorers = {task: suite.primary(task).build() for task in suite.tasks}
    ids = [reply.headers["trace"] for reply in [*replies, image] if "trace" in reply.headers]
    traces = await wait_for_traces(stage, ids)
    answered = [
        _Answered(
            ticket.task,
            reply,
            (scorers[ticket.task].score(reply.text, ticket.target).value or 0.0) >= 1.0,
            traces.get(reply.headers.get("trace", "")),
        )
        for ticket, reply in zip(tickets, replies, strict=True)
    ]
    return [*answered, _Answered("(image)", image, None, traces.get(image.headers.get("trace", "")))]


async def wait_for_traces(stage: Stage, ids: Sequence[str]) -> dict[str, Trace]:
    """The closed traces of `ids`, waiting a moment for the last ones to be shipped."""
    give_up_at = time.monotonic() + _TRACE_WAIT_S
    while True:
        traces = await asyncio.to_thread(stage.platform.store.traces.find, ids)
        closed = {trace_id: trace for trace_id, trace in traces.items() if trace.close is not None}
        if len(closed) == len(set(ids)) or time.monotonic() > give_up_at:
            return closed
        await asyncio.sleep(0.1)


def _render(stage: Stage, answered: Sequence[_Answered]) -> Any:
    groups: defaultdict[tuple[str, str], list[_Answered]] = defaultdict(list)
    for item in answered:
        groups[item.task, item.reply.headers.get("endpoint", "none")].append(item)
    table = new_table("task", "endpoint", "", "n", "right, % (95 %)", "TTFT, ms", "TPOT, ms", "$ per M")
    order = [*TaskType, "(image)"]
    for (task, endpoint), items in sorted(groups.items(), key=lambda group: (order.index(group[0][0]), group[0][1])):
        closes = [item.trace.close for item in items if item.trace and item.trace.close]
        scored = [item.is_right for item in items if item.is_right is not None]
        num_right = sum(scored)
        table.add_row(
            task,
            endpoint,
            stage.tag(is_simulated=any(item.reply.headers.get("simulated") for item in items)),
            str(len(items)),
            _format_right(num_right, len(scored)),
            _format_quantiles(closes, lambda close: close.ttft_ms, (0.5, 0.95)),
            _format_quantiles(closes, lambda close: close.tpot_ms, (0.5,)),
            _format_cost(closes),
        )
    return table


def _format_right(num_right: int, num_scored: int) -> str:
    if not num_scored:
        return "not scored"
    return f"{num_right / num_scored * 100:.1f} ({format_interval(wilson_interval(num_right, num_scored))})"


def _goes_out(task: str) -> bool:
    return task in {TaskType.REASONING, "(image)"}


def _format_quantiles(
    closes: Sequence[TraceClose], read: Callable[[TraceClose], float | None], shares: tuple[float, ...]
) -> str:
    values = [value for close in closes if (value := read(close)) is not None]
    if not values:
        return "-"
    return "/".join(f"{value:.1f}" if value < 10 else f"{value:.0f}" for value in np.quantile(values, shares))


def _format_cost(closes: Sequence[TraceClose]) -> str:
    costs = [close.cost_usd for close in closes if close.cost_usd is not None]
    return f"{1e6 * sum(costs) / len(costs):,.2f}" if costs else "unpriced"
