"""How much of an answer is written in a script that its prompt does not use. Knows no languages."""

from __future__ import annotations

import re

from inhouse.telemetry.signals.text import drop_code

WINDOW_CHARS = 4096
"""This much of the answer's beginning and of its end is looked at."""
# Blocks of Unicode 16. Greek is left out: formulas in every language are written with it.
_BLOCKS = {
    "latin": "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
    "kana": "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff",
    "hangul": "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "cyrillic": "\u0400-\u052f\u1c80-\u1c8f",
    "arabic": "\u0620-\u064a\u066e-\u06d3\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc",
    "hebrew": "\u05d0-\u05ea",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e01-\u0e3a\u0e40-\u0e4e",
    "bengali": "\u0980-\u09ff",
    "gurmukhi": "\u0a00-\u0a7f",
    "gujarati": "\u0a80-\u0aff",
    "tamil": "\u0b80-\u0bff",
    "telugu": "\u0c00-\u0c7f",
    "kannada": "\u0c80-\u0cff",
    "malayalam": "\u0d00-\u0d7f",
    "sinhala": "\u0d80-\u0dff",
    "lao": "\u0e81-\u0edf",
    "tibetan": "\u0f40-\u0fbc",
    "myanmar": "\u1000-\u109f",
    "georgian": "\u10a0-\u10ff\u1c90-\u1cbf",
    "ethiopic": "\u1200-\u139f",
    "khmer": "\u1780-\u17ff",
    "armenian": "\u0531-\u0587",
    "mongolian": "\u1820-\u1878",
}
_SCRIPTS = {name: re.compile(f"[{blocks}]+") for name, blocks in _BLOCKS.items()}
# Japanese is written in both; a short prompt may hold one alone.
_USES = _SCRIPTS | {"han": re.compile(f"[{_BLOCKS['han']}{_BLOCKS['kana']}]")}
_ANY = re.compile(f"[{''.join(_BLOCKS.values())}]")

_ASCII = bytes(range(128))
_NO_LETTERS = bytes(byte for byte in range(256) if not (65 <= byte <= 90 or 97 <= byte <= 122))
_ESCAPE = re.compile(rb"\\u([0-9a-fA-F]{4})")
# What a raw prompt holds beside the words: names of members, and values that no person wrote.
_STRUCTURE = re.compile(
    rb'"(?:role|type|id|name|url|data|media_type|detail|tool_call_id|tool_use_id)"\s{0,9}:\s{0,9}"[^"]*"'
    rb'|(?<!\\)"\w{1,40}"\s{0,9}:|\\(?:u[0-9a-fA-F]{4}|[a-z])'
)


def measure_mismatch(text: str, prompt: bytes) -> int:
    """Percent, rounded up, of the answer's letters whose script the prompt does not use.

    `prompt` is raw JSON. Latin letters count as foreign only where they are more than half of the letters: names,
    units and code are written in them everywhere.
    """
    is_plain = prompt.isascii() and (b"\\" not in prompt or b"\\u" not in prompt)
    if is_plain and text.isascii():
        return 0
    words = drop_code(text)
    if len(words) > 2 * WINDOW_CHARS:
        words = words[:WINDOW_CHARS] + words[-WINDOW_CHARS:]
    data = words.encode("utf-8", "replace")
    others = data.translate(None, _ASCII).decode()
    if is_plain and _ANY.search(others) is None:
        return 0
    counts = _count_scripts(others)
    counts["latin"] = counts.get("latin", 0) + len(data.translate(None, _NO_LETTERS))
    num_letters = sum(counts.values())
    num_foreign = sum(count for script, count in counts.items() if script != "latin" and not _uses(prompt, script))
    if counts["latin"] * 2 > num_letters and not _uses(prompt, "latin"):
        num_foreign += counts["latin"]
    return -(-100 * num_foreign // num_letters) if num_letters else 0


def _count_scripts(letters: str) -> dict[str, int]:
    """Letters outside ASCII by script; only scripts that occur."""
    counts: dict[str, int] = {}
    for script, pattern in _SCRIPTS.items():
        if _ANY.search(letters) is None:
            break
        left = pattern.sub("", letters)
        if len(left) < len(letters):
            counts[script] = len(letters) - len(left)
            letters = left
    return counts


def _uses(prompt: bytes, script: str) -> bool:
    """Whether a character of the script stands in the prompt, plain or escaped."""
    if script == "latin" and _STRUCTURE.sub(b"", prompt).translate(None, _NO_LETTERS):
        return True
    pattern = _USES[script]
    if pattern.search(prompt.translate(None, _ASCII).decode("utf-8", "ignore")) is not None:
        return True
    return any(pattern.match(chr(int(code, 16))) is not None for code in set(_ESCAPE.findall(prompt)))
