"""YAML with positions: parse a file into plain values and remember the line of every path. No meaning here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from inhouse.domain import ConfigError, SourceLocation

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A parsed file: plain values, and for each path the 1-based line where it stands."""

    name: str
    text: str
    data: object
    lines: Mapping[KeyPath, int]

    def locate(self, path: KeyPath) -> SourceLocation:
        """Place of a path, or of its nearest parent that stands in the file."""
        for length in range(len(path), -1, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return SourceLocation(self.name, line, format_path(path))
        return SourceLocation(self.name, None, format_path(path))


def format_path(path: KeyPath) -> str:
    """`('routes', 'a', 'use', 'when', 0)` → `routes.a.use.when[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse_path(text: str) -> KeyPath:
    """The inverse of format_path, for paths that other rooms report as text."""
    return tuple(int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", text))


def read_yaml(path: Path, environment: Mapping[str, str] | None) -> YamlFile:
    """Read a file, see parse_yaml.

    Raises:
        ConfigError: no such file, not text, not YAML, a repeated key, a missing environment variable.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no file {path}.", fix="Write one with `inhouse init`, or name another with -c."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", fix="Give a readable UTF-8 text file.") from error
    return parse_yaml(text, str(path), os.environ if environment is None else environment)


def parse_yaml(text: str, name: str, environment: Mapping[str, str]) -> YamlFile:
    """Parse YAML text into plain values, replacing `${NAME}` and `${NAME:-default}` in strings.

    Args:
        text: the file's text.
        name: the file's name as errors show it.
        environment: where `${NAME}` is looked up.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(
            f"this is not YAML: {problem}.",
            fix="Mend the indentation or quoting at this line.",
            location=SourceLocation(name, line),
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML: {error}.", fix="Save it as UTF-8 text.") from error
    lines: dict[KeyPath, int] = {}
    builder = _Builder(name, environment, lines)
    data: object = builder.build(node, ()) if node is not None else None
    return YamlFile(name, text, data, lines)


class _Builder:
    """Turns YAML nodes into plain values, noting lines."""

    def __init__(self, name: str, environment: Mapping[str, str], lines: dict[KeyPath, int]) -> None:
        self._name = name
        self._environment = environment
        self._lines = lines
        self._constructor = yaml.SafeLoader("")

    def build(self, node: yaml.Node, path: KeyPath) -> object:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._build_mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        value: object = self._constructor.construct_object(node, deep=True)  # pyright: ignore[reportUnknownMemberType] -- untyped in the stubs
        return self._expand(value, path) if isinstance(value, str) else value

    def _build_mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        self._refuse_repeated_keys(node, path)
        self._constructor.flatten_mapping(node)  # `<<: *anchor` first, own keys after it, so that they win
        mapping: dict[str, object] = {}
        for key_node, value_node in node.value:
            child = (*path, str(key_node.value))
            self._lines[child] = key_node.start_mark.line + 1
            mapping[str(key_node.value)] = self.build(value_node, child)
        return mapping

    def _refuse_repeated_keys(self, node: yaml.MappingNode, path: KeyPath) -> None:
        first_lines: dict[str, int] = {}
        for key_node, _ in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in first_lines and key != "<<":
                raise ConfigError(
                    f"the key {key!r} stands twice.",
                    fix=f"Keep one (the first is at line {first_lines[key]}).",
                    location=SourceLocation(self._name, line, format_path((*path, key))),
                )
            first_lines[key] = line

    def _expand(self, value: str, path: KeyPath) -> str:
        def replace(match: re.Match[str]) -> str:
            name, default = match.group(1), match.group(2)
            found = self._environment.get(name)
            if found is None or (found == "" and default is not None):
                if default is not None:
                    return default
                raise ConfigError(
                    f"the environment variable {name} is not set.",
                    fix=f"Set it (`export {name}=…`), or give a default: ${{{name}:-value}}.",
                    location=SourceLocation(self._name, self._lines.get(path), format_path(path)),
                )
            return found

        return _REFERENCE.sub(replace, value)
