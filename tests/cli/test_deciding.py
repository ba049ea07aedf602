"""What `inhouse decide` reads, and the way from the shipped examples to a decision that holds and flips."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from inhouse.catalog import load_catalog
from inhouse.cli.config import load_config_text
from inhouse.cli.deciding.rates import read_rates
from inhouse.cli.deciding.typed import read_gpus, read_model, read_settings
from inhouse.cli.deciding.usage import Read, read_usage
from inhouse.domain import HOUR_S, USAGE_BUCKETS, ConfigError, ServiceTier, Usage, UsageRecord, UsageRow
from inhouse.planning import CompanyFacts
from inhouse.planning.economics import Family, Terms
from inhouse.reports.decision import (
    Ask,
    Basis,
    Bill,
    DecisionReport,
    GpuOrder,
    Making,
    Traffic,
    TypedRange,
    TypedTraffic,
    make_report,
    prepare,
    read_bill,
    type_bill,
)
from inhouse.reports.pricing import Pricer
from inhouse.store import UsageImport, open_store

TODAY = date(2026, 11, 28)
START = 1_793_577_600
"""2026-11-02, midnight UTC."""
CATALOG = load_catalog()
EXAMPLES = ("openai-usage", "anthropic-usage", "litellm-spend", "langfuse", "csv")
DRAWS = 1_000
COUNTS = ("num_requests", *USAGE_BUCKETS)
LABELS = {"source": "csv", "record_id": "r1", "started_at": START, "width_s": HOUR_S, "model": "gpt-4.1"}


class TestGpus:
    """`--gpus COUNTxGPU:TERMS[@USD][:until=DAY]`."""

    @pytest.mark.parametrize(
        ("text", "order"),
        [
            ("2xH100:ordered", GpuOrder(count=2, gpu="H100", terms=Terms.ORDERED)),
            (" 8xmi300x:on-demand ", GpuOrder(count=8, gpu="MI300X", terms=Terms.ON_DEMAND)),
            ("1xRTX-4090:owned", GpuOrder(count=1, gpu="RTX-4090", terms=Terms.OWNED)),
            (
                "8xH200:reserved@120000.50:until=2027-06-30",
                GpuOrder(count=8, gpu="H200", terms=Terms.RESERVED, usd=Decimal("120000.50"), until=date(2027, 6, 30)),
            ),
            (
                "4xB200:spot:until=2027-01-01",
                GpuOrder(count=4, gpu="B200", terms=Terms.SPOT, until=date(2027, 1, 1)),
            ),
        ],
    )
    def test_what_is_understood(self, text: str, order: GpuOrder) -> None:
        assert read_gpus(text) == order

    @pytest.mark.parametrize(
        ("text", "fix"),
        [
            ("H100", "COUNTxGPU:TERMS"),
            ("0xH100:ordered", "COUNTxGPU:TERMS"),
            ("-2xH100:ordered", "COUNTxGPU:TERMS"),
            ("2xH100", "2xH100:ordered"),
            ("2xH100:ordered@12k", "COUNTxGPU:TERMS"),
            ("2xH100:ordered@-5", "COUNTxGPU:TERMS"),
            ("2xH100:ordered:until=tomorrow", "COUNTxGPU:TERMS"),
            ("2xH100:ordered:until=2027-02-30", "YYYY-MM-DD"),
            ("2xH100:borrowed", "on_demand, reserved, spot, owned, ordered"),
            ("", "COUNTxGPU:TERMS"),
        ],
    )
    def test_what_is_not_is_refused_with_the_form(self, text: str, fix: str) -> None:
        with pytest.raises(ConfigError, match="--gpus") as raised:
            read_gpus(text)
        assert fix in raised.value.fix


class TestModel:
    """`--model PROVIDER/MODEL`."""

    def test_what_is_understood(self) -> None:
        assert read_model(None) == (None, None)
        assert read_model("openai/gpt-5-mini") == ("openai", "gpt-5-mini")
        assert read_model("together/meta-llama/Llama-3") == ("together", "meta-llama/Llama-3")

    @pytest.mark.parametrize("text", ["gpt-5-mini", "/gpt", "openai/", "", " "])
    def test_what_is_not_is_refused_with_the_form(self, text: str) -> None:
        with pytest.raises(ConfigError, match="--model") as raised:
            read_model(text)
        assert "PROVIDER/MODEL" in raised.value.fix


class TestSettings:
    """`--set NAME=VALUE`, `NAME=LOW..HIGH`, `NAME=LOW..MID..HIGH`."""

    @pytest.mark.parametrize(
        ("text", "name", "bounds"),
        [
            ("fte_share=2", "fte_share", (2, 2, 2)),
            ("peak_factor=2..6", "peak_factor", (2, 4, 6)),
            ("peak_factor=2..3..5", "peak_factor", (2, 3, 5)),
            ("movable_share=60%", "movable_share", (0.6, 0.6, 0.6)),
            ("movable_share=50%..80%..0.9", "movable_share", (0.5, 0.8, 0.9)),
            ("volume_growth_per_year=-10%..20%", "volume_growth_per_year", (-0.1, 0.05, 0.2)),
            ("seconds_per_input_token=3.2e-05", "seconds_per_input_token", (3.2e-5, 3.2e-5, 3.2e-5)),
            ("gpu_usd_per_hour.on_demand=.5", "gpu_usd_per_hour.on_demand", (0.5, 0.5, 0.5)),
            (" setup_usd=0 ", "setup_usd", (0, 0, 0)),
        ],
    )
    def test_what_is_understood(self, text: str, name: str, bounds: tuple[float, float, float]) -> None:
        found = read_settings([text])
        assert list(found) == [name]
        assert (found[name].low, found[name].mid, found[name].high) == pytest.approx(bounds)

    @pytest.mark.parametrize(
        ("texts", "problem", "fix"),
        [
            (["peak_factor"], "is not understood", "NAME=VALUE"),
            (["peak_factor="], "is not understood", "NAME=VALUE"),
            (["Peak=2"], "is not understood", "NAME=VALUE"),
            (["peak_factor=two"], "'two' is no number", "NAME=VALUE"),
            (["peak_factor=2.."], "'' is no number", "NAME=VALUE"),
            (["peak_factor=nan"], "no finite number", "NAME=VALUE"),
            (["peak_factor=inf"], "no finite number", "NAME=VALUE"),
            (["peak_factor=1..2..3..4"], "more than three bounds", "NAME=LOW..MID..HIGH"),
            (["peak_factor=6..2"], "not in order", "lowest first"),
            (["peak_factor=2..6..3"], "not in order", "lowest first"),
            (["peak_factor=2", "peak_factor=3"], "gives peak_factor twice", "Keep one"),
        ],
    )
    def test_what_is_not_is_refused_with_the_form(self, texts: list[str], problem: str, fix: str) -> None:
        with pytest.raises(ConfigError, match="--set") as raised:
            read_settings(texts)
        assert problem in raised.value.problem
        assert fix in raised.value.fix


CSV_HEAD = "timestamp,provider,model,requests,input_tokens,output_tokens\n"


def write_csv(path: Path, *lines: str) -> str:
    path.write_text(CSV_HEAD + "".join(line + "\n" for line in lines))
    return str(path)


def write_openai(path: Path, requests: dict[int, int], **labels: str) -> str:
    """An export of OpenAI's usage with so many requests in each hour."""
    buckets = [
        {
            "object": "bucket",
            "start_time": START + hour * HOUR_S,
            "end_time": START + (hour + 1) * HOUR_S,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": 100 * count,
                    "output_tokens": 10 * count,
                    "num_model_requests": count,
                    "model": "gpt-4.1",
                    **labels,
                }
            ],
        }
        for hour, count in requests.items()
    ]
    path.write_text(json.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None}))
    return str(path)


class TestUsage:
    """Where `--from` leads."""

    def test_an_example_is_called_one(self) -> None:
        read = read_usage(["example:csv"], None, None, Decimal(5))
        assert read.source.is_example
        assert read.source.basis is Basis.IMPORTED
        assert read.source.invoice_usd == 5

    def test_a_file_is_no_example(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "usage.csv", "2026-11-02T00:00:00Z,openai,gpt-4.1,10,1000,100")
        read = read_usage([path], None, None, None)
        assert not read.source.is_example
        assert read.source.names == ("usage.csv",)
        assert [(row.num_requests, row.usage) for row in read.rows] == [
            (10, Usage(input_uncached=1000, output_visible=100))
        ]

    def test_several_files_are_added_up_and_what_stands_in_two_counts_once(self, tmp_path: Path) -> None:
        first = write_csv(
            tmp_path / "a.csv",
            "2026-11-02T00:00:00Z,openai,gpt-4.1,10,1000,100",
            "2026-11-02T01:00:00Z,openai,gpt-4.1,20,2000,200",
        )
        second = write_csv(
            tmp_path / "b.csv",
            "2026-11-02T01:00:00Z,openai,gpt-4.1,20,2000,200",
            "2026-11-02T02:00:00Z,openai,gpt-4.1,30,3000,300",
        )
        read = read_usage([first, second], None, None, None)
        assert [row.num_requests for row in read.rows] == [10, 20, 30]
        assert "1 records stood in another of the files already and counted once" in read.source.notes

    def test_a_period_that_was_still_going_on_gives_way_to_the_whole_one(self, tmp_path: Path) -> None:
        older = write_openai(tmp_path / "older.json", {0: 10, 1: 4})
        newer = write_openai(tmp_path / "newer.json", {1: 20, 2: 30})
        for names in ([older, newer], [newer, older]):
            read = read_usage(names, None, None, None)
            assert [row.num_requests for row in read.rows] == [10, 20, 30]
            assert "1 records stood in another of the files already and counted once" in read.source.notes

    def test_files_of_one_time_by_other_labels_may_count_twice_and_say_so(self, tmp_path: Path) -> None:
        one = write_openai(tmp_path / "one.json", {0: 10})
        other = write_openai(tmp_path / "other.json", {0: 10}, project_id="p")
        later = write_openai(tmp_path / "later.json", {5: 10}, project_id="p")
        words = "one.json and other.json cover the same time by other labels: what stands in both counts twice"
        assert words in read_usage([one, other], None, None, None).source.notes
        assert read_usage([one, later], None, None, None).source.notes == ()

    def test_what_the_import_noticed_is_said(self, tmp_path: Path) -> None:
        path = tmp_path / "torn.json"
        page = json.loads(Path(write_openai(path, {0: 10})).read_text())
        page["data"] *= 2
        path.write_text(json.dumps({**page, "has_more": True}))
        notes = read_usage([str(path)], None, None, None).source.notes
        assert "1 duplicates within the file counted once" in notes
        assert "the export says that more pages follow: it is not whole" in notes
        assert "10 records left out: failed requests without usage" in read_example("litellm-spend")[0].source.notes

    def test_a_page_that_the_next_file_goes_on_with_is_whole(self, tmp_path: Path) -> None:
        first, second = tmp_path / "first.json", tmp_path / "second.json"
        page = json.loads(Path(write_openai(first, {0: 10})).read_text())
        first.write_text(json.dumps({**page, "has_more": True}))
        write_openai(second, {1: 10})
        whole = "the export says that more pages follow: it is not whole"
        assert whole in read_usage([str(first)], None, None, None).source.notes
        assert whole not in read_usage([str(first), str(second)], None, None, None).source.notes

    def test_a_file_without_usage_overlaps_with_none(self, tmp_path: Path) -> None:
        empty = tmp_path / "empty.json"
        empty.write_text(json.dumps({"object": "page", "data": [], "has_more": False, "next_page": None}))
        read = read_usage([write_openai(tmp_path / "one.json", {0: 10}), str(empty)], None, None, None)
        assert [row.num_requests for row in read.rows] == [10]
        assert not any("counts twice" in note for note in read.source.notes)

    def test_the_own_traffic_and_what_was_imported_stand_apart(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'inhouse.db'}"
        record = msgspec.convert({**LABELS, **dict.fromkeys(COUNTS, 7)}, UsageRecord)
        with open_store(url) as store:
            store.usage.add([record], lambda: UsageImport(source="csv", file="a.csv", sha256="0", imported_at=1.0))
        read = read_usage(["imported"], None, url, None)
        assert [(row.source, row.num_requests) for row in read.rows] == [("csv", 7)]
        assert (read.source.basis, read.source.names) == (Basis.IMPORTED, ("imported usage",))
        with pytest.raises(ConfigError, match="recorded no request yet"):
            read_usage(["traces"], None, url, None)

    def test_the_same_file_twice_counts_once(self) -> None:
        once = read_usage(["example:openai-usage"], None, None, None)
        twice = read_usage(["example:openai-usage", "example:openai-usage"], None, None, None)
        assert twice.rows == once.rows

    @pytest.mark.parametrize(
        ("names", "problem", "fix"),
        [
            (["traces", "usage.csv"], "count twice", "Name files"),
            (["imported", "traces"], "count twice", "Name files"),
            (["traces"], "needs a store", "--store"),
            (["imported"], "needs a store", "-c"),
            (["example:nothing"], "no example 'nothing'", "openai-usage, anthropic-usage"),
            (["not-there.csv"], "", ""),
        ],
    )
    def test_what_cannot_be_read_is_refused_with_the_fix(self, names: list[str], problem: str, fix: str) -> None:
        with pytest.raises(ConfigError) as raised:
            read_usage(names, None, None, None)
        assert problem in raised.value.problem
        assert fix in raised.value.fix

    @pytest.mark.parametrize(("name", "fix"), [("traces", "Send traffic"), ("imported", "inhouse import")])
    def test_an_empty_store_says_what_to_do(self, tmp_path: Path, name: str, fix: str) -> None:
        url = f"sqlite:///{tmp_path / 'inhouse.db'}"
        with open_store(url):
            pass
        with pytest.raises(ConfigError) as raised:
            read_usage([name], None, url, None)
        assert fix in raised.value.fix


def test_contracts_are_read_by_the_name_of_the_file_and_the_providers_own() -> None:
    configuration = load_config_text(
        """
data_classes:
  internal: {processors: [own, pretend]}
providers:
  openai:
    dialect: openai
    api_key: ${APP_KEY}
    discount: 12%
    models:
      mid: {upstream_model: gpt-4.1, price: {input_usd_per_mtok: "1.5", output_usd_per_mtok: "6"}}
      listed: {}
  pretend: {simulated: {error_rate: 3%}, models: {mid: {}}}
deployments:
  clerk: {model: clerk}
routes:
  triage: {data_class: internal, variants: {api: {endpoint: pretend/mid}}, use: {default: api}}
keys:
  app: {key: "${APP_KEY}"}
""",
        "inhouse.yaml",
        Path("/srv"),
        {"APP_KEY": "0123456789abcdef-secret"},
    )
    rates = read_rates(configuration)
    assert rates["openai"].discount == Decimal("0.12")
    assert set(rates["openai"].models) == {"mid", "gpt-4.1"}
    assert rates["openai"].models["gpt-4.1"].input_usd_per_mtok == Decimal("1.5")
    assert rates["pretend"].price_book == "simulated"
    assert read_rates(None) == {}


def read_example(name: str) -> tuple[Read, Traffic, Bill]:
    read = read_usage([f"example:{name}"], None, None, None)
    traffic, bill = read_bill(read.rows, Pricer(CATALOG.prices), read.source)
    return read, traffic, bill


def decide(ask: Ask, bill: Bill) -> DecisionReport:
    making = Making(command="inhouse decide", made_on=TODAY, version="0", num_draws=DRAWS, seed=7)
    return make_report(prepare(ask, CATALOG, CompanyFacts(), TODAY), bill, making)


def sum_by_hand(rows: list[UsageRow]) -> tuple[Decimal, Decimal]:
    """(dollars by price rows, dollars that are only stated), written out anew: tokens by model and day times rates."""
    tokens: Counter[tuple[str, str, ServiceTier, date, int, str]] = Counter()
    stated = Decimal(0)
    for row in rows:
        day = datetime.fromtimestamp(row.started_at, UTC).date()
        usage = row.usage or Usage()
        if row.provider is None or row.model is None or not list_rates(row.provider, row.model, row.tier, day, 0):
            stated += row.stated_usd or 0
            continue
        length = usage.input_total // row.num_requests if row.num_requests else 0
        for bucket in USAGE_BUCKETS:
            tokens[row.provider, row.model, row.tier, day, length, bucket] += getattr(usage, bucket)
    usd = Decimal(0)
    for (provider, model, tier, day, length, bucket), count in tokens.items():
        usd += count * list_rates(provider, model, tier, day, length)[bucket] if count else 0
    return usd / 1_000_000, stated


def list_rates(provider: str, model: str, tier: ServiceTier, day: date, length: int) -> dict[str, Decimal]:
    """Rates by bucket out of the rows of the price book as they stand, read without its look-ups."""
    named = [
        row
        for row in CATALOG.prices.token_prices
        if row.provider == provider and model in (row.model, *row.also) and row.tier is tier
    ]
    if not named:
        return {}
    first = min(row.effective_from for row in named if row.from_input_tokens == 0)
    day = max(day, first)
    force = [row for row in named if row.effective_from <= day and row.from_input_tokens <= length]
    row = max(force, key=lambda row: (row.from_input_tokens, row.effective_from))
    rates = {
        "input_uncached": row.input_usd_per_mtok,
        "cache_read": row.cache_read_usd_per_mtok,
        "cache_write": row.cache_write_usd_per_mtok,
        "output_visible": row.output_usd_per_mtok,
        "output_reasoning": row.output_usd_per_mtok,
        "cache_write_1h": row.cache_write_1h_usd_per_mtok,
        "input_audio": row.input_audio_usd_per_mtok,
        "output_audio": row.output_audio_usd_per_mtok,
    }
    known = {bucket: rate for bucket, rate in rates.items() if rate is not None}
    return {"cache_read": row.input_usd_per_mtok, "cache_write": row.input_usd_per_mtok, **known}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_bill_of_an_example_is_tokens_times_price_rows(name: str) -> None:
    read, traffic, bill = read_example(name)
    computed, stated = sum_by_hand(list(read.rows))
    assert abs((bill.reconciliation.computed_usd or 0) - computed) < Decimal("0.000001")
    since = min(row.started_at for row in read.rows)
    until = max(row.started_at + row.width_s for row in read.rows)
    month = Decimal(730 * 3600) / (until - since)
    assert float(traffic.usd_per_month) == pytest.approx(float((computed + stated) * month))
    lines = sum((line.usd_per_month or Decimal(0) for line in bill.use_cases), Decimal(0))
    assert float(lines) == pytest.approx(float(traffic.usd_per_month))


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_gives_a_decision(name: str) -> None:
    _, traffic, bill = read_example(name)
    report = decide(Ask(traffic=traffic, fte_share=0.5), bill)
    decision = report.decision
    assert report.scope.is_example
    assert decision.result(decision.chosen).excluded_because is None
    assert sum(item.chance_cheapest for item in decision.options) == pytest.approx(1)
    assert sum(line.share_of_bill or 0 for line in report.use_cases) == pytest.approx(1)
    assert sum(line.is_candidate for line in report.use_cases) <= 1


def ask_typed() -> tuple[Ask, Bill]:
    traffic, bill = type_bill(TypedTraffic(usd_per_month=Decimal(22_000)), Pricer(CATALOG.prices), TODAY)
    return Ask(traffic=traffic, fte_share=0.5, orders=(read_gpus("2xH100:ordered"),)), bill


def ask_example() -> tuple[Ask, Bill]:
    _, traffic, bill = read_example("openai-usage")
    return Ask(traffic=traffic, fte_share=0.5), bill


@pytest.mark.parametrize("make_ask", [ask_typed, ask_example])
def test_setting_what_flips_the_answer_flips_it(make_ask: Callable[[], tuple[Ask, Bill]]) -> None:
    ask, bill = make_ask()
    decision = decide(ask, bill).decision
    before = decision.chosen.family
    flips = [flip for flip in (*decision.flips, *decision.self_host_flips) if flip.flips_at is not None]
    assert len(flips) >= 5
    for flip in flips:
        settings = read_settings([f"{flip.name}={flip.flips_at}"])
        after = decide(replace(ask, settings=settings), bill).decision.chosen.family
        assert after is flip.flips_to, flip
        assert after is not before
    for flip in decision.self_host_flips:
        assert flip.flips_to is None or (flip.flips_to is Family.SELF_HOST) is not (before is Family.SELF_HOST)


@pytest.mark.parametrize("make_ask", [ask_typed, ask_example])
def test_short_of_the_nearest_flip_the_answer_stays(make_ask: Callable[[], tuple[Ask, Bill]]) -> None:
    ask, bill = make_ask()
    decision = decide(ask, bill).decision
    nearest = decision.flips[0]
    assert nearest.flips_at is not None
    short = nearest.now + 0.95 * (nearest.flips_at - nearest.now)
    settings = {nearest.name: TypedRange(short, short, short)}
    assert decide(replace(ask, settings=settings), bill).decision.chosen.family is decision.chosen.family
