"""Who may see content: data classes, processors and the one policy that guards every sink."""

from __future__ import annotations

from msgspec import Struct

OWN_PROCESSOR = "own"
"""The processor name of the user's own machines."""


class DataClass(Struct, frozen=True):
    """A class of data and the processors (own machines, providers) that may see its content."""

    name: str
    processors: frozenset[str]


class EgressVerdict(Struct, frozen=True):
    """Whether a sink may see content of a class, and why."""

    is_allowed: bool
    reason: str


class EgressPolicy(Struct, frozen=True):
    """The data classes of one configuration. An unknown class allows nothing."""

    classes: tuple[DataClass, ...] = ()

    def check(self, sink: str, data_class: str) -> EgressVerdict:
        """Say whether the processor `sink` may see content of `data_class`.

        Every sink asks here before content leaves: endpoints, shadow copies, caches, judges, exports.
        """
        for known in self.classes:
            if known.name == data_class:
                if sink in known.processors:
                    return EgressVerdict(is_allowed=True, reason=f"{data_class} may go to {sink}")
                return EgressVerdict(is_allowed=False, reason=f"data class {data_class} may not go to {sink}")
        return EgressVerdict(is_allowed=False, reason=f"data class {data_class} is not declared")
