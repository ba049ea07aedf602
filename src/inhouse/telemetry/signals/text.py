"""Signals of a text alone: runs, repetition, leaked tokens, refusals. Linear time; quick looks come first."""

from __future__ import annotations

import re
import zlib

MIN_WHITESPACE_RUN = 8
MIN_RUN = 16
REPEAT_CHARS = 4096
"""Repetition is looked for in this much of the end: a model that loops does not stop by itself."""
LONG_CHARS = 2048
"""From this length on, repetition is always looked for."""
_NUM_WORDS = 4
_NUM_LETTERS = 8
_MIN_GRAMS = 8
_TAIL_CHARS = 24
_REFUSAL_CHARS = 200

_IS_LETTER = bytes(0 if byte < 128 and chr(byte).isspace() else 1 for byte in range(256))
_WHITESPACE = re.compile(rf"\s{{{MIN_WHITESPACE_RUN},}}")
_RUN = re.compile(rf"(\S)\1{{{MIN_RUN - 1},}}")
_NO_LETTERS = bytes(MIN_WHITESPACE_RUN)
_STRIDE = 4
_ALIKE = bytes(MIN_RUN // _STRIDE - 1)
_MAX_LOOKS = 64


def measure_whitespace(text: str) -> int:
    """Longest run of whitespace in characters, 0 where it is shorter than 8, or has no eight of ASCII in a row."""
    if text.encode("utf-8", "replace").translate(_IS_LETTER).find(_NO_LETTERS) < 0:
        return 0
    return max(map(len, _WHITESPACE.findall(text)), default=0)


def measure_run(text: str) -> int:
    """Longest run of one visible character, 0 where it is shorter than 16.

    Of 16 in a row, every fourth makes four alike. So it is enough to compare each fourth with the one before it, which
    is done for all of them at once by shifting a large number; only a hit is looked at closely.
    """
    sample = text[::_STRIDE]
    data, width = (sample.encode(), 1) if sample.isascii() else (sample.encode("utf-32-le", "replace"), 4)
    number = int.from_bytes(data, "little")
    changes = (number ^ (number >> (8 * width))).to_bytes(len(data), "little")
    at = changes.find(_ALIKE * width)
    for _ in range(_MAX_LOOKS):
        if at < 0:
            return 0
        start = -(-at // width)  # high bytes of the change before may be zeros too
        if _is_run(text, start * _STRIDE):
            break
        at = changes.find(_ALIKE * width, (start + 1) * width)
    return max((match.end() - match.start() for match in _RUN.finditer(text)), default=0)


def _is_run(text: str, start: int) -> bool:
    """Whether the characters from one that was alike to the last that was are one visible character."""
    span = text[start : start + MIN_RUN - _STRIDE + 1]
    return not span[:1].isspace() and span == span[:1] * len(span)


def measure_repetition(text: str) -> tuple[int | None, int | None]:
    """(percent of repeated runs of words, zlib's size in percent) of the end of the text.

    Both are None for a short text whose last 24 characters stand in it only once, so that nothing hints at a loop.
    Where words are not parted by spaces, runs of eight characters are taken for runs of four words.
    """
    if len(text) < LONG_CHARS and text.find(text[-_TAIL_CHARS:]) >= len(text) - _TAIL_CHARS:
        return None, None
    end = text[-REPEAT_CHARS:]
    data = end.encode("utf-8", "replace")
    return _measure_repeated(end), 100 * len(zlib.compress(data, 1)) // len(data)


def _measure_repeated(text: str) -> int | None:
    words = text.split()
    if len(words) * 16 > len(text):
        grams = list(zip(*(words[start:] for start in range(_NUM_WORDS)), strict=False))
    else:
        grams = [text[start : start + _NUM_LETTERS] for start in range(len(text) - _NUM_LETTERS + 1)]
    if len(grams) < _MIN_GRAMS:
        return None
    return 100 * (len(grams) - len(set(grams))) // len(grams)


_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


def drop_code(text: str) -> str:
    """The text without its fenced code blocks; one that is not closed goes to the end."""
    return _FENCE.sub("", text) if "```" in text else text


_ANGLE_TOKENS = re.compile(
    r"<(?:"
    r"\|[^\s|<>]{1,40}\|>|\|[a-z_]{1,40}\Z|"  # <|im_end|> and its like, also cut off at the end
    r"｜[^\s｜<>]{1,40}｜>|"
    r"/?think>|/?tool_(?:call|response)>|/?tools>|"
    r"</?SYS>>|(?:start|end)_of_turn>|/s>\s*\Z|(?:pad|unk|bos|eos)>|"
    r"0x[0-9A-F]{2}>)"
)
_SQUARE_TOKENS = re.compile(r"\[(?:/?INST\]|(?:PAD|UNK|CLS|SEP|MASK|TOOL_CALLS|AVAILABLE_TOOLS)\])")
# What undecoded tokens look like: byte-level space, sentencepiece space, a byte that is no text.
_RAW_TOKENS = re.compile("[a-z,.]\u0120[a-zA-Z]|\u2581[a-zA-Z]|\ufffd")


def has_token_leak(text: str) -> bool:
    """Whether special tokens, template markers or undecoded tokens stand in the text outside code blocks."""
    if "<" not in text and "[" not in text and text.isascii():
        return False
    prose = drop_code(text)
    return (
        ("<" in prose and _ANGLE_TOKENS.search(prose) is not None)
        or ("[" in prose and _SQUARE_TOKENS.search(prose) is not None)
        or (("\u0120" in prose or "\u2581" in prose or "\ufffd" in prose) and _RAW_TOKENS.search(prose) is not None)
    )


_ACTS = (
    "help|assist|provide|comply|fulfil|fulfill|support|create|generate|write|discuss|share|give|answer|continue|"
    "engage|participate|offer|produce|complete|respond|do that|do this|talk about|advise|recommend"
)
_REFUSALS = re.compile(
    r"i(?<![a-z]i)"
    r"(?: (?:can't|cannot|can not|won't|will not|must decline|have to decline|need to decline)"
    r"|(?: am|'m) (?:unable|not able|not allowed|not permitted|not comfortable|not going))"
    rf"(?: to| with)?(?: \w+){{0,2}}? (?:{_ACTS})\b"
    r"|i(?<![a-z]i) (?:must|have to|need to) (?:decline|refuse)"
    r"|i(?<![a-z]i)(?: am|'m) (?:sorry|afraid),? but (?:as an ai|i (?:can't|cannot|won't|am unable|am not able))"
    r"|as an ai\b[^.]{0,40}? i (?:can't|cannot|am unable|am not able|don't|do not)"
)
# Other languages say it at once.
_OTHER_REFUSALS = re.compile(
    r"\s*(?:(?:es )?tut mir (?:sehr )?leid, aber|(?:leider )?(?:kann ich|ich kann) (?:\w+ ){0,5}nicht (?:weiter)?helfen"
    r"|je suis désolée?, mais je|je ne peux pas (?:vous |t')?(?:aider|répondre|fournir)"
    r"|lo siento, pero no puedo|no puedo (?:ayudar|proporcionar)"
    r"|(?:desculpe|sinto muito), mas não posso|mi dispiace, ma non posso"
    r"|(?:很|非常)?(?:抱歉|对不起)[,，].{0,12}(?:无法|不能)|我(?:无法|不能)(?:提供|帮助|协助|回答)"
    r"|申し訳(?:ありません|ございません)が|죄송하지만)"
)


def is_refusal(text: str) -> bool:
    """Whether the first 200 characters read as a refusal, in one of nine languages. A regular expression's opinion."""
    head = text[:_REFUSAL_CHARS].lower().replace("\n", " ")
    if not head.isascii():
        head = head.replace("\u2019", "'")
    # Only one who says "I" refuses.
    if (" i " in head or " i'" in head or head.startswith(("i ", "i'"))) and _REFUSALS.search(head) is not None:
        return True
    return _OTHER_REFUSALS.match(head) is not None
