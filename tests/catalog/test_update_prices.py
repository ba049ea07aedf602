"""The release script appends what genai-prices says and the book does not, refuses the rest by name, and can be rerun.

It is run against a small module in the shape of genai-prices' own.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from inhouse.catalog import BOOK_FOLDER, PriceBook, load_price_book
from inhouse.domain import ConfigError, ServiceTier

SCRIPT = Path(__file__).parents[2] / "scripts" / "update_prices.py"
DAY = date(2026, 11, 28)


@dataclass
class Equals:
    equals: str


@dataclass
class StartsWith:
    starts_with: str


@dataclass
class Either:
    or_: list[Any]


@dataclass
class Variant:
    when: dict[str, str]
    prices: Any
    constraint: Any = None


@dataclass
class Conditional:
    prices: Any
    constraint: Any = None


@dataclass
class Model:
    id: str
    prices: Any
    match: Any = None
    price_variants: list[Variant] | None = None
    deprecated: bool | None = None

    def get_prices(self, at: datetime, context: dict[str, str] | None) -> Any:
        """The last conditional price that has begun, and over it what the first variant of the context says."""
        dated = self.prices if isinstance(self.prices, list) else [Conditional(self.prices)]
        standard = [item.prices for item in dated if is_begun(item.constraint, at)][-1]
        found = dict(vars(standard))
        for variant in self.price_variants or ():
            if context and variant.when == context and is_begun(variant.constraint, at):
                found.update(vars(variant.prices))
        return SimpleNamespace(**found)


def is_begun(constraint: Any, at: datetime) -> bool:
    return constraint is None or constraint.start_date <= at.date()


@dataclass
class Provider:
    id: str
    models: list[Model]
    pricing_urls: list[str] = field(default_factory=lambda: ["https://prices.example/list"])

    def find_model(self, name: str) -> Model | None:
        for model in self.models:
            match = model.match or Equals(model.id)
            clauses = match.or_ if isinstance(match, Either) else [match]
            if any(
                name == clause.equals if isinstance(clause, Equals) else name.startswith(clause.starts_with)
                for clause in clauses
            ):
                return model
        return None


def per_mtok(value: str, output: str, **others: Any) -> SimpleNamespace:
    return SimpleNamespace(input_mtok=Decimal(value), output_mtok=Decimal(output), **others)


def stepped(base: str, start: int, price: str) -> SimpleNamespace:
    step = SimpleNamespace(start=start, price=Decimal(price))
    return SimpleNamespace(base=Decimal(base), tiers=[step])


def since(day: date) -> SimpleNamespace:
    return SimpleNamespace(start_date=day)


PLAIN = Model(
    "gpt-9.1",
    per_mtok("2", "10", cache_read_mtok=Decimal("0.5"), cache_write_mtok=None, web_searches_kcount=Decimal(10)),
    Either([Equals("gpt-9.1"), Equals("gpt-9.1-2026-11-01"), Equals("gpt-9-1"), StartsWith("gpt-9.1-preview")]),
    [
        Variant({"processing": "batch"}, per_mtok("1", "5"), since(date(2026, 10, 14))),
        Variant({"service_tier": "flex"}, per_mtok("1", "5"), since(date(2027, 1, 1))),
        Variant({"service_tier": "default"}, SimpleNamespace()),
        Variant({"speed": "fast"}, per_mtok("9", "90")),
    ],
)
STEPPED = Model(
    "claude-x",
    SimpleNamespace(
        input_mtok=stepped("3", 200_000, "6"),
        output_mtok=stepped("15", 200_000, "22.5"),
        cache_write_1h_mtok=Decimal(6),
        input_audio_mtok=Decimal(40),
        output_audio_mtok=Decimal(80),
        input_video_mtok=None,
    ),
)
DATED = Model(
    "gemini-x",
    [
        Conditional(per_mtok("1", "2")),
        Conditional(per_mtok("3", "4"), since(date(2026, 9, 1))),
        Conditional(per_mtok("5", "6"), since(date(2027, 1, 1))),
    ],
)
HOSTED = Model("gpt-oss-120b", per_mtok("0.15", "0.6"), Equals("accounts/fireworks/models/gpt-oss-120b"))
STRANGE = [
    Model("by-hour", [Conditional(per_mtok("1", "2")), Conditional(per_mtok("1", "2"), SimpleNamespace(start_time=1))]),
    Model("by-request", per_mtok("1", "2", requests_kcount=Decimal(5))),
    Model("dear-thoughts", per_mtok("1", "2", output_reasoning_mtok=Decimal(3))),
    Model("no-output", SimpleNamespace(input_mtok=Decimal(1))),
]
FINE = Model("same-thoughts", per_mtok("1", "2", output_reasoning_mtok=Decimal(2)))
KNOWN = """
  - provider: openai
    model: same-thoughts
    input_usd_per_mtok: "1"
    output_usd_per_mtok: "7"
    effective_from: 2026-11-23
    checked_on: 2026-11-23
    source: "https://openai.com/pricing"
"""
UNWANTED = [
    Model("gpt-oss-20b", per_mtok("1", "2")),
    Model("old", per_mtok("1", "2"), deprecated=True),
    Model("hidden", per_mtok("1", "2"), Equals("not-its-name")),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(BOOK_FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "token_prices.yaml").write_text("schema: 1\nrows:" + KNOWN)
    return tmp_path


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    data = ModuleType("genai_prices.data")
    data.__dict__["providers"] = [
        Provider("openai", [PLAIN, FINE, *STRANGE, *UNWANTED[:1], UNWANTED[1]]),
        Provider("anthropic", [STEPPED]),
        Provider("google", [DATED]),
        Provider("fireworks", [HOSTED, Model("glm-9", per_mtok("1", "2"))]),
        Provider("nobody", [Model("gpt-oss-120b", per_mtok("0", "0"))]),
    ]
    monkeypatch.setitem(sys.modules, "genai_prices", ModuleType("genai_prices"))
    monkeypatch.setitem(sys.modules, "genai_prices.data", data)
    spec = importlib.util.spec_from_file_location("update_prices", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "update_prices", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "version", lambda name: {"genai-prices": "9.9"}[name])
    return module


def list_prices(book: PriceBook, provider: str, model: str, tier: ServiceTier = ServiceTier.STANDARD) -> list[str]:
    return [
        f"{row.price_id} {row.input_usd_per_mtok} {row.output_usd_per_mtok}"
        for row in book.token_prices_at(provider, model, DAY, tier)
    ]


def test_rows_of_every_tariff_length_and_date_are_appended(script: ModuleType, folder: Path) -> None:
    assert script.main(DAY, folder) == 9
    book = load_price_book(folder)
    assert list_prices(book, "openai", "gpt-9.1-2026-11-01") == ["openai/gpt-9.1@2026-11-28 2 10"]
    assert list_prices(book, "openai", "gpt-9.1", ServiceTier.BATCH) == ["openai/gpt-9.1@2026-10-14+batch 1 5"]
    assert list_prices(book, "anthropic", "claude-x") == [
        "anthropic/claude-x@2026-11-28 3 15",
        "anthropic/claude-x@2026-11-28+200001 6 22.5",
    ]
    assert list_prices(book, "google", "gemini-x") == ["google/gemini-x@2026-09-01 3 4"]
    plain = book.token_price("openai", "gpt-9.1", DAY)
    assert plain is not None
    assert (plain.also, plain.cache_read_usd_per_mtok) == (("gpt-9.1-2026-11-01",), Decimal("0.5"))
    assert (plain.source, plain.note) == ("https://prices.example/list", "genai-prices 9.9")
    long = book.token_prices_at("anthropic", "claude-x", DAY)[1]
    assert (long.cache_write_1h_usd_per_mtok, long.input_audio_usd_per_mtok, long.output_audio_usd_per_mtok) == (
        6,
        40,
        80,
    )


def test_a_rate_that_a_tariff_does_not_state_is_the_standard_ones(script: ModuleType, folder: Path) -> None:
    """So genai-prices means it: Gemini's batch halves input and output, and its cache stays as it is."""
    script.main(DAY, folder)
    batch = load_price_book(folder).token_price("openai", "gpt-9.1", DAY, ServiceTier.BATCH)
    assert batch is not None
    assert batch.cache_read_usd_per_mtok == Decimal("0.5")


def test_prices_announced_for_later_are_rows_of_later(script: ModuleType, folder: Path) -> None:
    script.main(DAY, folder)
    book = load_price_book(folder)
    later = date(2027, 1, 1)
    dated = book.token_price("google", "gemini-x", later)
    flex = book.token_price("openai", "gpt-9.1", later, ServiceTier.FLEX)
    assert dated is not None
    assert flex is not None
    assert (dated.input_usd_per_mtok, dated.note) == (5, "genai-prices 9.9, announced by the provider")
    assert book.token_price("openai", "gpt-9.1", DAY, ServiceTier.FLEX) is None


def test_open_weights_are_taken_from_hosts_under_the_name_that_is_sent(script: ModuleType, folder: Path) -> None:
    script.main(DAY, folder)
    book = load_price_book(folder)
    rows = book.hosted_open("gpt-oss-120b", DAY)
    assert [row.price_id for row in rows] == ["fireworks/accounts/fireworks/models/gpt-oss-120b@2026-11-28"]
    assert {row.provider for row in book.token_prices} == {"openai", "anthropic", "google", "fireworks"}


def test_what_cannot_be_said_is_refused_by_name_and_counted(
    script: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main(DAY, folder)
    assert capsys.readouterr().out.splitlines() == [
        "9 rows appended, 4 models refused",
        "  refused openai/by-hour: priced by the hour of the day",
        "  refused openai/by-request: priced by requests_kcount",
        "  refused openai/dear-thoughts: priced by output_reasoning_mtok",
        "  refused openai/no-output: no rate of input or of output tokens",
    ]


def test_run_again_it_appends_nothing(script: ModuleType, folder: Path) -> None:
    script.main(DAY, folder)
    before = (folder / "token_prices.yaml").read_text()
    assert script.main(DAY, folder) == 0
    assert script.main(date(2026, 12, 1), folder) == 0
    assert (folder / "token_prices.yaml").read_text() == before


def test_a_changed_rate_is_a_new_row_and_the_old_one_stands(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.main(DAY, folder)
    before = (folder / "token_prices.yaml").read_text()
    monkeypatch.setattr(PLAIN, "prices", per_mtok("1.5", "10", cache_read_mtok=Decimal("0.5")))
    assert script.main(date(2026, 12, 1), folder) == 1
    assert (folder / "token_prices.yaml").read_text().startswith(before)
    book = load_price_book(folder)
    rates = [book.token_price("openai", "gpt-9.1", day) for day in (DAY, date(2026, 12, 1))]
    assert [rate.input_usd_per_mtok for rate in rates if rate] == [2, Decimal("1.5")]


def test_a_step_that_is_no_more_goes_on_at_the_flat_rates(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.main(DAY, folder)
    monkeypatch.setattr(STEPPED, "prices", per_mtok("3", "15"))
    assert script.main(date(2026, 12, 1), folder) == 2
    rows = load_price_book(folder).token_prices_at("anthropic", "claude-x", date(2026, 12, 1))
    assert [(row.price_id, row.input_usd_per_mtok, row.input_audio_usd_per_mtok) for row in rows] == [
        ("anthropic/claude-x@2026-12-01", 3, None),
        ("anthropic/claude-x@2026-12-01+200001", 3, None),
    ]
    assert script.main(date(2026, 12, 2), folder) == 0


def test_a_book_that_would_not_be_sound_is_left_as_it_was(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.main(DAY, folder)
    before = (folder / "token_prices.yaml").read_text()
    monkeypatch.setattr(PLAIN, "match", Either([Equals("gpt-9.1"), Equals("same-thoughts")]))
    with pytest.raises(ConfigError, match=r"same-thoughts is also a name of|is also a name of gpt-9\.1"):
        script.main(date(2026, 12, 1), folder)
    assert (folder / "token_prices.yaml").read_text() == before
