"""The types of the support-ticket set: task types, one ticket, one draft. No text is generated here."""

from dataclasses import dataclass
from enum import StrEnum


class TaskType(StrEnum):
    """What a ticket asks for. The value is the stable name used in ids, reports and metrics."""

    TOPIC = "topic"
    SENTIMENT = "sentiment"
    EXTRACT = "extract"
    SUMMARY = "summary"
    SQL = "sql"
    REASONING = "reasoning"


class Split(StrEnum):
    """Which tickets: those that training may show, or those kept for measuring."""

    TRAIN = "train"
    HELD_OUT = "heldout"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One prompt with its right answer.

    `prompt` is the user message as sent to the model; `target` is right by construction, always one line.
    `slices` names what makes the ticket special ("typos", "unseen-phrase", "letter-name"); empty where it is plain.
    """

    id: str
    task: TaskType
    prompt: str
    target: str
    slices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A ticket before it has an id and before it is known to which split it belongs."""

    prompt: str
    target: str
    slices: tuple[str, ...] = ()
