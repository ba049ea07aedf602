"""How the catalog looks on a terminal and as JSON. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from inhouse.catalog import (
    Catalog,
    CompanyFact,
    Confidence,
    DutyTrigger,
    GpuRow,
    LicenceRow,
    MachineRow,
    MachineTerms,
    ModelRow,
    OfferFile,
    TokenPriceRow,
)
from inhouse.planning import (
    DueDuty,
    LicenceReason,
    LicenceState,
    LicenceVerdict,
    WeightFormat,
    kv_bytes_per_token,
    weigh_model,
)

SHOWN_PROBLEMS = 10
"""Rows that could not be read, shown at most; --json has all."""
_STATES = {
    LicenceState.ALLOWED: "[bold green]allowed[/]",
    LicenceState.ALLOWED_WITH_DUTIES: "[bold green]allowed, with duties[/]",
    LicenceState.BLOCKED: "[bold red]blocked[/]",
    LicenceState.UNKNOWN: "[bold yellow]unknown[/] [yellow](nothing is promoted on an unknown licence)[/]",
}
_TRIGGERS = {
    DutyTrigger.ALWAYS: "always",
    DutyTrigger.OUTSIDE: "if others use it",
    DutyTrigger.DISTRIBUTION: "if you pass on weights",
    DutyTrigger.DISTRIBUTION_OR_API: "if you pass on weights, or offer it as an API",
    DutyTrigger.TRAINED_MODEL: "if you pass on a model made from it",
}
_CONFIDENCE = {
    Confidence.PRIMARY: "from the licence's text",
    Confidence.SECONDARY: "from an account of the licence: read its text before relying on it",
    Confidence.MEMORY: "from general knowledge: read its text before relying on it",
}
_OPTIONS = {
    CompanyFact.MAU_AT_RELEASE: "--mau-at-release N",
    CompanyFact.MAU: "--mau N",
    CompanyFact.REVENUE_YEAR: "--revenue-year USD",
    CompanyFact.REVENUE_MONTH: "--revenue-month USD",
    CompanyFact.GROUP_REVENUE_YEAR: "--group-revenue-year USD",
    CompanyFact.ARR: "--arr USD",
    CompanyFact.COUNTRY: "--country CODE",
}


def render_verdict(
    subject: ModelRow | LicenceRow, verdict: LicenceVerdict, rows: Sequence[LicenceRow]
) -> RenderableType:
    """The answer, why, what to do, what is missing, and how far the row can be trusted."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    if isinstance(subject, ModelRow):
        table.add_row("model", escape(f"{subject.title} ({subject.hub})"))
    for row in rows:
        table.add_row("licence", escape(f"{row.title} ({row.licence})"))
        table.add_row("", escape(row.source))
        table.add_row("", f"[dim]checked {row.checked_on}, {_CONFIDENCE[row.confidence]}[/]")
    table.add_row("answer", _STATES[verdict.state])
    _add_list(table, "why", [_reason_text(reason) for reason in verdict.reasons])
    _add_list(table, "to do", [_duty_text(duty) for duty in sorted(verdict.duties, key=_rank_duty)])
    _add_list(table, "missing", [_missing_text(fact) for fact in verdict.missing])
    _add_list(table, "to know", [escape(remark) for remark in verdict.remarks])
    if verdict.recheck_by is not None and verdict.state is not LicenceState.BLOCKED:
        limits = ", ".join(f"{fact} {_amount(than)}" for fact, than in verdict.thresholds)
        table.add_row("ask again", f"by {verdict.recheck_by}, and when passing {limits}")
    return Group(table, Text("Nothing here is legal advice.", style="dim"))


def describe_verdict(
    subject: ModelRow | LicenceRow, verdict: LicenceVerdict, rows: Sequence[LicenceRow]
) -> dict[str, object]:
    """The same as JSON."""
    return {
        "model": subject.model if isinstance(subject, ModelRow) else None,
        "licences": verdict.licences,
        "state": verdict.state,
        "is_allowed": verdict.state.is_allowed,
        "reasons": verdict.reasons,
        "duties": verdict.duties,
        "missing": verdict.missing,
        "remarks": verdict.remarks,
        "thresholds": {fact.value: than for fact, than in verdict.thresholds},
        "recheck_by": verdict.recheck_by,
        "confidence": verdict.confidence,
        "sources": {row.licence: {"source": row.source, "checked_on": row.checked_on} for row in rows},
        "note": "Nothing here is legal advice.",
    }


def render_licences(rows: Sequence[LicenceRow]) -> Table:
    """Every licence, and what its answer turns on."""
    table = _new_table("licence", "business use", "turns on", "row made")
    for row in rows:
        table.add_row(escape(row.licence), row.commercial.value, escape(_turns_on(row)), row.confidence.value)
    return table


def describe_licence(row: LicenceRow) -> dict[str, object]:
    """A licence as JSON."""
    return row.model_dump(mode="json")


def render_models(rows: Sequence[ModelRow]) -> Table:
    """Models with what matters to memory and law."""
    table = _new_table("model", "B (active)", "context", "GB", "KV KiB", "licence")
    for column in table.columns[1:5]:
        column.justify = "right"
    for row in rows:
        weights = weigh_model(row, _native_format(row))
        active = f" ({row.active_parameters_b:f})" if row.active_parameters_b < row.parameters_b else ""
        table.add_row(
            row.model,
            f"{row.parameters_b:f}{active}",
            f"{row.context_tokens // 1024:,}k",
            f"{'' if weights.is_from_shape else '≈'}{weights.num_bytes / 1e9:,.0f}",
            "unknown" if row.architecture is None else f"{kv_bytes_per_token(row.architecture) / 1024:,.1f}",
            " + ".join(row.licences),
        )
    table.caption = (
        "billions of parameters; GB of the released weights (≈ without the shape); KiB of a token's keys and values"
    )
    table.caption_justify = "left"
    return table


def describe_model(row: ModelRow) -> dict[str, object]:
    """A model as JSON, with what the arithmetic adds; unknown is null."""
    weights = weigh_model(row, _native_format(row))
    kv_bytes = None if row.architecture is None else kv_bytes_per_token(row.architecture)
    facts: dict[str, object] = row.model_dump(mode="json")
    return {**facts, "weights_bytes": weights.num_bytes, "kv_bytes_per_token": kv_bytes}


def render_gpus(catalog: Catalog, today: date) -> Table:
    """GPUs with the cheapest price of each terms."""
    table = _new_table("GPU", "GiB", "GB/s", "bf16", "fp8", "fp4", "link", "W", "demand", "spot", "3 y", "owned")
    table.padding = (0, 1, 0, 0)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in catalog.gpus:
        prices = (catalog.gpu_usd_per_hour(row.gpu, terms, today) for terms in MachineTerms)
        table.add_row(
            row.gpu,
            f"{row.memory_gib:f}",
            f"{row.bandwidth_gb_per_s:,}",
            *(_rate(rate) for rate in (row.bf16_tflops, row.fp8_tflops, row.fp4_tflops)),
            f"{row.link_gb_per_s:,.0f}",
            f"{row.power_w:,}",
            *("" if price is None else f"{price.usd_per_hour:.2f}" for price in prices),
        )
    table.caption = (
        "dense PFLOP/s; link: GB/s one way; US dollars an hour of one GPU, the cheapest known; empty: not known"
    )
    table.caption_justify = "left"
    return table


def describe_gpu(row: GpuRow, catalog: Catalog, today: date) -> dict[str, object]:
    """A GPU as JSON, with its prices; unknown is null."""
    prices = {terms.value: catalog.gpu_usd_per_hour(row.gpu, terms, today) for terms in MachineTerms}
    shown = {terms: None if price is None else str(price.usd_per_hour) for terms, price in prices.items()}
    facts: dict[str, object] = row.model_dump(mode="json")
    return {**facts, "usd_per_hour": shown}


def render_prices(rows: Sequence[TokenPriceRow]) -> Table:
    """Token prices in US dollars per million tokens."""
    table = _new_table("provider", "model", "tariff", "input", "read", "write", "output", "checked")
    table.padding = (0, 1, 0, 0)
    table.columns[1].no_wrap = True
    for column in table.columns[3:7]:
        column.justify = "right"
    for row in rows:
        tariff = row.tier.value + (f", from {row.from_input_tokens:,} tokens" if row.from_input_tokens else "")
        tag = " [magenta]simulated[/]" if row.is_simulated and row.provider != "simulated" else ""
        rates = (row.input_usd_per_mtok, row.cache_read_usd_per_mtok, row.cache_write_usd_per_mtok)
        shown = ["" if rate is None else f"{rate.normalize():f}" for rate in (*rates, row.output_usd_per_mtok)]
        table.add_row(escape(row.provider), escape(row.model) + tag, tariff, *shown, str(row.checked_on))
    table.caption = (
        "US dollars per million tokens; read, write: of the cache; empty: none stated, the input rate counts"
    )
    table.caption_justify = "left"
    return table


def describe_price(row: TokenPriceRow) -> dict[str, object]:
    """A token price as JSON."""
    return {"price_id": row.price_id, **row.model_dump(mode="json")}


def render_import(found: OfferFile, rows: Sequence[MachineRow], out_file: Path) -> RenderableType:
    """What became of every row of the price lists."""
    parts: list[RenderableType] = []
    if rows:
        table = _new_table("machine", "$/h", "from")
        for row in rows:
            table.add_row(escape(row.machine), f"{row.usd_per_hour:f}", escape(row.description))
        parts.append(table)
    parts.append(Text(f"{_count(found.num_rows, 'row')} read, {_count(len(found.offers), 'price')} taken"))
    parts += [Text(f"  skipped {count}: {reason}", style="dim") for reason, count in found.skipped]
    if found.malformed:
        parts.append(Text(f"{_count(len(found.malformed), 'row')} could not be read:", style="yellow"))
        parts += [Text(f"  {problem}") for problem in found.malformed[:SHOWN_PROBLEMS]]
        if len(found.malformed) > SHOWN_PROBLEMS:
            parts.append(Text(f"  and {len(found.malformed) - SHOWN_PROBLEMS} more"))
    parts.append(Text(f"wrote {out_file}" if rows else "nothing was written", style="bold"))
    return Group(*parts)


def _native_format(row: ModelRow) -> WeightFormat:
    names = {member.value for member in WeightFormat}
    return WeightFormat(row.native_format.value) if row.native_format.value in names else WeightFormat.NVFP4


def _turns_on(row: LicenceRow) -> str:
    facts = [test.fact.value for condition in row.conditions for test in condition.when]
    facts += [f"{exclusion.region} ({exclusion.scope})" for exclusion in row.regions_excluded]
    facts += ["trains_on_outputs"] if row.outputs_must_not_train else []
    facts += ["commercial_use"] if row.commercial.value == "forbidden" else []
    return ", ".join(dict.fromkeys(facts)) or (
        "what nobody has read" if row.commercial.value == "unknown" else "nothing"
    )


def _reason_text(reason: LicenceReason) -> str:
    if reason.holds:
        return escape(reason.words)
    return escape(reason.words) if reason.is_unsettled else f"not known whether it holds: {escape(reason.words)}"


def _rank_duty(duty: DueDuty) -> int:
    """Those that are due come first, those that are not come last."""
    return (True, None, False).index(duty.is_due)


def _duty_text(duty: DueDuty) -> str:
    when = _TRIGGERS[duty.trigger]
    if duty.is_due:
        return f"[bold]now[/]: {escape(duty.words)}"
    return f"[dim]{'not now; ' if duty.is_due is False else ''}{when}:[/] {escape(duty.words)}"


def _missing_text(fact: CompanyFact) -> str:
    option = _OPTIONS.get(fact) or f"--{fact.value.replace('_', '-')}, or --no-{fact.value.replace('_', '-')}"
    return f"{option} [dim](company.{fact.value})[/]"


def _add_list(table: Table, title: str, items: Iterable[str]) -> None:
    for number, item in enumerate(items):
        table.add_row(title if number == 0 else "", item)


def _amount(amount: Decimal) -> str:
    for size, word in ((Decimal(10**9), "billion"), (Decimal(10**6), "million")):
        if amount >= size:
            return f"{(amount / size).normalize():f} {word}"
    return f"{amount:f}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _rate(rate: Decimal | None) -> str:
    """Teraflops as petaflops."""
    return "" if rate is None else f"{rate / 1000:.2f}"


def _new_table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, name in enumerate(names):
        table.add_column(name, no_wrap=number == 0, overflow="fold")
    return table
