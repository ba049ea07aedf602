"""What the usage repository takes and gives: frozen rows, no SQL."""

from __future__ import annotations

from msgspec import Struct


class UsageImport(Struct, frozen=True, kw_only=True):
    """A file of usage. Times are Unix seconds."""

    source: str
    file: str
    """Its name, without the folder."""
    sha256: str
    account: str = ""
    """Tells two organisations apart."""
    grouped_by: str = ""
    """Length of the periods and labels that they are grouped by; empty where each record is one request.

    Two files of one source and account that cover the same time count its usage twice unless they agree in this.
    """
    imported_at: float
    since: int | None = None
    until: int | None = None


class ImportCounts(Struct, frozen=True, kw_only=True):
    """What adding records changed. Without new and replaced ones nothing did, and `import_id` is None."""

    import_id: int | None
    num_new: int
    num_replaced: int
    """Records that were there with other figures, and no fuller ones."""
    num_same: int
    """Records that were there just so."""
    num_fuller: int
    """Records that were there with more requests or tokens, and stayed: an older export was added after a newer."""


class ImportRow(Struct, frozen=True, kw_only=True):
    """An import as the table holds it."""

    import_id: int
    source: str
    file: str
    sha256: str
    account: str
    grouped_by: str
    imported_at: float
    since: int | None
    until: int | None
    num_new: int
    num_replaced: int
    num_same: int
    num_fuller: int
