"""Turns drafts into tickets: seeds, splits, ids and mixes. It holds no text of its own and scores nothing."""

import hashlib
from collections.abc import Callable, Iterator, Mapping

from .classification import draft_sentiment, draft_topic
from .desk_sql import draft_sql
from .draw import Draw
from .reasoning import draft_reasoning
from .ticket import Draft, Split, TaskType, Ticket
from .writing import draft_echo, draft_extract, draft_summary

WORKLOAD_MIX: Mapping[TaskType, float] = {
    TaskType.TOPIC: 0.16,
    TaskType.SENTIMENT: 0.16,
    TaskType.EXTRACT: 0.16,
    TaskType.SUMMARY: 0.16,
    TaskType.SQL: 0.16,
    TaskType.REASONING: 0.20,
}
TRAINING_MIX: Mapping[TaskType, float] = {
    TaskType.TOPIC: 1.0,
    TaskType.SENTIMENT: 0.8,
    TaskType.EXTRACT: 2.2,
    TaskType.SUMMARY: 1.3,
    TaskType.SQL: 1.5,
    TaskType.REASONING: 1.0,
}
_HELD_OUT_BUCKETS = 51
_MAX_MISSES = 10_000

_DRAFTERS: Mapping[TaskType, Callable[[Draw, Split], Draft]] = {
    TaskType.TOPIC: draft_topic,
    TaskType.SENTIMENT: draft_sentiment,
    TaskType.EXTRACT: draft_extract,
    TaskType.SUMMARY: draft_summary,
    TaskType.SQL: lambda draw, _: draft_sql(draw),
    TaskType.REASONING: lambda draw, _: draft_reasoning(draw),
}


def generate_tickets(task: TaskType, count: int, *, seed: int, split: str = Split.HELD_OUT) -> list[Ticket]:
    """`count` different tickets of one task; the same arguments give the same tickets everywhere.

    A prompt belongs to the split that a hash of its text names, so no held-out prompt of any seed is ever a
    training prompt. Raises ValueError for an unknown split, a negative count, or more tickets than the task has.
    """
    if split not in tuple(Split):
        raise ValueError(f"unknown split {split!r}: use {' or '.join(map(repr, map(str, Split)))}")
    side = Split(split)
    if count < 0:
        raise ValueError(f"count is {count}: ask for 0 or more tickets")
    draw = Draw(f"tickets/{task}/{split}/{seed}")
    tickets: list[Ticket] = []
    seen: set[str] = set()
    misses = 0
    while len(tickets) < count:
        draft = _DRAFTERS[task](draw, side)
        if draft.prompt in seen or split_of(draft.prompt) is not side:
            misses += 1
            if misses > _MAX_MISSES:
                raise ValueError(f"only {len(tickets)} different {task} tickets for seed {seed}: ask for fewer")
            continue
        misses = 0
        seen.add(draft.prompt)
        tickets.append(Ticket(f"{task}-{split}-{len(tickets):04d}", task, draft.prompt, draft.target, draft.slices))
    return tickets


def generate_workload(count: int, *, seed: int, mix: Mapping[TaskType, float] | None = None) -> list[Ticket]:
    """`count` held-out tickets of several tasks in random order, as mixed traffic.

    `mix` gives each task its weight; left out, five tasks share 80 % and reasoning has 20 %. Counts are exact
    (largest remainder). Raises ValueError where no weight is positive or one is negative.
    """
    shares = _shares(count, WORKLOAD_MIX if mix is None else mix)
    tickets = [ticket for task, share in shares.items() for ticket in generate_tickets(task, share, seed=seed)]
    return Draw(f"workload/{seed}").shuffled(tickets)


def training_stream(seed: int, echo_share: Callable[[], float]) -> Iterator[Draft]:
    """An endless stream of training drafts, never with a held-out prompt or an unseen phrase.

    `echo_share` is asked before each draft for the share of copying exercises wanted now (0 to 1).
    """
    draw = Draw(f"training/{seed}")
    tasks, weights = tuple(TRAINING_MIX), tuple(TRAINING_MIX.values())
    while True:
        draft = (
            draft_echo(draw)
            if draw.chance(echo_share())
            else _DRAFTERS[draw.weighted(tasks, weights)](draw, Split.TRAIN)
        )
        if split_of(draft.prompt) is Split.TRAIN:
            yield draft


def split_of(prompt: str) -> Split:
    """The split a prompt's text belongs to: a fifth of all prompts is held out."""
    return Split.HELD_OUT if hashlib.sha256(prompt.encode()).digest()[0] < _HELD_OUT_BUCKETS else Split.TRAIN


def _shares(count: int, mix: Mapping[TaskType, float]) -> dict[TaskType, int]:
    total = sum(mix.values())
    if total <= 0 or any(weight < 0 for weight in mix.values()):
        raise ValueError("the mix needs weights of 0 or more, at least one above 0")
    exact = {task: count * weight / total for task, weight in mix.items()}
    shares = {task: int(value) for task, value in exact.items()}
    by_remainder = sorted(exact, key=lambda task: (shares[task] - exact[task], task))
    for task in by_remainder[: count - sum(shares.values())]:
        shares[task] += 1
    return shares
