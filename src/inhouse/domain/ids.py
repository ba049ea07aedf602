"""Identifiers made from passed-in time and randomness."""

from __future__ import annotations

_MS_MASK = (1 << 48) - 1
_VARIANT = "89ab"


def make_trace_id(unix_ms: int, random_bytes: bytes) -> str:
    """UUIDv7-shaped id (RFC 9562 §5.7) as 32 hex digits: sorts by time, fits an OpenTelemetry trace id.

    Args:
        unix_ms: milliseconds since the epoch, 48 bits.
        random_bytes: ten random bytes; version and variant bits are overwritten.
    """
    digits = random_bytes.hex()
    return f"{unix_ms & _MS_MASK:012x}7{digits[:3]}{_VARIANT[random_bytes[2] & 3]}{digits[5:20]}"
