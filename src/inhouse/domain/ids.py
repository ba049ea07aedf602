"""Identifiers made from passed-in time and randomness."""

from __future__ import annotations


def make_trace_id(unix_ms: int, random_bytes: bytes) -> str:
    """UUIDv7-shaped id (RFC 9562 §5.7) as 32 hex digits: sorts by time, fits an OpenTelemetry trace id.

    Args:
        unix_ms: milliseconds since the epoch, 48 bits.
        random_bytes: ten random bytes; version and variant bits are overwritten.
    """
    tail = int.from_bytes(random_bytes, "big")
    rand_a = (tail >> 62) & 0xFFF
    rand_b = tail & ((1 << 62) - 1)
    value = (unix_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0x2 << 62 | rand_b
    return f"{value:032x}"
