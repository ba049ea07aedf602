"""Reads a LiteLLM proxy file, and those that it includes, with the place of every key. Says nothing about meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from inhouse.cli.config import ConfigFileError
from inhouse.cli.yamlfile import KeyPath, YamlFile, parse_yaml
from inhouse.domain import ConfigError, SourceLocation

SECTIONS = ("litellm_settings", "router_settings", "general_settings", "environment_variables")
"""Sections whose keys are settings, each with a line of its own in the report."""
PARTS = ("litellm_params", "model_info")
"""Mappings of a `model_list` entry whose keys have lines of their own."""

_ENVIRON = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)$")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}$")


class _Verbatim(dict[str, str]):
    """An environment that leaves `${NAME}` as it stands: LiteLLM does not read it, whoever renders the file does."""

    def get(self, key: str, default: object = None, /) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        del default
        return f"${{{key}}}"


@dataclass(frozen=True, slots=True)
class Item:
    """One key of the file: its value and its place."""

    source: YamlFile
    path: KeyPath
    value: object

    @property
    def key(self) -> str:
        """Its own name."""
        return str(self.path[-1]) if self.path else ""

    @property
    def location(self) -> SourceLocation:
        """File, line and path."""
        return self.source.locate(self.path)

    @property
    def place(self) -> str:
        """`config.yaml:12`."""
        return f"{self.source.name}:{self.location.line}"

    @property
    def text(self) -> str | None:
        """A scalar as text, `os.environ/NAME` as `${NAME}`; None for nothing, a list or a mapping."""
        if self.value is None or isinstance(self.value, dict | list):
            return None
        text = str(self.value).strip()
        found = _ENVIRON.match(text)
        return f"${{{found.group(1)}}}" if found else text

    def children(self) -> dict[str, Item]:
        """The keys below, empty where it is no mapping."""
        if not _is_mapping(self.value):
            return {}
        mapping = cast("dict[str, object]", self.value)
        return {key: Item(self.source, (*self.path, key), value) for key, value in mapping.items()}

    def elements(self) -> list[Item]:
        """The items of a list; a single value counts as a list of one, nothing as none."""
        if self.value is None:
            return []
        if not _is_list(self.value):
            return [self]
        values = cast("list[object]", self.value)
        return [Item(self.source, (*self.path, index), value) for index, value in enumerate(values)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One deployment of `model_list`."""

    item: Item
    fields: dict[str, Item]
    params: dict[str, Item]
    info: dict[str, Item]

    def list_keys(self) -> list[Item]:
        """Every key of it that the report speaks of."""
        return [
            *(item for key, item in self.fields.items() if key not in PARTS or not item.children()),
            *self.params.values(),
            *self.info.values(),
        ]


@dataclass(frozen=True, slots=True)
class LiteLLMFile:
    """A file with its includes.

    Args:
        name: the main file's name as the user gave it.
        top: its sections by name, an included file's in place of the same one, as LiteLLM does it.
        entries: `model_list` of all files, in order.
        extended: lists of included files that extend one of the same name.
        replaced: sections that an included file replaced.
        includes: the `include` keys.
    """

    name: str
    top: dict[str, Item]
    entries: tuple[Entry, ...]
    extended: tuple[Item, ...]
    replaced: tuple[Item, ...]
    includes: tuple[Item, ...]

    def sections(self) -> list[Item]:
        """All sections that count but `model_list` and `include`."""
        sections = [item for name, item in self.top.items() if name not in {"model_list", "include"}]
        return [*sections, *self.extended]

    def credentials(self) -> list[Item]:
        """The elements of `credential_list` in all files."""
        return [element for item in self.sections() if item.key == "credential_list" for element in item.elements()]

    def section(self, name: str) -> dict[str, Item]:
        """The keys of a section, empty where the file has none."""
        found = self.top.get(name)
        return found.children() if found else {}


def read_litellm(path: Path) -> LiteLLMFile:
    """Read a LiteLLM proxy configuration.

    Raises:
        ConfigError: a file cannot be read, or is not YAML.
        ConfigFileError: it has not the form of a LiteLLM configuration; every problem with its place.
    """
    main = _read_yaml(path)
    top = main.children()
    lists: list[Item] = [top["model_list"]] if "model_list" in top else []
    extended: list[Item] = []
    replaced: list[Item] = []
    includes = [top["include"]] if "include" in top else []
    for include in includes:
        for element in include.elements():
            for key, item in _read_yaml(path.parent / str(element.value), element).children().items():
                if key == "model_list":
                    lists.append(item)
                elif key == "include":
                    replaced.append(item)
                elif key in top and _is_list(item.value):
                    extended.append(item)
                else:
                    replaced += [top[key]] if key in top else []
                    top[key] = item
    if not lists:
        raise ConfigError(
            "there is no `model_list` here.",
            fix="Give the file that `litellm --config` gets; models that live in a database must be written down.",
            location=SourceLocation(str(path), 1),
        )
    return LiteLLMFile(str(path), top, _read_entries(lists), tuple(extended), tuple(replaced), tuple(includes))


def list_keys(file: LiteLLMFile) -> Iterator[Item]:
    """Every key that the report speaks of, once: settings, parameters, whole sections without settings of their own."""
    for entry in file.entries:
        yield from entry.list_keys()
    for element in file.credentials():
        yield from element.children().values() if element.children() else [element]
    for item in file.sections():
        if item.key in SECTIONS and item.children():
            yield from item.children().values()
        elif item.key != "credential_list" or not item.elements():
            yield item
    for item in file.replaced:
        yield from item.children().values() if item.children() else [item]
    yield from file.includes


def is_reference(text: str | None) -> bool:
    """Whether a value is read from the environment (`${NAME}`)."""
    return text is not None and _REFERENCE.match(text) is not None


def name_of(reference: str) -> str:
    """`${NAME}` → `NAME`."""
    return reference.removeprefix("${").removesuffix("}")


def is_empty(value: object) -> bool:
    """Whether a setting asks for nothing: null, false, zero, or empty."""
    return value in (None, False, 0, "", [], {}) or (isinstance(value, str) and value.lower() == "false")


def _read_yaml(path: Path, include: Item | None = None) -> Item:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"there is no file {path}." if isinstance(error, FileNotFoundError) else f"{path} cannot be read."
        raise ConfigError(
            problem,
            fix="Give a readable LiteLLM configuration file.",
            location=include.location if include else None,
        ) from error
    source = parse_yaml(text, str(path), _Verbatim())
    if not _is_mapping(source.data):
        raise ConfigError(
            "the file does not hold a mapping of settings.",
            fix="Give the file that `litellm --config` gets.",
            location=SourceLocation(str(path), 1),
        )
    return Item(source, (), source.data)


def _read_entries(lists: list[Item]) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    errors: list[ConfigError] = []
    for section in lists:
        if section.value is not None and not isinstance(section.value, list):
            errors.append(ConfigError(
                "`model_list` is no list.", fix="Begin each model with `- model_name:`.", location=section.location
            ))  # fmt: skip
            continue
        for item in section.elements():
            fields = item.children()
            params = fields["litellm_params"].children() if "litellm_params" in fields else {}
            info = fields["model_info"].children() if "model_info" in fields else {}
            errors += _check_entry(item, fields, params)
            entries.append(Entry(item, fields, params, info))
    if errors:
        raise ConfigFileError(errors)
    return tuple(entries)


def _check_entry(item: Item, fields: dict[str, Item], params: dict[str, Item]) -> list[ConfigError]:
    if not fields:
        return [ConfigError(
            "this is no model: a mapping with `model_name` and `litellm_params` is wanted.",
            fix="Write `- model_name: NAME` with `litellm_params:` below it.",
            location=item.location,
        )]  # fmt: skip
    errors: list[ConfigError] = []
    if not _has_text(fields.get("model_name")):
        errors.append(ConfigError(
            "this model has no `model_name`.", fix="Add the name that clients send.", location=item.location
        ))  # fmt: skip
    info = fields.get("model_info")
    if info is not None and info.value is not None and not _is_mapping(info.value):
        errors.append(
            ConfigError("`model_info` is no mapping.", fix="Indent its keys below it.", location=info.location)
        )
    if not _has_text(params.get("model")):
        place = fields.get("litellm_params", item)
        errors.append(ConfigError(
            "this model has no `litellm_params.model`.",
            fix="Add `model: PROVIDER/NAME`, indented below `litellm_params:`.",
            location=place.location,
        ))  # fmt: skip
    return errors


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _has_text(item: Item | None) -> bool:
    return item is not None and bool(item.text)
