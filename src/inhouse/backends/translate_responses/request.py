"""A Responses request → the body of a chat request. Every member is carried over, kept for the reply, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from inhouse.backends.quirks import EngineQuirks
from inhouse.backends.request_body import wrong_type
from inhouse.backends.translate_responses.fields import Fields
from inhouse.backends.translate_responses.messages import MessageBuilder
from inhouse.backends.translate_responses.tools import build_choice, build_tools

_SAME = (
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "user",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
)
"""Members that chat has under the same name with the same meaning."""
_KEPT = ("metadata", "store", "max_tool_calls", "background")
"""Members that ask nothing of the endpoint: they are kept by the gateway, said again in the response, limit tools that
no chat endpoint has, or are false (`background`; true is refused where the request is read)."""
_LOGPROBS = "message.output_text.logprobs"
_HARMLESS = frozenset({"reasoning.encrypted_content", "message.input_image.image_url", _LOGPROBS})
"""What may be asked to be included: reasoning comes in plain text, images stand in the items as they were sent."""
_STATEFUL = ("previous_response_id", "conversation")


def build_chat_body(body: bytes, model: str, quirks: EngineQuirks, history: Sequence[bytes] | None) -> bytes:
    """The chat request's body.

    Args:
        body: the client's.
        model: the endpoint's model name.
        quirks: of the endpoint's server.
        history: items of earlier responses that go before the request's own, oldest first; None where nobody
            looked them up.

    Raises:
        RequestError: 400, a field is malformed.
        UntranslatableError: chat has nothing like a field, or not for this value of it.
    """
    fields = Fields(body, "")
    fields.skip("model")
    chat: dict[str, Any] = {"model": model, "messages": _build_messages(fields, quirks, history)}
    for name in _SAME:
        value = fields.pop(name)
        if value is not None:
            chat[name] = value
    cap = fields.pop("max_output_tokens")
    if cap is not None:
        chat[quirks.cap_field] = cap
    _put_tools(fields, chat)
    _put_text(fields, chat)
    _put_reasoning(fields, chat)
    _put_logprobs(fields, chat)
    _put_stream(fields, chat, quirks)
    _refuse_modes(fields)
    fields.skip(*_KEPT)
    fields.close()
    return msgspec.json.encode(chat)


def _build_messages(fields: Fields, quirks: EngineQuirks, history: Sequence[bytes] | None) -> list[dict[str, Any]]:
    builder = MessageBuilder(quirks.reasoning_field)
    instructions = fields.pop_text("instructions")
    if instructions:
        builder.add_text("system", instructions)
    for name in _STATEFUL:
        if fields.pop(name) is not None and history is None:
            words = "Earlier responses can only be referred to where the platform keeps them (`gateway.responses`)"
            raise fields.refuse(name, words)
    builder.add_items(history or (), "input", owner="previous_response_id")
    if fields.is_text("input"):
        builder.add_text("user", fields.need_text("input"))
    else:
        builder.add_items(fields.pop_list("input"), "input")
    return builder.build()


def _put_tools(fields: Fields, chat: dict[str, Any]) -> None:
    choice, tools = build_choice(fields, build_tools(fields.pop_list("tools")))
    if tools:
        chat["tools"] = tools
        if choice is not None:
            chat["tool_choice"] = choice
    else:
        chat.pop(
            "parallel_tool_calls", None
        )  # chat refuses both where there are no tools; without tools they say nothing
        if choice not in (None, "none", "auto"):
            raise wrong_type("tool_choice", "'none' or 'auto' where there are no tools")


def _put_text(fields: Fields, chat: dict[str, Any]) -> None:
    text = fields.pop_fields("text")
    if text is None:
        return
    verbosity = text.pop("verbosity")
    if verbosity is not None:
        chat["verbosity"] = verbosity
    form = text.pop_fields("format")
    if form is not None:
        response_format = _build_format(form)
        if response_format is not None:
            chat["response_format"] = response_format
    text.close()


def _build_format(form: Fields) -> dict[str, Any] | None:
    kind = form.need_text("type")
    if kind == "json_schema":
        schema: dict[str, Any] = {"name": form.need_text("name"), "schema": form.need("schema")}
        for name in ("description", "strict"):
            value = form.pop(name)
            if value is not None:
                schema[name] = value
        form.close()
        return {"type": kind, "json_schema": schema}
    form.close()
    if kind == "json_object":
        return {"type": kind}
    if kind != "text":
        raise form.refuse("type", f"Chat completions have no format of type '{kind}'")
    return None


def _put_reasoning(fields: Fields, chat: dict[str, Any]) -> None:
    reasoning = fields.pop_fields("reasoning")
    if reasoning is None:
        return
    effort = reasoning.pop("effort")
    if effort is not None:
        chat["reasoning_effort"] = effort
    for name in ("summary", "generate_summary", "context"):
        if reasoning.pop_text(name) not in (None, "auto"):
            raise reasoning.refuse(name, "Chat completions give reasoning as it is: only 'auto' can be asked for")
    if reasoning.pop_text("mode") not in (None, "standard"):
        raise reasoning.refuse("mode", "Chat completions know no modes of reasoning")
    reasoning.close()


def _put_logprobs(fields: Fields, chat: dict[str, Any]) -> None:
    asked = fields.pop_texts("include")
    for index, word in enumerate(asked):
        if word not in _HARMLESS:
            words = f"An endpoint that only offers chat completions has nothing like '{word}'"
            raise fields.refuse(f"include[{index}]", words)
    top = fields.pop("top_logprobs")
    if _LOGPROBS in asked or top is not None:
        chat["logprobs"] = True
    if top is not None:
        chat["top_logprobs"] = top


def _put_stream(fields: Fields, chat: dict[str, Any], quirks: EngineQuirks) -> None:
    options = fields.pop_fields("stream_options")
    if options is not None:
        if options.pop_flag("include_obfuscation"):
            raise options.refuse("include_obfuscation", "Translated streams are not obfuscated")
        options.close()
    if fields.pop_flag("stream"):
        chat["stream"] = True
        if quirks.has_stream_usage:
            chat["stream_options"] = {"include_usage": True}


def _refuse_modes(fields: Fields) -> None:
    truncation = fields.pop_text("truncation")
    if truncation not in (None, "disabled"):
        raise fields.refuse("truncation", "Chat completions never shorten the input by themselves")


def read_echo(body: bytes) -> dict[str, Raw]:
    """The members of a request that its response says again."""
    members = msgspec.json.decode(body, type=dict[str, Raw])
    return {name: members[name] for name in _ECHOED if name in members}


_ECHOED = (
    "background",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
)
