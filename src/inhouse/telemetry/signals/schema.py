"""Compiles the JSON shapes that requests ask for, once each. Fetches nothing, and raises nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NoReturn, Protocol, cast

import jsonschema_rs
import msgspec
from msgspec import Raw, Struct

MAX_SCHEMA_BYTES = 65_536
"""Larger formats and tool lists are not compiled."""
_MAX_CACHED = 256
# The engine of these patterns needs linear time; look-around and back-references do not compile under it.
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1_048_576, dfa_size_limit=1_048_576)


class _Validator(Protocol):
    def is_valid(self, instance: object, /) -> bool: ...


class CompiledSchema:
    """A JSON shape that was asked for. Values are as `msgspec.json.decode` gives them."""

    __slots__ = ("_validator", "wants_object")

    def __init__(self, validator: _Validator | None, *, wants_object: bool = False) -> None:
        self._validator = validator
        self.wants_object = wants_object

    def check(self, value: object) -> bool | None:
        """Whether the value has the shape; None where that cannot be told."""
        if self._validator is None:
            return isinstance(value, dict) if self.wants_object else None
        try:
            return self._validator.is_valid(value)
        except (ValueError, RecursionError):
            return None


JSON_OBJECT = CompiledSchema(None, wants_object=True)
"""Any JSON object."""
UNKNOWN_SHAPE = CompiledSchema(None)
"""JSON of a shape that cannot be told: its schema does not compile, or is too large."""


def compile_schema(response_format: bytes) -> CompiledSchema | None:
    """The shape that a request's `response_format` asks for.

    Responses' `text.format` and Anthropic's `output_config.format` are read too, and llama.cpp's and TGI's forms.
    `UNKNOWN_SHAPE` where its schema does not compile. None where no JSON is asked for. The same bytes are compiled
    once, as long as they are among the last 256.
    """
    return UNKNOWN_SHAPE if len(response_format) > MAX_SCHEMA_BYTES else _compile_format(response_format)


def compile_tools(tools: bytes) -> Mapping[str, CompiledSchema] | None:
    """The shapes of the arguments of the tools that a request offers, by name; None where the list cannot be read.

    A tool without a schema takes any object; one that takes free text has `UNKNOWN_SHAPE`.
    """
    return None if len(tools) > MAX_SCHEMA_BYTES else _compile_tools(tools)


_NULL = Raw(b"null")


class _NamedSchema(Struct, gc=False):
    schema: Raw = _NULL


class _Format(Struct, gc=False):
    """`json_schema.schema` is OpenAI's chat; `schema` its Responses, Anthropic, llama.cpp; `value` is TGI's."""

    type: str = ""
    json_schema: _NamedSchema | None = None
    schema: Raw = _NULL
    value: Raw = _NULL


class _Tool(Struct, gc=False):
    """OpenAI's chat nests it in `function`, its Responses say `parameters`, Anthropic `input_schema`."""

    type: str = ""
    name: str | None = None
    function: _Tool | None = None
    custom: _Tool | None = None
    parameters: Raw = _NULL
    input_schema: Raw = _NULL


_decode_format = msgspec.json.Decoder(_Format | None).decode
_decode_tools = msgspec.json.Decoder(list[_Tool]).decode
_decode_any = msgspec.json.Decoder().decode


@lru_cache(_MAX_CACHED)
def _compile_format(response_format: bytes) -> CompiledSchema | None:
    try:
        found = _decode_format(response_format)
    except (ValueError, RecursionError):
        return None
    if found is None or found.type not in {"json_schema", "json_object", "json"}:
        return None
    named = found.json_schema.schema if found.json_schema is not None else _NULL
    for schema in (named, found.schema, found.value):
        if schema != _NULL:
            return _compile(bytes(schema))
    return JSON_OBJECT if found.type == "json_object" else UNKNOWN_SHAPE


@lru_cache(_MAX_CACHED)
def _compile_tools(tools: bytes) -> Mapping[str, CompiledSchema] | None:
    try:
        offered = _decode_tools(tools)
    except (ValueError, RecursionError):
        return None
    shapes: dict[str, CompiledSchema] = {}
    for offer in offered:
        tool = offer.function or offer.custom or offer
        if tool.name is None:
            continue  # a tool of the provider's own
        schema = tool.parameters if tool.parameters != _NULL else tool.input_schema
        if schema != _NULL:
            shapes[tool.name] = _compile(bytes(schema))
        else:
            # Anthropic calls a tool with a schema "custom" too; OpenAI's custom tools take free text.
            shapes[tool.name] = UNKNOWN_SHAPE if offer.type == "custom" else JSON_OBJECT
    return MappingProxyType(shapes)


def _compile(schema: bytes) -> CompiledSchema:
    try:
        value = _decode_any(schema)
        validator = jsonschema_rs.validator_for(
            value, validate_formats=False, pattern_options=_PATTERNS, retriever=_refuse
        )
    except (ValueError, RecursionError):
        return UNKNOWN_SHAPE
    return CompiledSchema(cast("_Validator", validator))


def _refuse(uri: str, /) -> NoReturn:
    """Only `#` references inside the schema itself are followed."""
    raise ValueError(f"{uri} is not fetched")
