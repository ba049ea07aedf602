"""Reads a request's JSON value by value, each with its path, so that what cannot be carried over is named exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from inhouse.backends.wire import UntranslatableError

_T = TypeVar("_T")
_NULL = b"null"
_decode_members: Callable[[bytes], dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items: Callable[[bytes], list[Raw]] = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_flag = msgspec.json.Decoder(bool).decode
_decode_number = msgspec.json.Decoder(float).decode
_decode_any = msgspec.json.Decoder(Any).decode


@dataclass(frozen=True, slots=True)
class Field:
    """A JSON value of a client's request.

    Args:
        raw: its bytes, well-formed JSON.
        path: where it stands, as the client wrote it (`messages[2].content[0].type`); empty for the whole body.
        target: the dialect it is to be carried over to, for the words of a refusal.

    Every reader raises UntranslatableError, with the path, where the value is not what the dialect says.
    """

    raw: bytes
    path: str
    target: str

    @property
    def is_text(self) -> bool:
        """Whether it is a string."""
        return self.raw.startswith(b'"')

    @property
    def json(self) -> Raw:
        """The value as it stands, to be put into another JSON text."""
        return Raw(self.raw)

    def members(self) -> dict[str, Field]:
        """An object's members that are not null: in both dialects, null says no more than leaving the field out."""
        prefix = f"{self.path}." if self.path else ""
        return {
            name: Field(bytes(value), prefix + name, self.target)
            for name, value in self._read(_decode_members, "an object").items()
            if bytes(value) != _NULL
        }

    def items(self) -> list[Field]:
        """An array's items."""
        return [
            Field(bytes(value), f"{self.path}[{number}]", self.target)
            for number, value in enumerate(self._read(_decode_items, "an array"))
        ]

    def text(self) -> str:
        """A string."""
        return self._read(_decode_text, "a string")

    def quoted(self) -> Raw:
        """A string, as the JSON it is."""
        if not self.is_text:
            raise self.malformed("a string")
        return Raw(self.raw)

    def flag(self) -> bool:
        """True or false."""
        return self._read(_decode_flag, "true or false")

    def number(self) -> float:
        """A number."""
        return self._read(_decode_number, "a number")

    def value(self) -> Any:
        """Whatever it is."""
        return _decode_any(self.raw)

    def require(self, name: str, members: Mapping[str, Field]) -> Field:
        """One of this object's members, which must be there."""
        if name not in members:
            path = f"{self.path}.{name}" if self.path else name
            raise UntranslatableError(path, f"The field '{path}' is missing.")
        return members[name]

    def malformed(self, kind: str) -> UntranslatableError:
        """The refusal of a value that is not what the client's own dialect says."""
        return UntranslatableError(self.path, f"The field '{self.path}' must be {kind}.")

    def refuse(self, reason: str) -> UntranslatableError:
        """The refusal of a value that the other dialect cannot express.

        Args:
            reason: why not and what to do, whole sentences.
        """
        return UntranslatableError(
            self.path, f"'{self.path}' cannot be carried over to an endpoint that speaks {self.target}. {reason}"
        )

    def check_names(self, members: Mapping[str, Field], known: frozenset[str]) -> None:
        """Refuse members that are neither carried over nor known to change no answer."""
        for name, member in members.items():
            if name not in known:
                raise member.refuse("It has no equal there. Leave it out, or call a route whose endpoints know it.")

    def _read(self, decode: Callable[[bytes], _T], kind: str) -> _T:
        try:
            return decode(self.raw)
        except (ValueError, RecursionError):
            raise self.malformed(kind) from None


def says_nothing(member: Field, defaults: Mapping[str, tuple[Any, ...]], name: str) -> bool:
    """Whether a member only spells out what holds anyway.

    Args:
        member: the member.
        defaults: member name → the values that ask for nothing.
        name: its name.
    """
    return name in defaults and member.value() in defaults[name]
