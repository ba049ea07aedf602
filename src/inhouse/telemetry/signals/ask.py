"""What a request asked for, as far as its answer is measured by it. Checks nothing."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from inhouse.domain import Operation
from inhouse.telemetry.signals.answer import HEAD_CHARS, TAIL_CHARS

_NULL = Raw(b"null")


class Ask(Struct, frozen=True, gc=False):
    """Raw JSON of the members that matter; None where the request has none.

    Of a long prompt, the first 64 KiB and the last 16 KiB. `max_tokens` is the limit of output tokens.
    """

    prompt: bytes | None = None
    format: bytes | None = None
    tools: bytes | None = None
    max_tokens: int | None = None


def read_ask(operation: Operation, body: bytes) -> Ask:
    """What a request body asks for. Where the body or a member of it is of another shape, nothing is known of it.

    About 1.5 µs for a short body; it is needed only when the answer is there.
    """
    try:
        request = _decode_request(body)
    except (ValueError, RecursionError):
        return Ask()
    limit = request.max_completion_tokens or request.max_tokens or request.max_output_tokens
    return Ask(
        prompt=_find_prompt(operation, request),
        format=_find_format(request),
        tools=_given(request.tools) or _given(request.functions),
        max_tokens=limit if isinstance(limit, int) else None,
    )


def ask_again(known: Ask, messages: bytes) -> Ask:
    """What a chat request asks for whose body differs from that of `known` in its messages alone."""
    return Ask(_cut(messages), known.format, known.tools, known.max_tokens)


class _Wrapped(Struct, gc=False):
    """Where the format of Responses and Messages stands, and vLLM's `structured_outputs`."""

    format: Raw = _NULL
    json: Raw = _NULL


class _Request(Struct, gc=False):
    messages: Raw = _NULL
    prompt: Raw = _NULL
    input: Raw = _NULL
    instructions: Raw = _NULL
    system: Raw = _NULL
    tools: Raw = _NULL
    functions: Raw = _NULL
    max_tokens: object = None
    max_completion_tokens: object = None
    max_output_tokens: object = None
    response_format: Raw = _NULL
    text: Raw = _NULL
    output_config: Raw = _NULL
    structured_outputs: Raw = _NULL
    guided_json: Raw = _NULL


_decode_request = msgspec.json.Decoder(_Request).decode
_decode_wrapped = msgspec.json.Decoder(_Wrapped).decode


def _find_prompt(operation: Operation, request: _Request) -> bytes | None:
    if operation is Operation.RESPONSES:
        first, then = request.instructions, request.input
    elif operation is Operation.MESSAGES:
        first, then = request.system, request.messages
    else:
        first, then = _NULL, request.prompt if operation is Operation.COMPLETIONS else request.messages
    prompt = _bound(then)
    return prompt if first is _NULL else (_bound(first) or b"") + (prompt or b"")


def _find_format(request: _Request) -> bytes | None:
    found = _given(request.response_format)
    if found is not None:
        return found
    bare = request.guided_json
    for wrapper in (request.text, request.output_config, request.structured_outputs):
        if wrapper is _NULL or wrapper == _NULL:
            continue
        try:
            wrapped = _decode_wrapped(wrapper)
        except (ValueError, RecursionError):
            continue
        if wrapped.format != _NULL:
            return bytes(wrapped.format)
        if wrapped.json != _NULL:
            bare = wrapped.json
    return None if bare is _NULL or bare == _NULL else b'{"type":"json_schema","schema":%b}' % bytes(bare)


def _given(value: Raw) -> bytes | None:
    return None if value is _NULL or value == _NULL else bytes(value)


def _bound(value: Raw) -> bytes | None:
    found = _given(value)
    return None if found is None else _cut(found)


def _cut(prompt: bytes) -> bytes:
    """What is looked at of a long prompt: its beginning and its end."""
    return prompt if len(prompt) <= HEAD_CHARS + TAIL_CHARS else prompt[:HEAD_CHARS] + prompt[-TAIL_CHARS:]
