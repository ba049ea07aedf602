"""One answer of a model as three kinds of endpoints write it, whole and streamed. Not a test module.

Nothing here uses inhouse's own writers: the wire shapes are those of the official SDKs' types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scripted_endpoint import DONE, event

from inhouse.domain import Usage

MODEL = "tiny-2026-01-01"
"""What every endpoint calls its model in replies."""
BUCKETS = Usage(input_uncached=6, cache_read=3, cache_write=1, output_visible=7, output_reasoning=4)
"""The usage of every scripted answer, as a trace has it."""
COST_USD = 77e-6
"""6, 3, 1, 7 and 4 tokens at 2, 1, 2, 4 and 8 millionths of a dollar."""
CHAT_USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 11,
    "total_tokens": 21,
    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
MESSAGES_USAGE = {
    "input_tokens": 6,
    "output_tokens": 11,
    "cache_read_input_tokens": 3,
    "cache_creation_input_tokens": 1,
    "output_tokens_details": {"thinking_tokens": 4},
}
RESPONSES_USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
    "output_tokens": 11,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 21,
}


class Stop(StrEnum):
    """Why an answer ended."""

    END = "end"
    CALLS = "calls"
    LENGTH = "length"
    SEQUENCE = "sequence"
    FILTER = "filter"


@dataclass(frozen=True)
class Said:
    """An answer in no dialect; texts, reasoning and arguments in the pieces that a stream brings."""

    texts: tuple[str, ...] = ()
    thoughts: tuple[str, ...] = ()
    calls: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    stop: Stop = Stop.END


WEATHER = (("call_1", "weather", ('{"ci', 'ty":"Rome"}')), ("call_2", "clock", ('{"zo', 'ne":"UTC"}')))
ANSWERS = {
    "text": Said(("Hello", " ", 'wörld "quoted"', "\n")),
    "thought": Said(("Rome", "."), ("Let me", " see")),
    "calls": Said(("I look.",), (), WEATHER, Stop.CALLS),
    "calls alone": Said((), (), WEATHER, Stop.CALLS),
    "json": Said(('{"city":', '"Rome"}')),
    "length": Said(("Hel", "lo"), stop=Stop.LENGTH),
    "sequence": Said(("Hel", "lo"), stop=Stop.SEQUENCE),
    "filter": Said(("Hel", "lo"), stop=Stop.FILTER),
}


class Wire(StrEnum):
    """How an endpoint speaks."""

    CHAT = "chat"
    MESSAGES = "messages"
    RESPONSES = "responses"


FINISHES = {
    Wire.CHAT: ("stop", "tool_calls", "length", "stop", "content_filter"),
    Wire.MESSAGES: ("end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal"),
    Wire.RESPONSES: ("completed", "completed", "max_output_tokens", "completed", "content_filter"),
}
"""The endpoint's word for each `Stop`, in its order."""


def name_finish(wire: Wire, stop: Stop) -> str:
    return FINISHES[wire][list(Stop).index(stop)]


# Chat.


def write_chat(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(said.texts) or None, "refusal": None}
    if said.thoughts:
        message["reasoning_content"] = "".join(said.thoughts)
    if said.calls:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": "".join(arguments)}}
            for call_id, name, arguments in said.calls
        ]
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": name_finish(Wire.CHAT, said.stop)}
    if said.stop is Stop.SEQUENCE:
        choice["stop_reason"] = "END"
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL, "system_fingerprint": "fp_1"}
    return {**head, "choices": [choice], "usage": CHAT_USAGE}


def stream_chat(said: Said) -> list[bytes]:
    """Parallel calls come in interleaved deltas: both begin, then their arguments in turn."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in said.thoughts]
    deltas += [{"content": piece} for piece in said.texts]
    for index, (call_id, name, _) in enumerate(said.calls):
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
    for turn in range(2):
        for index, (_, _, pieces) in enumerate(said.calls):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": pieces[turn]}}]})
    last: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": name_finish(Wire.CHAT, said.stop)}
    if said.stop is Stop.SEQUENCE:
        last["stop_reason"] = "END"
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    events = [_chat_chunk(choices=[choice]) for choice in (*choices, last)]
    return [*events, _chat_chunk(choices=[], usage=CHAT_USAGE), DONE]


def _chat_chunk(**members: Any) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return event({**head, "system_fingerprint": "fp_1", **members})


# Messages.


def write_messages(said: Said) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if said.thoughts:
        content.append({"type": "thinking", "thinking": "".join(said.thoughts), "signature": "sig-1"})
    if said.texts:
        content.append({"type": "text", "text": "".join(said.texts)})
    for call_id, name, arguments in said.calls:
        content.append({"type": "tool_use", "id": call_id, "name": name, "input": json.loads("".join(arguments))})
    return {
        **_message_head(content),
        "stop_reason": name_finish(Wire.MESSAGES, said.stop),
        "stop_sequence": "END" if said.stop is Stop.SEQUENCE else None,
        "usage": MESSAGES_USAGE,
    }


def stream_messages(said: Said) -> list[bytes]:
    begun = {key: value for key, value in MESSAGES_USAGE.items() if key != "output_tokens_details"}
    start = _message_head([]) | {"stop_reason": None, "stop_sequence": None, "usage": begun | {"output_tokens": 1}}
    events = [_messages_event("message_start", message=start), _messages_event("ping")]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if said.thoughts:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in said.thoughts]
        signed = {"type": "signature_delta", "signature": "sig-1"}
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]))
    if said.texts:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in said.texts]))
    for call_id, name, pieces in said.calls:
        opening = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        blocks.append((opening, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]))
    for index, (opening, deltas) in enumerate(blocks):
        events.append(_messages_event("content_block_start", index=index, content_block=opening))
        events += [_messages_event("content_block_delta", index=index, delta=delta) for delta in deltas]
        events.append(_messages_event("content_block_stop", index=index))
    stop_sequence = "END" if said.stop is Stop.SEQUENCE else None
    end = {"stop_reason": name_finish(Wire.MESSAGES, said.stop), "stop_sequence": stop_sequence}
    events.append(_messages_event("message_delta", delta=end, usage=MESSAGES_USAGE))
    return [*events, _messages_event("message_stop")]


def _message_head(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": content}


def _messages_event(kind: str, **members: Any) -> bytes:
    return b"event: %b\n%b" % (kind.encode(), event({"type": kind, **members}))


# Responses.


def write_responses(said: Said) -> dict[str, Any]:
    return _response(said, _list_items(said))


def stream_responses(said: Said) -> list[bytes]:
    """Parallel calls come in interleaved deltas here too."""
    events: list[tuple[str, dict[str, Any]]] = [("response.created", {"response": _response(None, [])})]
    events += [("response.in_progress", {"response": _response(None, [])})]
    items = _list_items(said)
    for index, item in enumerate(items):
        events.append(("response.output_item.added", {"output_index": index, "item": _empty(item)}))
        if item["type"] != "function_call":
            events += _stream_text(index, item, said.thoughts if item["type"] == "reasoning" else said.texts)
    calls = [(index, item) for index, item in enumerate(items) if item["type"] == "function_call"]
    for turn in range(2):
        for (index, item), (_, _, pieces) in zip(calls, said.calls, strict=True):
            place = {"item_id": item["id"], "output_index": index}
            events.append(("response.function_call_arguments.delta", {**place, "delta": pieces[turn]}))
    for index, item in calls:
        place = {"item_id": item["id"], "output_index": index, "name": item["name"]}
        events.append(("response.function_call_arguments.done", {**place, "arguments": item["arguments"]}))
        events.append(("response.output_item.done", {"output_index": index, "item": item}))
    last = _response(said, items)
    events.append((f"response.{last['status']}", {"response": last}))
    return [
        b"event: %b\n%b" % (kind.encode(), event({"type": kind, "sequence_number": number, **members}))
        for number, (kind, members) in enumerate(events)
    ]


def _list_items(said: Said) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if said.thoughts:
        content = [{"type": "reasoning_text", "text": "".join(said.thoughts)}]
        items.append({"type": "reasoning", "id": "rs_1", "summary": [], "content": content, "status": "completed"})
    if said.texts:
        part = {"type": "output_text", "text": "".join(said.texts), "annotations": [], "logprobs": []}
        message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant"}
        items.append({**message, "content": [part]})
    for call_id, name, arguments in said.calls:
        call = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name, "status": "completed"}
        items.append({**call, "arguments": "".join(arguments)})
    return items


def _empty(item: dict[str, Any]) -> dict[str, Any]:
    """The item as it is announced."""
    nothing = {"arguments": ""} if item["type"] == "function_call" else {"content": []}
    return {**item, **nothing, "status": "in_progress"}


def _stream_text(index: int, item: dict[str, Any], pieces: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    kind = "response.output_text" if part["type"] == "output_text" else "response.reasoning_text"
    extra = {"logprobs": []} if part["type"] == "output_text" else {}
    yield "response.content_part.added", {**place, "part": {**part, "text": ""}}
    for piece in pieces:
        yield f"{kind}.delta", {**place, **extra, "delta": piece}
    yield f"{kind}.done", {**place, **extra, "text": part["text"]}
    yield "response.content_part.done", {**place, "part": part}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _response(said: Said | None, items: list[dict[str, Any]]) -> dict[str, Any]:
    word = "in_progress" if said is None else name_finish(Wire.RESPONSES, said.stop)
    is_whole = word in ("in_progress", "completed")
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": word if is_whole else "incomplete",
        "error": None,
        "incomplete_details": None if is_whole else {"reason": word},
        "instructions": None,
        "metadata": {},
        "model": MODEL,
        "output": items,
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None if said is None else RESPONSES_USAGE,
    }
