"""Deployment and variant digests: which exact thing answers. Reading files and engines is serving's work, not here."""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec
from msgspec import Struct


class DigestBasis(StrEnum):
    """How a digest field is known: read back from what runs, or only declared in the file."""

    MEASURED = "measured"
    DECLARED = "declared"


class DigestField(Struct, frozen=True):
    """One named fact of a digest with its basis. `value` is text, so that hashing needs no float rules."""

    name: str
    value: str
    basis: DigestBasis


class Digest(Struct, frozen=True):
    """A digest value and the fields that it covers, sorted by name.

    Two digests are the same thing exactly when `value` is equal. The basis is not hashed: the same fact declared or
    measured is the same fact.
    """

    value: str
    fields: tuple[DigestField, ...]

    @property
    def short(self) -> str:
        """First twelve hex digits, for people."""
        return self.value.removeprefix("sha256:")[:12]


def compute_digest(kind: str, fields: tuple[DigestField, ...]) -> Digest:
    """Hash named fields into a digest.

    Args:
        kind: what is hashed (`deployment` or `variant`), part of the hash so that kinds never collide.
        fields: the facts; order does not matter, a repeated name raises ValueError.

    Returns:
        `sha256:<64 hex digits>` over the JSON of `[kind, [[name, value], …]]` in name order.
    """
    ordered = tuple(sorted(fields, key=lambda field: field.name))
    names = [field.name for field in ordered]
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"digest fields repeat: {', '.join(repeated)}")
    payload = msgspec.json.encode([kind, [[field.name, field.value] for field in ordered]])
    return Digest(f"sha256:{hashlib.sha256(payload).hexdigest()}", ordered)


def digest_variant(
    endpoint_digest: str, *, template: str | None = None, sampling: str | None = None, hooks: tuple[str, ...] = ()
) -> Digest:
    """Digest of a variant: endpoint digest + prompt template + sampling + hooks (each empty where none is set)."""
    return compute_digest(
        "variant",
        (
            DigestField("endpoint", endpoint_digest, DigestBasis.MEASURED),
            DigestField("prompt_template", template or "", DigestBasis.DECLARED),
            DigestField("sampling", sampling or "", DigestBasis.DECLARED),
            DigestField("hooks", ",".join(hooks), DigestBasis.DECLARED),
        ),
    )
