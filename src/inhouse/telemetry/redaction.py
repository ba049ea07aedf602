"""Masks secrets in text that leaves for a log line, an error or a page. Content is not judged, only known shapes."""

from __future__ import annotations

import logging
import re

MASK = "[redacted]"
# Shorter values would mask ordinary words.
_MIN_SECRET_CHARS = 8

# `Authorization: Bearer …` and its kin, and the common key prefixes of companies and of inhouse (sk-, sk_, ih-).
_PATTERNS = (
    re.compile(r"(?i)\b(bearer)\s+[a-z0-9._~+/=-]{4,}"),
    re.compile(
        r"(?i)\b((?:x-)?api[-_]?key|authorization)([\"']?\s*[:=]\s*[\"']?)(?!bearer\b)(?:basic\s+)?[^\s\"',;]{4,}"
    ),
    re.compile(r"\b(sk|pk|rk|ih)[-_][A-Za-z0-9_-]{6,}"),
    re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@"),
)
_REPLACEMENTS = (rf"\1 {MASK}", rf"\1\2{MASK}", rf"\1-{MASK}", rf"\1:{MASK}@")


class Redactor:
    """Masks bearer tokens, API keys by their shape, passwords in URLs, and every registered value."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, value: str) -> None:
        """Mask this value wherever it stands from now on.

        Raises:
            ValueError: it has fewer than eight characters, so masking it would garble ordinary text.
        """
        if len(value) < _MIN_SECRET_CHARS:
            raise ValueError(f"a secret to mask needs {_MIN_SECRET_CHARS} characters or more")
        self._values.add(value)
        # Longest first, so that a secret that begins with another is masked whole.
        ordered = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def redact(self, text: str) -> str:
        """The text with every secret replaced by `[redacted]`."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        for pattern, replacement in zip(_PATTERNS, _REPLACEMENTS, strict=True):
            text = pattern.sub(replacement, text)
        return text

    def __repr__(self) -> str:
        return f"Redactor({len(self._values)} values)"


class RedactingFormatter(logging.Formatter):
    """A log formatter whose whole output, tracebacks included, is redacted by the process's redactor."""

    def format(self, record: logging.LogRecord) -> str:
        """The formatted line without secrets."""
        return redact(super().format(record))


_PROCESS_REDACTOR = Redactor()


def register_secret(value: str) -> None:
    """Mask this value in everything that this process redacts; see `Redactor.register`."""
    _PROCESS_REDACTOR.register(value)


def redact(text: str) -> str:
    """The text without bearer tokens, API keys, passwords in URLs and registered secrets."""
    return _PROCESS_REDACTOR.redact(text)
