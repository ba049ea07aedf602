"""Judges a reply byte by byte: a whole answer, a visible end, or neither, which must not be. Reads no socket."""

from __future__ import annotations

import json
from typing import NamedTuple

from flows.endurance.asks import Ask, Saw
from flows.faults.fault_server import OWN_ANSWER
from flows.faults.stage import split_reply
from flows.faults.wire import DONE, OPENAI

_BEGUN = OPENAI.list_events(OWN_ANSWER, False)[OPENAI.num_first - 1]
_OWN_EVENTS = b"".join(OPENAI.list_events(OWN_ANSWER, False))
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_TRACE = b"\r\nx-inhouse-trace: "
_TRACE_CHARS = 32
_REJECTIONS = {"bad_top_k", "context_length_exceeded"}
_OWN_CODE = str(OPENAI.error["error"]["code"])
"""An endpoint's error event is passed on as it is; on record is the gateway's word for it."""


class WrongReplyError(Exception):
    """A reply that no client may get."""


class Seen(NamedTuple):
    """What one client saw. `code` is the error's."""

    trace_id: str
    saw: Saw
    status: int = 200
    code: str = ""


def is_whole(reply: bytes) -> bool:
    """Whether the reply has come to the end that its head names."""
    end = reply.find(_HEAD_END)
    if end < 0:
        return False
    at = reply.find(_LENGTH, 0, end)
    if at < 0:
        return reply.endswith(b"0\r\n\r\n")
    return len(reply) >= end + len(_HEAD_END) + int(reply[at + len(_LENGTH) : reply.find(b"\r\n", at)])


def has_begun(reply: bytes) -> bool:
    """Whether the first part of a stream of the faulty endpoint is there."""
    return _BEGUN in reply


def judge(ask: Ask, reply: bytes) -> Seen:
    """What a client that asked so sees in this reply.

    Raises:
        WrongReplyError: it passes for something that it is not, or may not come of this request.
    """
    seen = _judge(ask, reply)
    if seen.saw not in ask.may_see:
        raise WrongReplyError(f"{seen.saw} {seen.status} {seen.code}: {reply[-300:]!r}")
    return seen


def find_trace(reply: bytes) -> str:
    """The trace that the reply's head names.

    Raises:
        WrongReplyError: it names none.
    """
    at = reply.find(_TRACE, 0, reply.find(_HEAD_END) + 2)
    if at < 0:
        raise WrongReplyError(f"no trace: {reply[:300]!r}")
    at += len(_TRACE)
    return reply[at : at + _TRACE_CHARS].decode()


def _judge(ask: Ask, reply: bytes) -> Seen:
    trace_id = find_trace(reply)
    if not ask.is_stream and reply.startswith(b"HTTP/1.1 200 ") and reply.endswith(_HEAD_END + ask.whole[Saw.SPARE]):
        return Seen(trace_id, Saw.SPARE)  # what most are: the rest is read in full
    try:
        status, headers, body = split_reply(reply)
    except (AssertionError, KeyError, ValueError) as error:
        raise WrongReplyError(f"no HTTP ({error}): {reply!r}") from None
    if status == 200:
        is_stream = headers["content-type"].startswith("text/event-stream")
        if is_stream is not ask.is_stream:
            raise WrongReplyError(f"a {headers['content-type']}")
        for saw in (Saw.SPARE, Saw.OWN):
            if body == ask.whole.get(saw):
                return Seen(trace_id, saw)
        return Seen(trace_id, Saw.BROKEN, code=_read_break(ask, body))
    code = _read_code(body)
    if status == 400 and code in _REJECTIONS:
        return Seen(trace_id, Saw.PASSED, status, "upstream_rejected")
    if status != ask.error_status:
        raise WrongReplyError(f"{status} in place of {ask.error_status}: {body!r}")
    return Seen(trace_id, Saw.ERROR, status, code)


def _read_break(ask: Ask, body: bytes) -> str:
    """The code of the error event that ends a stream, before which there is only what the endpoint said."""
    first, border, last = body.replace(OPENAI.ping, b"").removesuffix(b"\n\n").rpartition(b"\n\n")
    first += border
    is_first_part = len(first) < len(_OWN_EVENTS) and _OWN_EVENTS.startswith(first)
    if not ask.is_stream or not is_first_part or DONE in body or not last.startswith(b"data: "):
        raise WrongReplyError(f"neither whole nor visibly broken: {body!r}")
    code = _read_code(last.removeprefix(b"data: "))
    return "upstream_error" if code == _OWN_CODE else code


def _read_code(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        raise WrongReplyError(f"an error without words: {body!r}") from None
    if not error["message"]:
        raise WrongReplyError(f"an error without words: {body!r}")
    return str(error["code"])
