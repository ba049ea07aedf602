"""What a chat request's field was called in the Responses request that it was made from. For errors alone."""

from __future__ import annotations

import re

_NAMES = (
    (re.compile(r"^messages\b.*"), "input"),
    (re.compile(r"^max_(completion_)?tokens$"), "max_output_tokens"),
    (re.compile(r"^response_format\.json_schema\b"), "text.format"),
    (re.compile(r"^response_format\b"), "text.format"),
    (re.compile(r"^verbosity$"), "text.verbosity"),
    (re.compile(r"^reasoning_effort$"), "reasoning.effort"),
    (re.compile(r"^(tools\[\d+\]|tool_choice)\.function\b"), r"\1"),
)


def name_member(path: str, body: bytes) -> str:
    """The field as the client wrote it.

    Args:
        path: of the field in the chat request (`response_format.type`).
        body: the client's request. A message is made from several items, so of these only `input` is named.
    """
    if path == "logprobs":
        return "top_logprobs" if b'"top_logprobs"' in body else "include"
    for pattern, name in _NAMES:
        named, num_found = pattern.subn(name, path)
        if num_found:
            return named
    return path
