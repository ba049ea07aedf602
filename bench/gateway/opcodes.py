"""Counts the bytecode instructions that Python executes, by function: a figure that no other work on a machine moves.

What compiled code does (msgspec, the event loop, methods of bytes) is left out; two versions of a function compare
exactly all the same.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

Place = tuple[str, str]


class OpcodeCount:
    """A context manager: counts while it is entered, in this thread, in frames that begin or go on then."""

    def __init__(self) -> None:
        self._by_code: Counter[CodeType] = Counter()

    def __enter__(self) -> Self:
        sys.settrace(self._trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.settrace(None)

    @property
    def by_function(self) -> Counter[Place]:
        """Instructions by (file, function)."""
        found: Counter[Place] = Counter()
        for code, number in self._by_code.items():
            found["/".join(code.co_filename.split("/")[-2:]), code.co_qualname] += number
        return found

    def _trace(self, frame: FrameType, event: str, _value: Any) -> Any:
        if event == "opcode":
            self._by_code[frame.f_code] += 1
        else:
            frame.f_trace_lines = False
            frame.f_trace_opcodes = True
        return self._trace
