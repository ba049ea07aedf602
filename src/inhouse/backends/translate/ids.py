"""Tool call ids that both dialects take. An id is opaque, so another one in its place changes no answer."""

from __future__ import annotations

import hashlib
import re

_TAKEN_EVERYWHERE = re.compile(r"[A-Za-z0-9_-]{1,40}\Z")
"""Anthropic takes only these characters; OpenAI at most 40 of them."""


def portable_call_id(call_id: str) -> str:
    """The id itself where every endpoint takes it, else one derived from it, the same each time.

    Ids of engines may be longer than 40 characters (vLLM) or hold dots and colons (`functions.search:0`).
    """
    if _TAKEN_EVERYWHERE.match(call_id):
        return call_id
    return f"call_{hashlib.blake2b(call_id.encode(), digest_size=12).hexdigest()}"
