"""Takes a JSON object apart member by member, so that none is lost unseen. Knows no dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Raw

from inhouse.backends.request_body import missing, wrong_type
from inhouse.backends.wire import UntranslatableError

_T = TypeVar("_T")
_NULL = b"null"
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_flag = msgspec.json.Decoder(bool).decode


class Fields:
    """The members of one object that are still to be dealt with; `close` refuses what is left.

    A member that is `null` counts as not given.

    Args:
        value: the object's JSON.
        path: where it stands, as the client wrote it (`input[0]`); empty for the body itself.
        owner: what errors name instead of paths below it (for items that the client did not send itself).

    Raises:
        RequestError: 400, it is no object.
    """

    __slots__ = ("_members", "_owner", "path")

    def __init__(self, value: bytes | Raw, path: str, *, owner: str | None = None) -> None:
        self.path = path
        self._owner = owner
        try:
            members = _decode_object(value)
        except (ValueError, RecursionError):
            raise wrong_type(owner or path, "an object") from None
        self._members = {name: member for name, member in members.items() if bytes(member) != _NULL}

    def place(self, name: str) -> str:
        """The member's path, for errors."""
        if self._owner is not None:
            return self._owner
        return f"{self.path}.{name}" if self.path else name

    def inner(self, value: bytes | Raw, path: str) -> Fields:
        """An object inside this one."""
        return Fields(value, path, owner=self._owner)

    def pop(self, name: str) -> Raw | None:
        """Take the member's JSON; None where it is not given."""
        return self._members.pop(name, None)

    def pop_text(self, name: str) -> str | None:
        """Take a string."""
        return self._pop_typed(name, _decode_text, "a string")

    def pop_flag(self, name: str) -> bool | None:
        """Take a boolean."""
        return self._pop_typed(name, _decode_flag, "true or false")

    def pop_list(self, name: str) -> list[Raw]:
        """Take an array; empty where it is not given."""
        return self._pop_typed(name, _decode_list, "an array") or []

    def pop_texts(self, name: str) -> list[str]:
        """Take an array of strings; empty where it is not given."""
        return self._pop_typed(name, _decode_texts, "an array of strings") or []

    def is_text(self, name: str) -> bool:
        """Whether the member is a string."""
        return name in self._members and bytes(memoryview(self._members[name])[:1]) == b'"'

    def pop_fields(self, name: str) -> Fields | None:
        """Take an object."""
        value = self.pop(name)
        return None if value is None else self.inner(value, self.place(name))

    def need(self, name: str) -> Raw:
        """Take a member that must be given."""
        value = self.pop(name)
        if value is None:
            raise missing(self.place(name))
        return value

    def need_list(self, name: str) -> list[Raw]:
        """Take an array that must be given."""
        if name not in self._members:
            raise missing(self.place(name))
        return self.pop_list(name)

    def need_text(self, name: str) -> str:
        """Take a string that must be given."""
        value = self.pop_text(name)
        if value is None:
            raise missing(self.place(name))
        return value

    def skip(self, *names: str) -> None:
        """Leave out members that only describe what was answered before (ids, states), and ask for nothing."""
        for name in names:
            self._members.pop(name, None)

    def refuse(self, name: str, words: str) -> UntranslatableError:
        """The refusal of a member."""
        return UntranslatableError(self.place(name), f"{words} (field '{self.place(name)}').")

    def close(self) -> None:
        """Refuse what is left.

        Raises:
            UntranslatableError: naming the first of it.
        """
        for name in self._members:
            raise self.refuse(name, "This route's endpoint offers chat completions, which have no such field")

    def _pop_typed(self, name: str, decode: Callable[[Raw], _T], kind: str) -> _T | None:
        value = self.pop(name)
        if value is None:
            return None
        try:
            return decode(value)
        except (ValueError, RecursionError):
            raise wrong_type(self.place(name), kind) from None
