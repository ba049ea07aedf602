"""What the repositories of costs and invoices take and give: frozen rows, no SQL."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from inhouse.domain import Usage


class SpendRow(Struct, frozen=True, kw_only=True, gc=False):
    """Our own ended requests of one hour with equal labels; all of them have a cost, or none has.

    The cost is the repriced one where there is one. `provider` is `own` for a deployment.
    """

    started_at: int
    """Unix seconds of the hour's start."""
    provider: str
    model: str
    """The name that the file or the caller gives the model; a deployment's name."""
    route: str | None
    key: str | None
    task: str | None
    tags: tuple[str | None, ...]
    """Values of the tags that were asked for; None where a request has no such tag."""
    tier: str | None
    """The tariff that the reply named; None for the standard one."""
    is_eval: bool
    is_simulated: bool
    num_requests: int
    """Requests that were answered, whole or in part."""
    num_failed: int
    """Requests that were answered with an error."""
    num_repriced: int
    usage: Usage | None
    """None where no tokens were reported."""
    cost_usd: Decimal | None
    """None: unpriced, or (failed ones alone) nothing to price."""


class PricedRequest(Struct, frozen=True, kw_only=True, gc=False):
    """One ended request that reported its tokens, with what it cost so far."""

    trace_id: str
    started_at: float
    endpoint_id: str
    tier: str | None
    is_simulated: bool
    usage: Usage
    cost_usd: float | None
    """The repriced cost where there is one; None: unpriced."""


class RepricedCost(Struct, frozen=True, kw_only=True, gc=False):
    """A cost computed again."""

    trace_id: str
    cost_usd: float
    price_id: str


class Reprice(Struct, frozen=True, kw_only=True):
    """One run of computing costs again. Times are Unix seconds."""

    reprice_id: int
    repriced_at: float
    reason: str
    since: float | None
    until: float | None
    num_traces: int


class Seen(Struct, frozen=True, kw_only=True):
    """When an endpoint's requests began: the first and the last one in the store, in Unix seconds."""

    first_at: float
    last_at: float


class InvoiceLine(Struct, frozen=True, kw_only=True):
    """One charge of a provider."""

    provider: str
    line_id: str
    """The same for the same charge of a later export."""
    started_at: int
    """Unix seconds of the start of the period that it is for."""
    ended_at: int
    """Unix seconds of its end, exclusive."""
    description: str | None = None
    model: str | None = None
    project: str | None = None
    is_tokens: bool = True
    """False where the provider says that it is for something else than tokens (web searches, taxes)."""
    amount: Decimal
    """In the currency's own unit, exact; negative for credits and refunds."""
    currency: str
    """Three letters, upper case."""


class InvoiceFile(Struct, frozen=True, kw_only=True):
    """A file of charges. Times are Unix seconds."""

    provider: str
    file: str
    """Its name, without the folder."""
    sha256: str
    account: str = ""
    """Tells two accounts of one provider apart."""
    grouped_by: str
    """Form of the file and length of its periods."""
    imported_at: float
    since: int
    until: int


class InvoiceCounts(Struct, frozen=True, kw_only=True):
    """What adding charges changed. Without new and replaced ones nothing did, and `import_id` is None."""

    import_id: int | None
    num_new: int
    num_replaced: int
    """Charges that were there with another amount; the file that was added last counts."""
    num_same: int


class InvoiceImport(InvoiceFile, frozen=True, kw_only=True):
    """An import as the table holds it."""

    import_id: int
    num_new: int
    num_replaced: int
    num_same: int
