"""JSON that was asked for: every dialect's way to ask, local references only, and schemas that cannot be compiled."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from inhouse.domain import Operation, Signals
from inhouse.telemetry import (
    Answer,
    Ask,
    SignalFlag,
    ToolCall,
    compile_schema,
    compile_tools,
    measure_signals,
    read_ask,
    read_flags,
)
from inhouse.telemetry.signals.schema import JSON_OBJECT, UNKNOWN_SHAPE, CompiledSchema

TICKET = {
    "type": "object",
    "properties": {"topic": {"enum": ["billing", "parcel"]}, "urgent": {"type": "boolean"}},
    "required": ["topic"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "user", "content": "Sort this ticket."}]
FORMAT = json.dumps({"type": "json_schema", "json_schema": {"name": "ticket", "schema": TICKET}}).encode()
NO_CALL: dict[str, Any] = {"messages": MESSAGES}


def measure(text: str, form: bytes | None = FORMAT, **changes: Any) -> Signals:
    values: dict[str, Any] = {"finish_reason": "stop"} | changes
    return measure_signals(Answer(text=text, **values), Ask(format=form), None)


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ('{"topic":"parcel"}', (1, 1)),
        (' {"topic": "billing", "urgent": true}\n', (1, 1)),
        ('{"topic":"weather"}', (1, 0)),
        ('{"topic":"parcel","why":"x"}', (1, 0)),
        ("[]", (1, 0)),
        ('```json\n{"topic":"parcel"}\n```', (0, 0)),
        ('{"topic":"par', (0, 0)),
        ("It is about a parcel.", (0, 0)),
        ("", (0, 0)),
        ("[" * 100_000, (None, None)),
        (json.dumps({"topic": "parcel", "why": "x" * 300_000}), (None, None)),
    ],
)
def test_an_answer_is_held_against_its_schema(text: str, verdicts: tuple[int | None, int | None]) -> None:
    """A constraint that an engine silently ignores shows at once; what is too deep or too large is not judged."""
    signals = measure(text)
    assert (signals.json_valid, signals.schema_valid) == verdicts


def test_a_broken_answer_raises_its_flags() -> None:
    flags = read_flags(measure('{"topic":"weather"}'))
    assert (flags[SignalFlag.INVALID_JSON], flags[SignalFlag.INVALID_SCHEMA]) == (False, True)
    assert SignalFlag.INVALID_JSON not in read_flags(measure("text", None))


@pytest.mark.parametrize(
    "changes",
    [
        {"finish_reason": None},
        {"is_partial": True},
        {"tool_calls": (ToolCall("look", "{}"),), "text": ""},
    ],
)
def test_what_is_no_finished_text_is_not_judged(changes: dict[str, Any]) -> None:
    text = changes.pop("text", '{"topic":')
    signals = measure(text, **changes)
    assert (signals.json_valid, signals.schema_valid) == (None, None)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.CHAT, {"messages": MESSAGES, "response_format": json.loads(FORMAT)}),
        (Operation.CHAT, {"messages": MESSAGES, "response_format": {"type": "json_object", "schema": TICKET}}),
        (Operation.CHAT, {"messages": MESSAGES, "response_format": {"type": "json", "value": TICKET}}),
        (Operation.CHAT, {"messages": MESSAGES, "guided_json": TICKET}),
        (Operation.CHAT, {"messages": MESSAGES, "structured_outputs": {"json": TICKET}}),
        (Operation.COMPLETIONS, {"prompt": "Sort this.", "guided_json": TICKET}),
        (
            Operation.RESPONSES,
            {"input": "Sort this.", "text": {"format": {"type": "json_schema", "name": "ticket", "schema": TICKET}}},
        ),
        (
            Operation.MESSAGES,
            {"messages": MESSAGES, "output_config": {"format": {"type": "json_schema", "schema": TICKET}}},
        ),
    ],
)
def test_every_dialects_way_to_ask_for_a_schema(operation: Operation, body: dict[str, Any]) -> None:
    ask = read_ask(operation, json.dumps(body).encode())
    good, bad = (
        measure_signals(Answer(text=text, finish_reason="stop"), ask, None)
        for text in ('{"topic":"parcel"}', '{"topic":"weather"}')
    )
    assert (good.json_valid, good.schema_valid) == (1, 1)
    assert (bad.json_valid, bad.schema_valid) == (1, 0)


@pytest.mark.parametrize(
    ("form", "text", "verdicts"),
    [
        (b'{"type":"json_object"}', '{"a":1}', (1, 1)),
        (b'{"type":"json_object"}', "[1]", (1, 0)),
        (b'{"type":"json_object"}', "no", (0, 0)),
        (b'{"type":"json_schema"}', "{}", (1, None)),
        (b'{"type":"text"}', "{}", (None, None)),
        (b"null", "{}", (None, None)),
        (b"[]", "{}", (None, None)),
        (b"not json", "{}", (None, None)),
    ],
)
def test_formats_without_a_schema(form: bytes, text: str, verdicts: tuple[int | None, int | None]) -> None:
    signals = measure(text, form)
    assert (signals.json_valid, signals.schema_valid) == verdicts


def wrap(schema: object) -> bytes:
    return json.dumps({"type": "json_schema", "json_schema": {"schema": schema}}).encode()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"pattern": "("},
        {"pattern": "(?=a)b"},
        {"pattern": "((a{1000}){1000}){1000}"},
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "file:///etc/hostname"},
        {"$schema": "http://127.0.0.1:1/own"},
        {"enum": ["x" * 70_000]},
        [],
        "text",
        5,
    ],
)
def test_a_schema_that_does_not_compile_leaves_its_signal_absent(schema: object) -> None:
    """Whether the answer is JSON at all is told all the same."""
    assert compile_schema(wrap(schema)) is UNKNOWN_SHAPE
    assert measure("{}", wrap(schema)).json_valid == 1
    assert measure("{}", wrap(schema)).schema_valid is None


def test_a_validator_that_gives_up_leaves_its_signal_absent() -> None:
    class GivesUp:
        def is_valid(self, _instance: object, /) -> bool:
            raise ValueError("too deep")

    assert CompiledSchema(GivesUp()).check({}) is None


def test_a_schema_is_compiled_once() -> None:
    first = compile_schema(wrap(TICKET))
    assert first is not None
    assert compile_schema(wrap(TICKET)) is first
    assert compile_schema(b'{"type":"json_object"}') is JSON_OBJECT


def test_references_inside_the_schema_are_followed_and_none_outside() -> None:
    """Nothing connects to the address that a schema names."""
    local = wrap({"$ref": "#/$defs/t", "$defs": {"t": TICKET}})
    assert measure('{"topic":"parcel"}', local).schema_valid == 1
    assert measure('{"topic":"weather"}', local).schema_valid == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for schema in ({"$ref": address}, {"$id": address, "$ref": "other.json"}, {"$schema": address}):
            assert compile_schema(wrap(schema)) is UNKNOWN_SHAPE
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_pattern_is_matched_in_linear_time() -> None:
    """Under a backtracking engine this never ends."""
    assert measure(json.dumps("a" * 50_000 + "!"), wrap({"pattern": "^(a+)+$"})).schema_valid == 0


CHAT_TOOLS = [
    {"type": "function", "function": {"name": "refund", "parameters": TICKET}},
    {"type": "function", "function": {"name": "ping"}},
    {"type": "custom", "custom": {"name": "shell"}},
]
RESPONSES_TOOLS = [
    {"type": "function", "name": "refund", "parameters": TICKET},
    {"type": "function", "name": "ping", "parameters": None},
    {"type": "custom", "name": "shell"},
    {"type": "web_search"},
]
MESSAGES_TOOLS = [
    {"name": "refund", "input_schema": TICKET},
    {"type": "custom", "name": "ping", "input_schema": {"type": "object"}},
    {"name": "shell", "type": "custom"},
]


@pytest.mark.parametrize("tools", [CHAT_TOOLS, RESPONSES_TOOLS, MESSAGES_TOOLS])
@pytest.mark.parametrize(
    ("calls", "verdict"),
    [
        ([ToolCall("refund", '{"topic":"parcel"}')], 1),
        ([ToolCall("refund", '{"topic":"parcel"}'), ToolCall("ping", "{}"), ToolCall("shell")], 1),
        ([ToolCall("ping", "")], 1),
        ([ToolCall("refund", "")], 0),
        ([ToolCall("refund", '{"topic":"par')], 0),
        ([ToolCall("refund", '{"topic":"weather"}')], 0),
        ([ToolCall("ping", "[]")], 0),
        ([ToolCall("invented", "{}")], 0),
        ([ToolCall("ping", "{}"), ToolCall("invented", "{}")], 0),
        ([ToolCall("ping", "[" * 100_000)], None),
    ],
)
def test_tool_calls_are_held_against_the_tools(
    tools: list[dict[str, Any]], calls: list[ToolCall], verdict: int | None
) -> None:
    ask = Ask(tools=json.dumps(tools).encode())
    answer = Answer(finish_reason="tool_calls", tool_calls=tuple(calls))
    assert measure_signals(answer, ask, None).tools_valid == verdict


@pytest.mark.parametrize(
    ("tools", "changes"),
    [
        (None, {}),
        (b"{}", {}),
        (b'[{"name":"ping","description":"%b"}]' % (b"x" * 70_000), {}),
        (b'[{"name":"other"}]', {"finish_reason": None}),
        (b'[{"name":"other"}]', {"is_partial": True}),
    ],
)
def test_tool_calls_that_cannot_be_judged_are_not(tools: bytes | None, changes: dict[str, Any]) -> None:
    values: dict[str, Any] = {"finish_reason": "tool_calls", "tool_calls": (ToolCall("ping", "{}"),)} | changes
    assert measure_signals(Answer(**values), Ask(tools=tools), None).tools_valid is None


def test_a_tool_whose_schema_does_not_compile_accepts_any_json() -> None:
    tools = json.dumps([{"name": "ping", "input_schema": {"type": "nonsense"}}]).encode()
    shapes = compile_tools(tools)
    assert shapes is not None
    assert shapes["ping"].check({}) is None
    answer = Answer(finish_reason="tool_use", tool_calls=(ToolCall("ping", "{}"),))
    assert measure_signals(answer, Ask(tools=tools), None).tools_valid == 1


@pytest.mark.parametrize(
    ("operation", "body", "expected"),
    [
        (
            Operation.CHAT,
            b'{"messages":[1], "tools":[2],"max_tokens":5,"max_completion_tokens":9}',
            Ask(prompt=b"[1]", tools=b"[2]", max_tokens=9),
        ),
        (Operation.CHAT, b'{"messages":[1],"functions":[3],"tools":null}', Ask(prompt=b"[1]", tools=b"[3]")),
        (Operation.COMPLETIONS, b'{"prompt":"a","max_tokens":16}', Ask(prompt=b'"a"', max_tokens=16)),
        (
            Operation.RESPONSES,
            b'{"instructions":"b","input":"a","max_output_tokens":7,"text":{"verbosity":"low"}}',
            Ask(prompt=b'"b""a"', max_tokens=7),
        ),
        (Operation.RESPONSES, b'{"input":[{}],"text":5}', Ask(prompt=b"[{}]")),
        (Operation.MESSAGES, b'{"system":"s","messages":[1],"max_tokens":4}', Ask(prompt=b'"s"[1]', max_tokens=4)),
        (Operation.MESSAGES, b'{"system":"s"}', Ask(prompt=b'"s"')),
        (Operation.CHAT, b'{"messages":null,"max_tokens":"five"}', Ask()),
        (Operation.CHAT, b"[]", Ask()),
        (Operation.CHAT, b"{", Ask()),
    ],
)
def test_what_a_request_asks_for(operation: Operation, body: bytes, expected: Ask) -> None:
    assert read_ask(operation, body) == expected


def test_of_a_long_prompt_the_ends_are_kept() -> None:
    body = json.dumps({"messages": ["a" * 100_000, "b" * 100_000]}).encode()
    ask = read_ask(Operation.CHAT, body)
    assert ask.prompt is not None
    assert len(ask.prompt) == 65_536 + 16_384
    assert (ask.prompt[:3], ask.prompt[-3:]) == (b'["a', b'b"]')
