"""`inhouse costs` and its like as a shell sees them: what they print and keep, and their exit codes."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from inhouse.cli.app import main
from inhouse.cli.costing.books import open_books
from inhouse.cli.costing.machines import list_machines, measure_up
from inhouse.domain import (
    DAY_S,
    ReplicaState,
    TraceClose,
    TraceOpen,
    TraceStatus,
    Usage,
    UsageBasis,
    UsageRecord,
)
from inhouse.reports.costs import CostPeriod
from inhouse.store import ReplicaRow, Seen, SpoolCursor, Store, UsageImport, open_store

STORE = "sqlite:///costs.db"
FILE = """\
store: sqlite:///costs.db
data_classes:
  internal: {processors: [own, openai, paid]}
providers:
  openai:
    base_url: https://api.openai.com/v1
    api_key: ${NO_SUCH_KEY}
    models: {gpt-5-mini: {}, mystery: {price: {input_usd_per_mtok: "1", output_usd_per_mtok: "4"}}}
  paid: {simulated: {}, models: {mid: {}}}
deployments:
  scout: {model: clerk, hardware: {usd_per_hour: "6"}}
  elsewhere: {url: "http://gpu-box:8000/v1", engine: external}
routes:
  desk:
    data_class: internal
    variants: {in-house: {endpoint: scout}, api: {endpoint: openai/gpt-5-mini}}
    use: {default: in-house}
"""
TODAY = int(time.time()) // DAY_S * DAY_S
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inhouse.cli.terminal.out._width", 160)
    monkeypatch.setattr("inhouse.cli.terminal.err._width", 160)
    (tmp_path / "inhouse.yaml").write_text(FILE)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def start(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["inhouse", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return start


def add(store: Store, name: str, endpoint: str, **changes: Any) -> None:
    """Store one request of today; changes are of the close, but `tags`, `is_eval` and `at`."""
    at = changes.pop("at", TODAY + 1.0)
    begun: dict[str, Any] = {"tags": changes.pop("tags", {}), "is_eval": changes.pop("is_eval", False)}
    simulated = changes.get("is_simulated", False)
    same: dict[str, Any] = {"trace_id": name, "writer": "w", "variant": "v", "endpoint_id": endpoint, "replica_id": "r"}
    values: dict[str, Any] = {
        "ended_at": at + 1, "status": TraceStatus.COMPLETE, "http_status": 200, "e2e_ms": 5.0,
        "usage": Usage(input_uncached=1_000_000, output_visible=100_000), "usage_basis": UsageBasis.MEASURED,
        "cost_usd": 0.45,
    }  # fmt: skip
    records = [
        TraceOpen(**same, **begun, started_at=at, route="desk", key_id="app", is_simulated=simulated),
        TraceClose(**same, **(values | changes)),
    ]
    store.traces.ship(records, cursor=SpoolCursor("a.spool", 1))


@pytest.fixture
def filled(folder: Path) -> Path:
    with open_store(STORE) as store:
        add(store, "a", "openai/gpt-5-mini", tags={"feature": "inbox"})
        add(store, "b", "openai/mystery", cost_usd=None)
        add(store, "c", "scout", cost_usd=0.25)
        add(store, "d", "paid/mid", cost_usd=3.0, is_simulated=True)
        add(store, "e", "openai/gpt-5-mini", status=TraceStatus.FAILED, usage=None, cost_usd=None)
        add(store, "f", "scout", cost_usd=0.25, is_eval=True)
    return folder


def test_costs_are_shown_by_route_and_model_with_their_totals(filled: Path, run: Run) -> None:
    code, out, err = run("costs", "--since", "1d")
    assert (code, err) == (0, "")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "desk openai/gpt-5-mini 1 1 1.00M 0 100k $0.45 $0.41" in rows
    assert "desk openai/mystery 1 1.00M 0 100k unpriced 1" in rows
    assert "desk paid/mid simulated 1 1.00M 0 100k $3.00 $2.73" in rows
    assert "desk own/scout evaluation 1 1.00M 0 100k $0.25 $0.23" in rows
    assert "total 4 1 4.00M 0 400k $0.95 $0.29 1" in rows
    assert "total simulated 1 1.00M 0 100k $3.00 $2.73" in rows
    assert any(row.startswith("idle $") for row in rows)
    assert any("elsewhere: what its machines cost is not stated: deployments.elsewhere.hardware" in row for row in rows)


def test_costs_fit_a_narrow_terminal(filled: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inhouse.cli.terminal.out._width", 80)
    _, out, _ = run("costs", "--since", "1d")
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80
    assert "simulated" in out


def test_costs_as_json_and_csv_hold_every_figure(filled: Path, run: Run) -> None:
    words = ("--by", "tag:feature", "--source", "traces", "--on", "openai/gpt-5-mini", "--csv", "c.csv", "--json")
    code, out, _ = run("costs", "--since", "1d", *words)
    assert code == 0
    document = json.loads(out)
    groups = {(group["tag:feature"], group["is_simulated"]): group for group in document["groups"]}
    inbox = groups["inbox", False]
    assert Decimal(inbox["usage_based_usd"]) == Decimal("0.45")
    assert Decimal(inbox["on_usd"][0]) == Decimal("0.45")
    assert document["total"]["num_unpriced_requests"] == 1
    assert Decimal(document["total"]["usage_based_usd"]) == Decimal("0.95")
    scout = next(one for one in document["deployments"] if one["deployment"] == "scout")
    paid, used, idle = (Decimal(scout[name]) for name in ("allocation_based_usd", "usage_based_usd", "idle_usd"))
    assert used == Decimal("0.5")
    assert used + idle == paid
    with (filled / "c.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(document["groups"])
    assert "on openai/gpt-5-mini usd" in rows[0]


def test_imported_usage_is_priced_and_shown_beside(filled: Path, run: Run) -> None:
    record = UsageRecord("csv", "1", TODAY, DAY_S, "openai", "gpt-5-mini", None, None, None, None,
                         num_requests=None, input_uncached=1_000_000, cache_read=0, cache_write=0, output_visible=0,
                         output_reasoning=0, cache_write_1h=0, input_audio=0, output_audio=0)  # fmt: skip
    with open_store(STORE) as store:
        about = UsageImport(source="csv", file="u.csv", sha256="0", imported_at=1.0, since=TODAY, until=TODAY + DAY_S)
        store.usage.add([record], lambda: about)
    _, out, _ = run("costs", "--since", "1d", "--by", "source")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "csv ? 1.00M 0 0 $0.25 $0.25" in rows
    assert (
        "· usage of openai is both in traces and imported for the same days, and may count twice: use --source" in rows
    )
    code, _, err = run("costs", "--source", "langfuse")
    assert code == 2
    assert "choose from traces, imported, csv" in err


def test_a_currency_is_shown_with_its_rate(filled: Path, run: Run) -> None:
    (filled / "inhouse.yaml").write_text(FILE + 'costs: {currency: EUR, usd_rate: "0.5", rate_as_of: 2026-11-01}\n')
    _, out, _ = run("costs", "--since", "1d")
    assert "EUR 0.48" in out
    assert "1 USD = 0.5 EUR, rate of 2026-11-01, given by you" in out
    (filled / "inhouse.yaml").write_text(FILE + "costs: {currency: EUR}\n")
    code, _, err = run("costs")
    assert code == 2
    assert "EUR needs `usd_rate` and `rate_as_of`" in err
    (filled / "inhouse.yaml").write_text(FILE + 'costs: {usd_rate: "2"}\n')
    assert "name the currency that it is for" in run("costs")[2]


def test_costs_need_a_store_and_a_known_label(folder: Path, run: Run) -> None:
    assert "no requests and no imported usage in this period" in run("costs")[1]
    assert run("costs", "--by", "colour")[0] == 2
    (folder / "inhouse.yaml").unlink()
    code, _, err = run("costs")
    assert code == 2
    assert "`-c inhouse.yaml` or `--store sqlite:///PATH`" in err
    assert run("costs", "--store", STORE)[0] == 0


def test_unpriced_requests_are_repriced_beside_their_own_cost_and_back(filled: Path, run: Run) -> None:
    _, out, _ = run("costs", "reprice", "--since", "1d", "--dry-run")
    assert "openai/mystery" in out
    assert "unpriced → $1.40" in out
    assert "nothing was kept (--dry-run)" in out
    _, out, _ = run("costs", "reprice", "--since", "1d", "--reason", "contract of May")
    assert "kept the costs of 1 request as run 1" in out
    assert "undo: inhouse costs reprice --undo 1" in out
    assert "contract of May" in run("costs", "reprice", "--list")[1]
    _, out, _ = run("costs", "--since", "1d")
    assert "$2.35" in out
    assert "1 request at a repriced cost, their own is kept" in out
    assert "no unpriced requests from" in run("costs", "reprice", "--since", "1d")[1]
    document = json.loads(run("costs", "reprice", "--since", "1d", "--all", "--dry-run", "--json")[1])
    changed = {one["endpoint_id"]: one["num_changed"] for one in document["models"]}
    assert changed == {"openai/gpt-5-mini": 0, "openai/mystery": 0, "paid/mid": 0, "scout": 2}
    assert "took run 1 back: the cost of before counts again for 1 request" in run("costs", "reprice", "--undo", "1")[1]
    assert run("costs", "reprice", "--undo", "1")[0] == 2
    assert "no costs were computed again" in run("costs", "reprice", "--list")[1]


def test_an_invoice_is_kept_once_reconciled_and_taken_back(filled: Path, run: Run) -> None:
    day = datetime.fromtimestamp(TODAY, UTC).date().isoformat()
    (filled / "i.csv").write_text(f"date,amount,currency,model\n{day},0.46,USD,gpt-5-mini\n")
    assert "no invoices yet" in run("costs", "reconcile")[1]
    code, out, _ = run("import", "invoice", "i.csv", "--provider", "openai")
    assert code == 0
    assert f"openai {day[:7]}: USD 0.46 (table by day)" in out
    assert "undo: inhouse import invoice --remove 1" in out
    assert "nothing changed" in run("import", "invoice", "i.csv", "--provider", "openai")[1]
    code, out, _ = run("costs", "reconcile")
    assert code == 1
    assert "usage without a price (1 request)" in out
    assert run("costs", "reconcile", "--tolerance", "3%")[0] == 0
    assert run("costs", "reconcile", "--tolerance", "many")[0] == 2
    document = json.loads(run("costs", "reconcile", "--month", day[:7], "--json")[1])
    found = {one["provider"]: one for one in document["months"]}
    assert Decimal(found["openai"]["difference_usd"]) == Decimal("0.01")
    assert found["paid"]["invoiced_usd"] is None
    assert "i.csv" in run("import", "invoice", "--list")[1]
    assert "took invoice 1 back: 1 charge" in run("import", "invoice", "--remove", "1")[1]
    assert run("import", "invoice", "--remove", "1")[0] == 2
    assert "no invoices were imported" in run("import", "invoice", "--list")[1]


def test_an_invoice_that_is_malformed_keeps_nothing(filled: Path, run: Run) -> None:
    (filled / "i.csv").write_text("date,amount,currency\n2026-11-01,1,USD\n2026-11-02,x,USD\n")
    code, _, err = run("import", "invoice", "i.csv", "--provider", "openai")
    assert code == 2
    assert "i.csv:3: amount is no amount" in err
    assert "no invoices were imported" in run("import", "invoice", "--list")[1]
    assert "--provider is missing" in run("import", "invoice", "i.csv")[2]
    (filled / "i.csv").write_text("date,amount,currency\n2026-11-01,1,USD\n")
    assert "nothing was kept" in run("import", "invoice", "i.csv", "--provider", "openai", "--dry-run")[1]
    document = json.loads(run("import", "invoice", "i.csv", "--provider", "openai", "--json")[1])
    assert document["counts"]["num_new"] == 1


def test_an_export_adds_up_to_what_costs_shows(filled: Path, run: Run) -> None:
    total = Decimal(json.loads(run("costs", "--since", "1d", "--json")[1])["total"]["usage_based_usd"])
    code, out, _ = run("costs", "export", "--format", "focus", "--since", "1d", "--out", "f.csv")
    assert code == 0
    assert "$0.95 in all" in out
    assert "unpriced usage is not in it (1 request, 1.10M tokens)" in out
    assert "simulated: 1 request, not in it" in out
    with (filled / "f.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert sum(Decimal(row["BilledCost"]) for row in rows) == total
    assert {row["x_IsSimulated"] for row in rows} == {"false"}
    run("costs", "export", "--since", "1d", "--out", "f.csv", "--with-simulated")
    with (filled / "f.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert sum(Decimal(row["BilledCost"]) for row in rows) == total + 3
    assert run("costs", "export", "--out", "no/such/f.csv")[0] == 2


def test_a_price_is_found_as_the_gateway_finds_it_and_never_across_simulation(folder: Path) -> None:
    day, early = date(2026, 11, 28), date(2020, 1, 1)
    with open_store(STORE):
        pass
    with open_books(Path("inhouse.yaml"), None) as books:
        found = {
            name: books.find_vector(name, day, False)
            for name in ("openai/mystery", "openai/gpt-5", "anthropic/nobody", "scout", "gone", "paid/mid", "elsewhere")
        }
        assert found["openai/mystery"] is not None
        assert found["openai/mystery"].price_id == "own:openai/mystery"
        assert found["openai/gpt-5"] is not None
        assert found["scout"] is not None
        assert [name for name, vector in found.items() if vector is None] == [
            "anthropic/nobody", "gone", "paid/mid", "elsewhere",
        ]  # fmt: skip
        assert books.find_vector("openai/mystery", day, True) is None
        assert books.find_vector("paid/mid", day, True) is not None
        assert books.find_vector("paid/other", day, True) is not None
        assert books.find_vector("openai/gpt-5", early, False) is None
    (folder / "observe.yaml").write_text(
        "observe: {base_url: https://proxy.example/v1, provider: openai}\nstate_dir: s\n"
    )
    with open_books(Path("observe.yaml"), STORE) as books:
        assert books.find_vector("proxy.example/gpt-5", day, False) is not None
        assert books.find_vector("scout", day, False) is None


def test_machines_are_priced_by_the_file_else_by_the_price_book(folder: Path) -> None:
    text = FILE.replace('{usd_per_hour: "6"}', "{machine: cpu}").replace(
        "engine: external}", "engine: external, hardware: {machine: no-such-box}}"
    )
    (folder / "inhouse.yaml").write_text(text)
    period = CostPeriod(since=TODAY - 10.0 * DAY_S, until=TODAY + 1.0)
    with open_books(None, None) as books:
        scout, elsewhere = list_machines(books, period, TODAY + 1.0)
    assert (scout.usd_per_hour, scout.price_id) == (Decimal("0.10"), "machine:cpu@2026-01-01, an assumption")
    assert (elsewhere.usd_per_hour, elsewhere.price_id) == (None, "not in the price book: machine no-such-box")


def test_other_currencies_and_tables_without_end_are_said(filled: Path, run: Run) -> None:
    day = datetime.fromtimestamp(TODAY, UTC).date().isoformat()
    (filled / "i.csv").write_text(f"date,amount,currency,kind\n{day},0.46,GBP,\n{day},2,GBP,tax\n")
    run("import", "invoice", "i.csv", "--provider", "openai")
    code, out, _ = run("costs", "reconcile")
    assert code == 1
    assert "needs a rate" in out
    assert "charges in GBP, and no rate for it" in out
    (filled / "inhouse.yaml").write_text(FILE + 'costs: {currency: GBP, usd_rate: "0.5", rate_as_of: 2026-11-01}\n')
    _, out, _ = run("costs", "reconcile")
    assert "GBP 2.46" in out
    assert "amounts in GBP: 1 USD = 0.5 GBP" in out
    with open_store(STORE) as store:
        for number in range(45):
            add(store, f"m{number}", f"openai/model-{number:02d}", cost_usd=0.001)
    _, out, _ = run("costs", "--since", "1d", "--on", "openai/gpt-5-mini")
    assert "… 10 more: --json, --csv" in out
    assert "another tokenizer counts ± 20 % other tokens" in out
    assert run("costs", "reprice", "--since", "1d", "--all", "--json")[0] == 0
    assert json.loads(run("costs", "reprice", "--list", "--json")[1])[0]["reprice_id"] == 1
    assert "nothing to keep: no cost differs" in run("costs", "reprice", "--since", "1d", "--all")[1]
    assert json.loads(run("import", "invoice", "--list", "--json")[1])[0]["provider"] == "openai"


def make_replica(updated_at: float) -> ReplicaRow:
    return ReplicaRow(
        replica_id="r", deployment="d", host_id="h", base_url="http://x", state=ReplicaState.READY, digest=None,
        digest_fields=(), pid=None, num_restarts=0, updated_at=updated_at, detail="",
    )  # fmt: skip


def test_machines_count_from_the_first_request_until_their_replicas_fall_silent() -> None:
    period = CostPeriod(since=0.0, until=100_000.0)
    assert measure_up(period, 200_000.0, None, []) == (100_000.0, "the whole period: the store has no sign")
    assert measure_up(period, 50_000.0, Seen(first_at=-5.0, last_at=1.0), []) == (50_000.0, "the whole period")
    first = Seen(first_at=40_000.0, last_at=60_000.0)
    up_s, words = measure_up(period, 200_000.0, first, [make_replica(70_000.0)])
    assert up_s == 30_000.0
    assert words == (
        "from its first request (1970-01-01 11:06) until its replicas were last heard of (1970-01-01 19:26)"
    )
    assert measure_up(period, 90_000.0, first, [make_replica(89_995.0)])[0] == 50_000.0
    assert measure_up(period, 90_000.0, Seen(first_at=95_000.0, last_at=95_000.0), [])[0] == 0.0
