"""Identifiers made from passed-in time and randomness."""

from __future__ import annotations

_MS_MASK = (1 << 48) - 1
_VARIANT_OF = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}
_NUM_RANDOM_BYTES = 10


def make_trace_tails(random_bytes: bytes) -> list[str]:
    """What follows the time in trace ids, one for each ten random bytes: made in lots, since it is wanted often.

    `f"{unix_ms:012x}{tail}"` is the id that `make_trace_id` makes of the same bytes.
    """
    digits = random_bytes.hex()
    starts = range(0, len(digits), 2 * _NUM_RANDOM_BYTES)
    return [f"7{digits[at : at + 3]}{_VARIANT_OF[digits[at + 5]]}{digits[at + 5 : at + 20]}" for at in starts]


def make_trace_id(unix_ms: int, random_bytes: bytes) -> str:
    """UUIDv7-shaped id (RFC 9562 §5.7) as 32 hex digits: sorts by time, fits an OpenTelemetry trace id.

    Args:
        unix_ms: milliseconds since the epoch, 48 bits.
        random_bytes: ten random bytes; version and variant bits are overwritten.
    """
    return f"{unix_ms & _MS_MASK:012x}{make_trace_tails(random_bytes)[0]}"
