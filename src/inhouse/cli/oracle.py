"""The answers that the simulated provider gives: the ticket generator's own, and a wrong one of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from inhouse.backends import SimulatedAnswer
from inhouse.evals import load_suite
from inhouse.evals.tickets import Ticket, generate_workload

WORKLOAD_SEED = 2026
WORKLOAD_TICKETS = 1200
BUILTIN_SUITE = "builtin:tickets"


def build_oracle() -> Callable[[str], SimulatedAnswer | None]:
    """A function from a prompt to its right and a wrong answer; None for a prompt that is no known ticket.

    It knows the tickets of the built-in suite and of the demonstration's workload. The wrong answer is the right one
    of another ticket of the same task.
    """
    known: dict[str, tuple[str, str]] = {}
    for sample in load_suite(BUILTIN_SUITE).samples:
        known[sample.prompt] = (sample.task, str(sample.target))
    for ticket in demo_workload():
        known[ticket.prompt] = (ticket.task, ticket.target)
    targets: dict[str, list[str]] = {}
    for task, target in known.values():
        if target not in targets.setdefault(task, []):
            targets[task].append(target)

    def answer(prompt: str) -> SimulatedAnswer | None:
        found = known.get(prompt)
        if found is None:
            return None
        task, right = found
        return SimulatedAnswer(text=right, wrong_text=_other(targets[task], right))

    return answer


def demo_workload() -> Iterable[Ticket]:
    """The tickets that the demonstration sends, the first ones first."""
    return generate_workload(WORKLOAD_TICKETS, seed=WORKLOAD_SEED)


def _other(choices: list[str], right: str) -> str:
    return choices[(choices.index(right) + 1) % len(choices)]
