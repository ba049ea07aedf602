"""`inhouse decide` as a shell sees it: the three sources of traffic, the page, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.shell import run
from inhouse.domain import TraceClose, TraceOpen, TraceStatus, Usage, UsageBasis
from inhouse.store import SpoolCursor, open_store

FILE = """\
data_classes:
  internal: {processors: [openai]}
providers:
  openai: {api_key: not-a-real-key, discount: 10%, models: {gpt-5-mini: {}}}
routes:
  desk:
    data_class: internal
    variants: {api: {endpoint: openai/gpt-5-mini}}
    use: {default: api}
team: {engineers: 2, loaded_usd_per_month: 16000, fte_share: 0.4}
company: {internal_use: true, country: DE}
"""
DAY_S = 86_400
MORNING = 1_795_305_600
"""2026-11-22, 00:00 UTC."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inhouse.cli.terminal.out._width", 110)
    monkeypatch.setattr("inhouse.cli.terminal.err._width", 160)
    return tmp_path


@pytest.fixture
def decide(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """`inhouse decide` with these arguments → (exit code, output, errors)."""
    return lambda *arguments: run(capsys, monkeypatch, "decide", *arguments)


def read(decide: Any, *arguments: str) -> dict[str, Any]:
    code, printed, _ = decide(*arguments, "--json")
    assert code == 0
    return json.loads(printed)


def test_typed_figures_give_the_page(decide: Any) -> None:
    code, printed, _ = decide("--spend", "22000", "--fte", "0.5", "--gpus", "2xH100:ordered")
    assert code == 0
    assert printed.startswith("Don't self-host.")
    assert "2 × H100, ordered: not avoidable" in printed
    assert "assumptions are inhouse's own reference ranges" in printed


def test_a_typed_bill_takes_the_contracts_discount(decide: Any, folder: Path) -> None:
    (folder / "inhouse.yaml").write_text(FILE)
    page = read(decide, "--spend", "22000", "--model", "openai/gpt-5-mini")
    prices = {item["name"]: item["value"]["value"] for item in page["assumptions"]}
    assert prices["api_input_usd_per_mtok"] == pytest.approx(0.25 * 0.9)
    assert prices["api_output_usd_per_mtok"] == pytest.approx(2 * 0.9)


def test_a_usage_export_gives_the_page_and_the_file(decide: Any, folder: Path) -> None:
    code, printed, _ = decide("--from", "example:openai-usage", "--fte", "0.5", "--html", "page.html")
    assert code == 0
    assert "example-assistant" in printed
    assert "wrote page.html" in printed
    page = (folder / "page.html").read_text()
    assert "Example figures" in page
    assert "<script src" not in page
    assert 'rel="stylesheet"' not in page


def test_own_traces_give_the_page_with_the_files_rates_team_and_company(decide: Any, folder: Path) -> None:
    (folder / "inhouse.yaml").write_text(FILE)
    (folder / ".inhouse").mkdir()
    with open_store(f"sqlite:///{folder}/.inhouse/inhouse.db") as store:
        for number in range(48):
            _ship(store, number)
    page = read(decide, "--from", "traces")
    text = json.dumps(page)
    assert '"measured"' in text
    assumptions = {item["name"]: item for item in page["assumptions"]}
    assert assumptions["fte_share"]["owner"] == "typed"
    assert assumptions["fte_usd_per_month"]["value"]["value"] == 16_000
    assert assumptions["api_input_usd_per_mtok"]["value"]["value"] == pytest.approx(0.25 * 0.9)


def _ship(store: Any, number: int) -> None:
    at = MORNING + number * 3600.0
    shared: dict[str, Any] = {
        "trace_id": f"t{number}",
        "writer": "w",
        "variant": "api",
        "endpoint_id": "openai/gpt-5-mini",
        "replica_id": "openai/gpt-5-mini",
    }
    opened = TraceOpen(started_at=at, route="desk", key_id="k", **shared)
    closed = TraceClose(
        ended_at=at + 1,
        status=TraceStatus.COMPLETE,
        http_status=200,
        e2e_ms=1000,
        usage=Usage(input_uncached=4_000_000, output_visible=500_000),
        usage_basis=UsageBasis.MEASURED,
        cost_usd=1.8,
        price_id="x",
        **shared,
    )
    store.traces.ship([opened, closed], cursor=SpoolCursor("a.spool", number + 1))


def test_imported_usage_is_found_where_import_keeps_it(
    decide: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an export to the page with two short commands, and the store of an import can be named as well."""
    assert run(capsys, monkeypatch, "import", "csv", "--example")[0] == 0
    code, printed, _ = decide("--from", "imported", "--fte", "0.5")
    assert code == 0
    assert "example-extraction" in printed
    by_url = read(decide, "--from", "sqlite:///inhouse-usage.db", "--fte", "0.5")
    assert by_url["options"] == read(decide, "--from", "imported", "--fte", "0.5")["options"]


def test_moving_an_assumption_past_its_flip_point_flips_the_answer_and_the_page_says_where(decide: Any) -> None:
    typed = ("--spend", "22000", "--fte", "0.5", "--gpus", "2xH100:ordered")
    _, printed, _ = decide(*typed)
    assert "at 46 % or less for" in printed
    _, moved, _ = decide(*typed, "--set", "movable_share=45%")
    assert moved.startswith("Don't self-host. Stay at the API and use it more cheaply")
    _, short, _ = decide(*typed, "--set", "movable_share=50%")
    assert short.startswith("Don't self-host. Move the share")


def test_it_may_say_that_self_hosting_pays(decide: Any) -> None:
    """Ordered GPUs, a large bill, little staff, and no host that may see the content."""
    code, printed, _ = decide(
        "--spend", "300000", "--fte", "0.5", "--gpus", "16xH200:ordered", "--set", "hosted_input_usd_per_mtok=2",
        "--set", "hosted_output_usd_per_mtok=9",
    )  # fmt: skip
    assert code == 0
    assert printed.startswith("Self-host")


@pytest.mark.parametrize(
    ("arguments", "problem", "fix"),
    [
        ((), "no traffic to decide about", "--spend 22000"),
        (("--spend", "5", "--from", "x.json", "--fte", "1"), "either a typed bill or a usage export", "--from"),
        (("--spend", "22000"), "engineering share is missing", "--fte 0.5"),
        (("--spend", "0", "--fte", "1"), "more than nothing", "dollars of a month"),
        (("--spend", "-5", "--fte", "1"), "no amount of dollars", "zero or more"),
        (("--spend", "nan", "--fte", "1"), "no amount of dollars", "zero or more"),
        (("--spend", "1", "--fte", "-1"), "no number of engineers", "0.5 is half"),
        (("--spend", "1", "--fte", "nan"), "no number of engineers", "0.5 is half"),
        (("--spend", "1", "--fte", "1", "--gpus", "two"), "not understood", "2xH100:ordered"),
        (("--spend", "1", "--fte", "1", "--gpus", "2xH1000:ordered"), "no GPU 'H1000'", "H100"),
        (("--spend", "1", "--fte", "1", "--gpus", "2xH100:leased"), "no terms 'leased'", "on_demand"),
        (("--spend", "1", "--fte", "1", "--open-model", "gpt-oss-120"), "no open model", "gpt-oss-120b"),
        (("--spend", "1", "--fte", "1", "--hosted", "acme"), "no price of gpt-oss-120b at 'acme'", "It is hosted by"),
        (("--spend", "1", "--fte", "1", "--model", "gpt-5"), "not understood", "PROVIDER/MODEL"),
        (("--spend", "1", "--fte", "1", "--model", "openai/gpt-99"), "no price of openai/gpt-99", "catalog prices"),
        (("--spend", "1", "--fte", "1", "--set", "peak=3"), "no assumption 'peak'", "peak_factor"),
        (("--spend", "1", "--fte", "1", "--set", "movable_share=3"), "no share", "0.8 or 80%"),
        (("--from", "none.json", "--fte", "1"), "none.json", "fix"),
        (("--from", "example:none", "--fte", "1"), "none", "openai-usage"),
        (("--from", "traces", "--fte", "1"), "needs a store", "-c"),
        (("--from", "traces", "--from", "x.json", "--fte", "1"), "count twice", "Name files"),
        (("--from", "example:csv", "--model", "openai/gpt-5", "--fte", "1"), "has no effect", "Remove --model"),
    ],
)
def test_bad_input_names_the_problem_and_the_fix(
    decide: Any, arguments: tuple[str, ...], problem: str, fix: str
) -> None:
    code, printed, errors = decide(*arguments)
    assert code == 2
    assert printed == ""
    assert problem in errors
    assert fix in errors


def test_a_page_that_cannot_be_written_is_an_error(decide: Any) -> None:
    code, _, errors = decide("--spend", "1", "--fte", "1", "--html", "no/such/folder.html")
    assert code == 2
    assert "cannot be written" in errors


def test_a_malformed_export_names_the_line(decide: Any, folder: Path) -> None:
    (folder / "usage.csv").write_text("timestamp,model,input_tokens,output_tokens\n2026-11-01,gpt-5,many,1\n")
    code, _, errors = decide("--from", "usage.csv", "--fte", "1")
    assert code == 2
    assert "usage.csv:2" in errors


def test_duplicates_are_counted_once_and_said(decide: Any, folder: Path) -> None:
    rows = ["timestamp,provider,model,request_id,input_tokens,output_tokens"]
    rows += [f"2026-11-{day:02d}T00:00:00Z,openai,gpt-5-mini,r{day},1000000,100000" for day in range(1, 29)]
    (folder / "usage.csv").write_text("\n".join([*rows, rows[-1], rows[-2]]) + "\n")
    page = read(decide, "--from", "usage.csv", "--fte", "1")
    assert "2 duplicates within the file counted once" in json.dumps(page)
