"""The price book in the package is sound, and a broken one says which row to mend."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from inhouse.catalog import ANY_MODEL, BOOK_FOLDER, DatedRow, MachineTerms, PriceBook, RateBasis, load_price_book
from inhouse.domain import ConfigError, ServiceTier

DAY = date(2026, 11, 23)
TOKEN_ROW = """
  - provider: openai
    model: gpt-a
    also: [gpt-a-2026-01-01]
    input_usd_per_mtok: "2"
    output_usd_per_mtok: "10"
    effective_from: 2026-01-01
    checked_on: 2026-11-23
    source: "https://openai.com/pricing"
"""
MACHINE_ROW = """
  - machine: cpu
    description: a machine
    usd_per_hour: "0.10"
    effective_from: 2026-01-01
    checked_on: 2026-11-23
    source: "assumption: a round number"
"""
RATE_ROW = """
  - model: clerk
    machine: cpu
    seconds_per_input_token: "0.1"
    seconds_per_cached_token: "0"
    seconds_per_output_token: "0.2"
    basis: measured
    method: a stopwatch
    effective_from: 2026-01-01
    checked_on: 2026-11-23
    source: "assumption: none"
"""


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return load_price_book()


def write_book(folder: Path, *, prices: str = TOKEN_ROW, machines: str = MACHINE_ROW, rates: str = RATE_ROW) -> Path:
    for name, rows in (("token_prices", prices), ("machines", machines), ("engine_rates", rates)):
        (folder / f"{name}.yaml").write_text(f"schema: 1\nrows:{rows}")
    return folder


def all_rows(book: PriceBook) -> list[DatedRow]:
    return [*book.token_prices, *book.machines, *book.engine_rates]


def test_the_demonstrations_prices_are_there(book: PriceBook) -> None:
    row = book.token_price("simulated", "whatever", DAY)
    assert row is not None
    assert (row.model, row.is_simulated) == (ANY_MODEL, True)
    assert (row.input_usd_per_mtok, row.cache_read_usd_per_mtok) == (Decimal("2.00"), Decimal("0.50"))
    assert row.output_usd_per_mtok == Decimal("10.00")
    assert "assumption" in row.source
    assert "simulated" in row.note.lower()
    machine = book.machine("cpu", DAY)
    assert machine is not None
    assert machine.usd_per_hour == Decimal("0.10")
    assert "assumption" in machine.source
    rate = book.engine_rate("clerk", "cpu", DAY, quantization="Q4_0")
    assert rate is not None
    assert rate.basis is RateBasis.MEASURED


def test_companies_have_real_dated_rows(book: PriceBook) -> None:
    real = [row for row in book.token_prices if not row.is_simulated]
    assert len(real) >= 12
    assert {"openai", "anthropic", "mistral", "google", "x-ai", "groq", "together"} <= set(book.companies)
    assert all(row.source.startswith("https://") for row in real)
    mini = book.token_price("openai", "gpt-5-mini-2025-08-07", DAY)
    assert mini is not None
    assert (mini.model, mini.input_usd_per_mtok, mini.output_usd_per_mtok) == ("gpt-5-mini", Decimal("0.25"), 2)
    assert mini.price_id == "openai/gpt-5-mini@2026-11-23"


def test_gpu_rows_state_terms_and_source(book: PriceBook) -> None:
    h200 = book.machine("h200", DAY)
    spot = book.machine("h200-spot", DAY)
    rented = book.machine("h200-3y", DAY)
    assert h200 is not None
    assert spot is not None
    assert rented is not None
    assert [row.usd_per_hour for row in (h200, spot, rented)] == [Decimal("3.50"), Decimal("1.45"), Decimal("1.60")]
    assert (h200.gpu, h200.num_gpus, spot.terms, rented.terms) == ("H200", 1, MachineTerms.SPOT, MachineTerms.RESERVED)
    assert h200.price_id == "machine:h200@2026-11-23"


def test_every_row_has_a_source_and_was_checked_by_today(book: PriceBook) -> None:
    today = datetime.now(UTC).date()
    for row in all_rows(book):
        assert row.source.startswith("https://") or "assumption" in row.source, row.key
        assert row.checked_on <= today, row.key
        assert row.effective_from <= row.checked_on or "announced" in row.note, row.key


def test_no_rows_of_one_key_overlap(book: PriceBook) -> None:
    rows = all_rows(book)
    for key in {row.key for row in rows}:
        spans = [row for row in rows if row.key == key]
        for earlier, later in pairwise(spans):
            assert (earlier.effective_until or earlier.effective_from) <= later.effective_from, key
            assert earlier.effective_from < later.effective_from, key


def test_what_is_not_in_the_book_is_none(book: PriceBook) -> None:
    assert book.token_price("openai", "gpt-5-mini-2", DAY) is None
    assert book.token_price("nobody", "gpt-5-mini", DAY) is None
    assert book.token_price("openai", "gpt-5-mini", date(2020, 1, 1)) is None
    assert book.machine("abacus", DAY) is None
    assert book.engine_rate("clerk", "h200", DAY) is None


def test_the_row_in_force_on_the_day_is_taken(tmp_path: Path) -> None:
    later = TOKEN_ROW.replace('"2"', '"3"').replace("effective_from: 2026-01-01", "effective_from: 2026-06-01")
    ended = later.replace('"3"', '"4"').replace(
        "effective_from: 2026-06-01", "effective_from: 2026-09-01\n    effective_until: 2026-10-01"
    )
    book = load_price_book(write_book(tmp_path, prices=TOKEN_ROW + later + ended))

    def price_on(day: date) -> Decimal | None:
        row = book.token_price("openai", "gpt-a", day)
        return None if row is None else row.input_usd_per_mtok

    assert price_on(date(2025, 12, 31)) is None
    assert price_on(date(2026, 1, 1)) == 2
    assert price_on(date(2026, 5, 31)) == 2
    assert price_on(date(2026, 6, 1)) == 3
    assert price_on(date(2026, 9, 30)) == 4
    assert price_on(date(2026, 10, 1)) is None


def test_a_price_by_the_prompts_length_is_several_rows_and_the_shortest_is_the_flat_one(tmp_path: Path) -> None:
    long = TOKEN_ROW.replace("    input", "    from_input_tokens: 272001\n    input").replace('"2"', '"4"')
    later = long.replace("effective_from: 2026-01-01", "effective_from: 2026-06-01").replace('"4"', '"5"')
    longest = long.replace("272001", "1000001").replace("effective_from: 2026-01-01", "effective_from: 2026-06-01")
    book = load_price_book(write_book(tmp_path, prices=longest + long + later + TOKEN_ROW))

    def list_ids(day: date, name: str = "gpt-a") -> list[str]:
        return [row.price_id for row in book.token_prices_at("openai", name, day)]

    assert list_ids(date(2026, 5, 1)) == ["openai/gpt-a@2026-01-01", "openai/gpt-a@2026-01-01+272001"]
    assert list_ids(DAY, "gpt-a-2026-01-01") == [
        "openai/gpt-a@2026-01-01",
        "openai/gpt-a@2026-06-01+272001",
        "openai/gpt-a@2026-06-01+1000001",
    ]
    assert list_ids(date(2025, 1, 1)) == []
    flat = book.token_price("openai", "gpt-a", DAY)
    assert flat is not None
    assert flat.input_usd_per_mtok == 2


def test_each_tariff_has_rows_of_its_own_under_every_name_of_the_model(tmp_path: Path) -> None:
    batch = TOKEN_ROW.replace("    also: [gpt-a-2026-01-01]\n", "    tier: batch\n").replace('"2"', '"1"')
    long = batch.replace("    tier: batch", "    tier: batch\n    from_input_tokens: 9").replace('"1"', '"3"')
    book = load_price_book(write_book(tmp_path, prices=TOKEN_ROW + batch + long))
    rows = book.token_prices_at("openai", "gpt-a-2026-01-01", DAY, ServiceTier.BATCH)
    assert [(row.price_id, row.input_usd_per_mtok) for row in rows] == [
        ("openai/gpt-a@2026-01-01+batch", 1),
        ("openai/gpt-a@2026-01-01+batch+9", 3),
    ]
    assert book.token_price("openai", "gpt-a", DAY, ServiceTier.FLEX) is None
    with pytest.raises(ConfigError, match=r"rows\[1\]: openai/gpt-a/batch/9 from 2026-01-01 stands twice"):
        load_price_book(write_book(tmp_path, prices=long + long))


def test_open_weights_are_found_at_all_their_hosts_cheapest_first(book: PriceBook) -> None:
    rows = book.hosted_open("gpt-oss-120b", date(2026, 11, 28))
    costs = [5 * row.input_usd_per_mtok + row.output_usd_per_mtok for row in rows]
    assert costs == sorted(costs)
    listed = {row.provider: (row.input_usd_per_mtok, row.output_usd_per_mtok) for row in rows}
    for host in ("aws", "databricks", "fireworks", "groq", "together"):
        assert listed[host] == (Decimal("0.15"), Decimal("0.6"))
    assert book.hosted_open("gpt-oss-120b", date(2020, 1, 1)) == ()
    assert book.hosted_open("no-such-model", DAY) == ()


def test_a_model_that_is_hosted_no_longer_with_those_weights_is_not_found(tmp_path: Path) -> None:
    hosted = TOKEN_ROW.replace("    input", "    open_model: gpt-oss-20b\n    input")
    other = TOKEN_ROW.replace("effective_from: 2026-01-01", "effective_from: 2026-06-01")
    book = load_price_book(write_book(tmp_path, prices=hosted + other))
    assert len(book.hosted_open("gpt-oss-20b", date(2026, 5, 1))) == 1
    assert book.hosted_open("gpt-oss-20b", DAY) == ()


def test_ids_and_keys_of_plain_rows_are_what_they_were(book: PriceBook) -> None:
    """They stand in traces."""
    row = book.token_price("openai", "gpt-5-mini", DAY)
    assert row is not None
    assert (row.price_id, row.key) == ("openai/gpt-5-mini@2026-11-23", ("openai", "gpt-5-mini"))


def test_a_quantizations_own_rate_wins(tmp_path: Path) -> None:
    own = RATE_ROW.replace("machine: cpu", "machine: cpu\n    quantization: Q4_0").replace('"0.2"', '"0.1"')
    book = load_price_book(write_book(tmp_path, rates=RATE_ROW + own))

    def output_rate(quantization: str | None) -> Decimal:
        row = book.engine_rate("clerk", "cpu", DAY, quantization=quantization)
        assert row is not None
        return row.seconds_per_output_token

    assert output_rate("Q4_0") == Decimal("0.1")
    assert output_rate("F16") == Decimal("0.2")
    assert output_rate(None) == Decimal("0.2")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"2"', "2.5", "input_usd_per_mtok: write the number in quotes"),
        ('"2"', '"-2"', "input_usd_per_mtok: Input should be greater than or equal to 0"),
        ('"https://openai.com/pricing"', "hearsay", "source must be an https address, or say that it is an assumption"),
        ("model: gpt-a", "modell: gpt-a", "model: Field required"),
        ("model: gpt-a", 'model: "*"', "only a simulated row may stand for every model"),
        ("checked_on: 2026-11-23", "checked_on: 2025-11-23", "a row that begins after checked_on must say in its note"),
        (
            "effective_from: 2026-01-01",
            "effective_from: 2026-01-01\n    effective_until: 2026-01-01",
            "effective_until must be later than effective_from",
        ),
    ],
)
def test_a_broken_row_is_named_with_its_fix(tmp_path: Path, old: str, new: str, problem: str) -> None:
    write_book(tmp_path, prices=TOKEN_ROW.replace("gpt-a", "gpt-b") + TOKEN_ROW.replace(old, new, 1))
    if "2026-01-01" in old:
        write_book(tmp_path, prices=TOKEN_ROW.replace("gpt-a", "gpt-b") + TOKEN_ROW.replace(f"    {old}", f"    {new}"))
    with pytest.raises(ConfigError) as caught:
        load_price_book(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/token_prices.yaml: rows[1]: ")
    assert problem in text
    assert text.endswith("Fix: mend this row of the price book.")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (TOKEN_ROW + TOKEN_ROW, "openai/gpt-a from 2026-01-01 stands twice"),
        (
            TOKEN_ROW.replace("from: 2026-01-01", "from: 2026-03-01") + TOKEN_ROW,
            "openai/gpt-a from 2026-01-01 begins before the row above it ends",
        ),
        (
            TOKEN_ROW.replace("    checked", "    effective_until: 2026-05-01\n    checked")
            + TOKEN_ROW.replace("from: 2026-01-01", "from: 2026-03-01"),
            "openai/gpt-a from 2026-03-01 begins before the row above it ends",
        ),
        (TOKEN_ROW + TOKEN_ROW.replace("model: gpt-a", "model: gpt-b"), "gpt-a-2026-01-01 is also a name of gpt-a"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(tmp_path: Path, rows: str, problem: str) -> None:
    write_book(tmp_path, prices=rows)
    with pytest.raises(ConfigError, match=rf"rows\[1\]: {problem}"):
        load_price_book(tmp_path)


def test_a_gpu_needs_its_number(tmp_path: Path) -> None:
    write_book(tmp_path, machines=MACHINE_ROW.replace("    usd", "    gpu: H200\n    usd"))
    with pytest.raises(ConfigError, match=r"machines\.yaml: rows\[0\]: gpu and num_gpus must be given together"):
        load_price_book(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "The file cannot be read"),
        (b"\xff", "The file cannot be read"),
        (b"a: [", "It is not YAML"),
        (b"- 1", "It is not a mapping"),
        (b"schema: 2\nrows: []", "Its schema is 2, and this inhouse reads 1"),
        (b"schema: 1", "It has no list of rows"),
    ],
)
def test_a_broken_file_is_named_with_its_fix(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = write_book(tmp_path) / "machines.yaml"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"machines\.yaml: {problem}.* Fix: "):
        load_price_book(tmp_path)


def test_a_row_that_says_nothing_of_itself_has_no_key() -> None:
    row = DatedRow(effective_from=DAY, checked_on=DAY, source="assumption")
    with pytest.raises(NotImplementedError):
        _ = row.key


def test_the_books_folder_is_in_the_package() -> None:
    assert {path.name for path in BOOK_FOLDER.iterdir()} == {
        "assumptions.yaml",
        "capacity.yaml",
        "engine_rates.yaml",
        "gpus.yaml",
        "licences.yaml",
        "machines.yaml",
        "models.yaml",
        "token_prices.yaml",
    }
