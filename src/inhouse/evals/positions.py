"""YAML text as plain values with the line of every path, so that an error can name it. Knows nothing of suites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import yaml

from inhouse.domain import ConfigError, SourceLocation

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class PositionedFile:
    """A parsed file: its name as errors show it, plain values, and the 1-based line of each path."""

    name: str
    data: object
    lines: Mapping[KeyPath, int] = field(default_factory=dict[KeyPath, int])

    def locate(self, path: KeyPath) -> SourceLocation:
        """Place of a path, or of its nearest parent that stands in the file."""
        line = next((self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines), None)
        return SourceLocation(self.name, line, _format_path(path))

    def fail(self, path: KeyPath, problem: str, fix: str) -> ConfigError:
        """The error for a value at `path`, to be raised by the caller."""
        return ConfigError(problem, fix=fix, location=self.locate(path))


def parse_positions(text: str, name: str) -> PositionedFile:
    """Parse YAML.

    Raises:
        ConfigError: not YAML, a repeated key, or an anchor that is its own parent.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[KeyPath, int] = {}
        data = None if node is None else _read(node, (), name, lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        location = SourceLocation(name, line)
        fix = "Mend the indentation or quoting at this line."
        raise ConfigError(f"this is not YAML: {error.problem or error.context}.", fix=fix, location=location) from None
    except (yaml.YAMLError, RecursionError) as error:
        problem = f"this is not YAML: {type(error).__name__}."
        raise ConfigError(problem, fix="Save it as UTF-8 text.", location=SourceLocation(name)) from None
    return PositionedFile(name, data, lines)


def _read(node: yaml.Node, path: KeyPath, name: str, lines: dict[KeyPath, int]) -> object:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        items = cast("list[yaml.Node]", node.value)
        return [_read(item, (*path, position), name, lines) for position, item in enumerate(items)]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, object] = {}
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            key, line = str(key_node.value), key_node.start_mark.line + 1
            child = (*path, key)
            if key in mapping:
                fix = f"Keep one; the first is at line {lines[child]}."
                raise ConfigError(
                    f"the key {key!r} stands twice.", fix=fix, location=SourceLocation(name, line, _format_path(path))
                )
            lines[child] = line
            mapping[key] = _read(value_node, child, name, lines)
        return mapping
    loader = yaml.SafeLoader("")
    try:
        return cast("object", loader.construct_object(node))  # pyright: ignore[reportUnknownMemberType] -- untyped in the stubs
    finally:
        loader.dispose()


def _format_path(path: KeyPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
