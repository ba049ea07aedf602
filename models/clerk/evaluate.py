"""Scores a GGUF model on held-out tickets through llama.cpp: greedy answers, exact match, Wilson intervals.

As a program it runs one model in this process and writes its answers; package.py starts one such process per level.
"""

import argparse
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import xllamacpp

from inhouse.evals.tickets import TaskType, Ticket, create_desk_database, generate_tickets

SEED = 20261
COUNT = 400
MAX_TOKENS = 96
_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """`right` of `count`, with its Wilson 95 % interval."""

    right: int
    count: int

    def __str__(self) -> str:
        low, high = wilson(self.right, self.count)
        return f"{100 * self.right / self.count:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    """Answer the held-out tickets with one model and write the answers as a JSON list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("answers", type=Path)
    arguments = parser.parse_args()
    replies = answer(arguments.model, held_out())
    arguments.answers.write_text(json.dumps(replies))


def held_out() -> list[Ticket]:
    """`COUNT` tickets of each task, the same for every model."""
    return [ticket for task in TaskType for ticket in generate_tickets(task, COUNT, seed=SEED)]


def answer(model: Path, tickets: Sequence[Ticket]) -> list[str]:
    """The model's greedy answer to each ticket, on one thread."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx, params.n_parallel, params.verbosity, params.cache_ram_mib = 1024, 1, 0, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.use_jinja = True
    server = xllamacpp.Server(params)
    return [_ask(server, ticket.prompt) for ticket in tickets]


def read_only_desk() -> sqlite3.Connection:
    """The desk database, closed to writes: the queries that run on it come from a model."""
    desk = create_desk_database()
    desk.execute("PRAGMA query_only=ON")
    return desk


def is_right(ticket: Ticket, reply: str, desk: sqlite3.Connection) -> bool:
    """Exact match of the text; for SQL, equal rows from the desk database."""
    if ticket.task is not TaskType.SQL:
        return reply == ticket.target
    try:
        return desk.execute(reply).fetchall() == desk.execute(ticket.target).fetchall()
    except (sqlite3.Error, sqlite3.Warning):
        return False


def shares(tickets: Sequence[Ticket], replies: Sequence[str]) -> dict[str, Share]:
    """Right answers per task, and per slice of a task as "task/slice" ("task/plain" where it has none)."""
    counts: dict[str, list[bool]] = {}
    desk = read_only_desk()
    for ticket, reply in zip(tickets, replies, strict=True):
        right = is_right(ticket, reply, desk)
        for key in (ticket.task.value, *(f"{ticket.task}/{name}" for name in ticket.slices or ("plain",))):
            counts.setdefault(key, []).append(right)
    desk.close()
    return {key: Share(sum(rights), len(rights)) for key, rights in counts.items()}


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927, JASA 22:209)."""
    share, square = right / count, _Z95**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = _Z95 * sqrt(share * (1 - share) / count + square / (4 * count**2)) / (1 + square / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def _ask(server: Any, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    reply = server.handle_chat_completions({"messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS})
    return str(reply["choices"][0]["message"]["content"])


if __name__ == "__main__":
    main()
