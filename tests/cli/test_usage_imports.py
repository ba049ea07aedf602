"""`inhouse import …` for usage: nothing deployed, nothing configured; twice is once; every step prints its undo."""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from inhouse.cli.app import main
from inhouse.cli.usage_files import UsageFormat, example_file
from inhouse.store import open_store

NOON = 1_772_366_400
INSTALLATION = """\
data_classes:
  internal: {processors: [own]}
deployments:
  clerk: {model: clerk}
routes:
  triage:
    data_class: internal
    variants:
      in-house: {endpoint: clerk}
    use: {default: in-house}
"""
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inhouse.cli.terminal.out._width", 200)
    monkeypatch.setattr("inhouse.cli.terminal.err._width", 200)
    return tmp_path


class Shell:
    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def run(self, *arguments: str, code: int = 0) -> str:
        self._monkeypatch.setattr(sys, "argv", ["inhouse", "import", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self._capsys.readouterr()
        assert int(ended.value.code or 0) == code, captured.out + captured.err
        return captured.out + captured.err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(capsys, monkeypatch)


def result(**changes: Any) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result", "input_tokens": 100, "input_cached_tokens": 40,
        "output_tokens": 10, "num_model_requests": 2, "project_id": "search", "model": "gpt-5-mini",
    } | changes  # fmt: skip


def write_page(name: str, hours: range, **changes: Any) -> Path:
    buckets = [
        {"start_time": NOON + hour * 3600, "end_time": NOON + (hour + 1) * 3600, "results": [result(**changes)]}
        for hour in hours
    ]
    path = Path(name)
    path.write_text(json.dumps({"object": "page", "data": buckets, "has_more": False}))
    return path


def test_without_any_configuration_it_keeps_usage_in_a_file_here(shell: Shell, folder: Path) -> None:
    write_page("march.json", range(30))
    output = shell.run("openai-usage", "march.json")
    assert "march.json  openai-usage: 30 read, 30 kept, 30 new, 0 replaced, 0 there already" in output
    assert "2026-03-01 12:00 to 2026-03-02 18:00 UTC, 1.2 days, 2 with usage; peak hour 1.0 × the mean" in output
    assert "openai/gpt-5-mini" in output
    assert "kept in sqlite:///inhouse-usage.db as import 1" in output
    assert "next: inhouse decide --from imported --fte 0.5" in output
    assert "undo: inhouse import remove 1   (all of it: rm inhouse-usage.db)" in output
    assert (folder / "inhouse-usage.db").exists()


def test_importing_twice_changes_nothing_and_says_so(shell: Shell) -> None:
    write_page("march.json", range(30))
    shell.run("openai-usage", "march.json")
    output = shell.run("openai-usage", "march.json")
    assert "30 read, 30 kept, 0 new, 0 replaced, 30 there already" in output
    assert "nothing new for sqlite:///inhouse-usage.db: all of it is there already" in output
    assert "undo" not in output


def test_overlapping_exports_count_once(shell: Shell) -> None:
    write_page("first.json", range(30))
    write_page("second.json", range(20, 50))
    output = shell.run("openai-usage", "first.json", "second.json")
    assert "20 new, 0 replaced, 10 there already" in output
    with open_store("sqlite:///inhouse-usage.db") as store:
        assert sum(row.num_requests or 0 for row in store.usage.hours()) == 100


def test_what_would_count_twice_is_refused(shell: Shell) -> None:
    write_page("by-model.json", range(3))
    write_page("by-key.json", range(3), api_key_id="k")
    shell.run("openai-usage", "by-model.json")
    output = shell.run("openai-usage", "by-key.json", code=3)
    assert "Both together would count usage twice" in output
    assert "inhouse import remove 1" in output
    shell.run("remove", "1")
    assert "3 new" in shell.run("openai-usage", "by-key.json")
    assert "3 new" in shell.run("openai-usage", "by-model.json", "--account", "second")


def test_an_import_is_listed_and_taken_back(shell: Shell) -> None:
    write_page("march.json", range(3))
    assert "There is no inhouse-usage.db" in shell.run("list", code=3)
    shell.run("openai-usage", "march.json")
    assert "march.json" in shell.run("list")
    assert json.loads(shell.run("list", "--json"))[0]["num_new"] == 3
    assert "import 1 is taken back: 3 records removed" in shell.run("remove", "1")
    assert "nothing is imported" in shell.run("list")
    assert "There is no import 1" in shell.run("remove", "1", code=3)


def test_a_dry_run_keeps_nothing(shell: Shell, folder: Path) -> None:
    write_page("march.json", range(3))
    output = shell.run("openai-usage", "march.json", "--dry-run")
    assert "nothing is kept (--dry-run)" in output
    assert "next: inhouse decide --from march.json --fte 0.5" in output
    assert not (folder / "inhouse-usage.db").exists()


def test_json_says_the_same(shell: Shell) -> None:
    write_page("march.json", range(3), project_id=None)
    document = json.loads(shell.run("openai-usage", "march.json", "--json"))
    (file,) = document["files"]
    assert (file["num_read"], file["import"]["num_new"], file["skipped"]) == (3, 3, [])
    assert {"what": "records without project, key, task or template", "count": 3, "where": []} in file["warnings"]
    assert document["profile"]["totals"]["usage"]["cache_read"] == 120
    assert document["profile"]["totals"]["stated_usd"] is None
    assert document["store"] == "sqlite:///inhouse-usage.db"


def test_every_doubt_is_shown_with_its_count(shell: Shell) -> None:
    page = {"object": "page", "has_more": True, "data": [
        {"start_time": NOON, "end_time": NOON + 3600, "results": [
            result(), result(), result(input_cached_tokens=500, project_id="b"),
            {"object": "organization.usage.x.result"},
        ]},
        {"start_time": NOON + 7200, "end_time": NOON + 10_800, "results": []},
    ]}  # fmt: skip
    Path("odd.json").write_text(json.dumps(page))
    os.utime("odd.json", (NOON + 8000, NOON + 8000))
    output = shell.run("openai-usage", "odd.json")
    assert "left out: 1 × no tokens in it: usage.x" in output
    assert "1 × more cached input than input: the cached part was cut to the input (data[0].results[2])" in output
    assert "1 × hours are missing in the middle (first at 2026-03-01T13:00:00+00:00)" in output
    assert "1 × the period ends after the file was written" in output
    assert "1 × the last page says that more follow" in output
    assert "1 × records that stood in the file twice were counted once" in output


def test_pages_in_several_files_are_whole_together(shell: Shell) -> None:
    first, second = write_page("1.json", range(3)), write_page("2.json", range(3, 5))
    first.write_text(first.read_text().replace('"has_more": false', '"has_more": true'))
    assert "more follow" not in shell.run("openai-usage", str(second), str(first))
    assert "more follow" in shell.run("openai-usage", str(first))


def test_what_was_read_before_a_bad_file_is_said(shell: Shell) -> None:
    write_page("march.json", range(3))
    Path("bad.json").write_text('{"num_model_requests": 1')
    output = shell.run("openai-usage", "march.json", "bad.json", code=2)
    assert "march.json  openai-usage: 3 read, 3 kept, 3 new" in output
    assert "bad.json" in output


def test_tables_of_one_time_by_other_labels_are_refused(shell: Shell) -> None:
    Path("a.csv").write_text("time,model,requests,input\n2026-03-01T10:00:00Z,m,1,5\n")
    Path("b.csv").write_text("time,model,team,requests,input\n2026-03-01T10:00:00Z,m,t,1,5\n")
    shell.run("csv", "a.csv")
    assert "Both together would count usage twice" in shell.run("csv", "b.csv", code=3)


def test_an_older_export_is_said_to_be_older(shell: Shell) -> None:
    write_page("new.json", range(3))
    write_page("old.json", range(3), num_model_requests=1)
    output = shell.run("openai-usage", "new.json", "old.json")
    assert "3 × records are stored with more usage than this file has" in output


def test_two_sources_of_one_time_are_pointed_out(shell: Shell) -> None:
    write_page("march.json", range(3))
    Path("own.csv").write_text("time,model,input_tokens\n2026-03-01T13:00:00Z,gpt-5-mini,5\n")
    output = shell.run("usage", "march.json", "own.csv")
    assert "csv, openai-usage cover the same time" in output
    assert "openai/gpt-5-mini" in output


@pytest.mark.parametrize("name", list(UsageFormat))
def test_every_format_can_be_tried_with_its_example(shell: Shell, name: str) -> None:
    output = shell.run(name, "--example")
    assert example_file(name).name in output
    assert "example-" in output
    assert "as import 1" in output


def test_a_malformed_file_leaves_nothing(shell: Shell) -> None:
    write_page("march.json", range(3))
    text = Path("march.json").read_text().replace('"num_model_requests": 2', '"num_model_requests": "two"', 1)
    Path("bad.json").write_text(text)
    output = shell.run("openai-usage", "bad.json", code=2)
    assert "bad.json: data[0].results[0].num_model_requests: Expected `int" in output
    assert "nothing is imported" in shell.run("list")


def test_mapped_columns_and_many_shapes(shell: Shell) -> None:
    rows = "".join(f"2026-03-01T{hour:02}:00:00Z,m,5,\n" for hour in range(24))
    Path("own.csv.gz").write_bytes(gzip.compress(f"wann,model,rein,cost\n{rows}".encode()))
    output = shell.run("csv", "own.csv.gz", "--map", "wann=time", "--map", "rein=input_total")
    assert "24 new" in output
    assert "not stated" in output
    assert "names no field" in shell.run("csv", "own.csv.gz", "--map", "wann=when", code=2)


def test_secrets_are_neither_stored_nor_shown(shell: Shell, folder: Path) -> None:
    write_page("march.json", range(3), api_key_id=SECRET, project_id=f"p {SECRET}")
    output = shell.run("openai-usage", "march.json") + shell.run("list", "--json")
    assert "abcdefgh" not in output
    assert "key:" in output
    stored = b"".join(path.read_bytes() for path in folder.glob("inhouse-usage.db*"))
    assert b"abcdefgh" not in stored


def test_wrong_use_is_explained(shell: Shell) -> None:
    write_page("march.json", range(1))
    assert "No file is named" in shell.run("openai-usage", code=2)
    assert "No file is named" in shell.run("usage", code=2)
    both = ["--store", "sqlite:///a.db", "-c", "inhouse.yaml"]
    assert "Both --config and --store" in shell.run("openai-usage", "march.json", *both, code=2)
    assert "cannot be read" in shell.run("openai-usage", "gone.json", code=2)


def test_it_can_go_into_the_store_of_an_installation(shell: Shell, folder: Path) -> None:
    """Beside the traces; the default says that there is one."""
    write_page("march.json", range(3))
    Path("inhouse.yaml").write_text(f"store: sqlite:///own.db\n{INSTALLATION}")
    assert "-c inhouse.yaml keeps it beside the traces" in shell.run("openai-usage", "march.json")
    output = shell.run("openai-usage", "march.json", "-c", "inhouse.yaml")
    assert "own.db as import 1" in output
    assert "undo: inhouse import remove 1 -c inhouse.yaml" in output
    assert (folder / "own.db").exists()
    output = shell.run("openai-usage", "march.json", "--store", "sqlite:///third.db")
    assert "undo: inhouse import remove 1 --store sqlite:///third.db" in output


def test_a_file_without_usage_says_so(shell: Shell) -> None:
    Path("empty.json").write_text(json.dumps({"object": "page", "data": [], "has_more": False}))
    output = shell.run("openai-usage", "empty.json")
    assert "0 read, 0 kept" in output
    assert "no usage in it" in output
    assert "next:" not in output


def test_a_long_mix_is_cut_and_counted(shell: Shell) -> None:
    rows = "".join(f"2026-03-01T10:00:00Z,p{number:02},m{number:02},{10 ** (number % 14)}\n" for number in range(30))
    Path("own.csv").write_text(f"time,project,model,input_tokens\n{rows}")
    output = shell.run("csv", "own.csv", "--dry-run")
    assert "… and 10 more" in output


def test_a_hundred_thousand_rows_take_seconds(shell: Shell) -> None:
    rows = "".join(
        f"r{number},2026-03-01T{number % 24:02}:00:00Z,openai,gpt-5-mini,p{number % 5},{number},{number % 99},0.001\n"
        for number in range(100_000)
    )
    Path("big.csv").write_text(f"id,time,provider,model,project,input_tokens,output_tokens,cost\n{rows}")
    started = time.process_time()
    output = shell.run("csv", "big.csv")
    assert "100,000 new" in output
    assert "$100.00" in output
    assert time.process_time() - started < 15
