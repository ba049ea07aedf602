"""`inhouse catalog` as a shell sees it: answers, exit codes, JSON, and errors that name the fix."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inhouse.cli.app import main

Run = Callable[..., tuple[int, str, str]]

CONFIG = """\
data_classes:
  internal: {processors: [own]}
deployments:
  clerk: {model: clerk}
routes:
  desk: {data_class: internal, variants: {in-house: {endpoint: clerk}}, use: {default: in-house}}
providers:
  paid: {dialect: openai, api_key: "${NO_SUCH_VARIABLE}", models: {m: {}}}
company:
  country: DE
  internal_use: true
  mau_at_release_incl_affiliates: 5e6
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inhouse.cli.terminal.out._width", 120)
    monkeypatch.setattr("inhouse.cli.terminal.err._width", 160)
    (tmp_path / "inhouse.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["inhouse", "catalog", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["gpt-oss-120b"], 0, ["allowed, with duties", "if you pass on weights: keep the licence text"]),
        (["llama-3.3-70b"], 1, ["unknown (nothing is promoted", "--mau-at-release N (company.mau_at_release"]),
        (["llama-3.3-70b", "--mau-at-release", "5e6"], 0, ["allowed, with duties", "ask again", "700 million"]),
        (["llama-3.3-70b", "--mau-at-release", "8e8"], 1, ["blocked", "700 million monthly users"]),
        (["llama-4-scout", "--country", "fr", "--uses-multimodal"], 1, ["blocked", "EU"]),
        (["llama-4-scout", "-c", "inhouse.yaml", "--no-uses-multimodal"], 1, ["unknown", "has to be read"]),
        (["llama-3.3-70b", "-c", "inhouse.yaml"], 0, ["not now; if others use it: show"]),
        (["kimi-k3", "--offers-maas"], 1, ["unknown", "--group-revenue-year USD"]),
        (["kimi-k3", "-c", "inhouse.yaml"], 0, ["allowed, with duties"]),
        (["mistral-large-2"], 1, ["--commercial-use, or --no-commercial-use", "from general knowledge"]),
        (["unknown"], 1, ["somebody has to read them"]),
    ],
)
def test_the_licence_check_answers(run: Run, arguments: list[str], code: int, words: list[str]) -> None:
    got, out, err = run("licenses", "check", *arguments)
    assert (got, err) == (code, "")
    text = " ".join(out.split())
    for word in [*words, "Nothing here is legal advice."]:
        assert word in text


def test_the_licence_check_as_json(run: Run) -> None:
    code, out, _ = run("licenses", "check", "llama-3.3-70b", "-c", "inhouse.yaml", "--json")
    answer = json.loads(out)
    assert code == 0
    assert (answer["state"], answer["is_allowed"], answer["missing"]) == ("allowed_with_duties", True, [])
    assert answer["thresholds"] == {"mau_at_release_incl_affiliates": "700000000"}
    assert answer["sources"]["llama-3.3-community"]["source"].startswith("https://")
    assert {"kind": "use_policy", "is_due": True}.items() <= answer["duties"][3].items()


def test_an_option_wins_over_the_file(run: Run) -> None:
    assert run("licenses", "check", "llama-3.3-70b", "-c", "inhouse.yaml", "--mau-at-release", "8e8")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lama-4-scoot"], ["no model or licence 'lama-4-scoot'", "Did you mean llama-4-scout"]),
        (["zzzzzzzz"], ["`inhouse catalog models`"]),
        (["phi-4", "--internal-use", "--offers-maas"], ["internal_use and offers_maas contradict each other"]),
        (["phi-4", "--country", "Germany"], ["country: ", "Mend the option"]),
        (["phi-4", "-c", "none.yaml"], ["none.yaml"]),
    ],
)
def test_what_cannot_be_checked_is_an_error_with_its_fix(run: Run, arguments: list[str], words: list[str]) -> None:
    code, out, err = run("licenses", "check", *arguments)
    assert (code, out) == (2, "")
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("country: DE", "country: DE\n  eu_based: false", "eu_based does not agree with the country DE"),
        ("country: DE", "contry: DE", "Did you mean `country`"),
    ],
)
def test_a_company_that_cannot_be_is_an_error_with_its_place(
    run: Run, folder: Path, old: str, new: str, problem: str
) -> None:
    (folder / "inhouse.yaml").write_text(CONFIG.replace(old, new))
    code, _, err = run("licenses", "check", "phi-4", "-c", "inhouse.yaml")
    assert code == 2
    assert problem in err
    assert "inhouse.yaml:" in err


def test_the_lists(run: Run) -> None:
    code, out, _ = run("models", "llama-4")
    assert code == 0
    assert "llama-4-scout" in out
    assert "gpt-oss" not in out
    assert "no model's name contains 'zzz'" in run("models", "zzz")[1]
    assert "unknown" in next(line for line in run("models")[1].splitlines() if line.startswith("deepseek-v4-pro"))
    gpus = run("gpus")[1]
    assert "3.50" in next(line for line in gpus.splitlines() if line.startswith("H200"))
    assert "tencent-hunyuan-community" in run("licenses", "list")[1]
    assert "gpt-5-mini" in run("prices", "openai")[1]
    assert "claude" not in run("prices", "openai")[1]
    assert "claude" in run("prices")[1]
    code, _, err = run("prices", "nobody")
    assert code == 2
    assert "Use one of: anthropic" in err


def test_the_lists_as_json(run: Run) -> None:
    models = json.loads(run("models", "deepseek-v4-pro", "--json")[1])
    assert [(row["model"], row["kv_bytes_per_token"]) for row in models] == [("deepseek-v4-pro", None)]
    gpus = {row["gpu"]: row for row in json.loads(run("gpus", "--json")[1])}
    assert gpus["A10"]["usd_per_hour"] == {"on_demand": None, "spot": None, "reserved": None, "owned": None}
    assert gpus["H100"]["usd_per_hour"]["on_demand"] == "2.95"
    prices = json.loads(run("prices", "openai", "--json")[1])
    assert any(row["price_id"].startswith("openai/gpt-5-mini@") for row in prices)
    licences = json.loads(run("licenses", "list", "--json")[1])
    assert any(row["licence"] == "apache-2.0" for row in licences)


def test_gpu_prices_are_imported_and_used(run: Run, folder: Path) -> None:
    head = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
    bad = "".join(f"bad{number},H100,1,1,1,dear,,x\n" for number in range(12))
    (folder / "cloud").mkdir()
    (folder / "cloud" / "vms.csv").write_text(f"{head}a,H100,8,1,1,16,,eu\nb,TPU,1,1,1,1,,eu\n{bad}")
    code, out, _ = run("import-gpus", "cloud")
    text = " ".join(out.split())
    assert code == 0
    for words in ("h100-on-demand-cheapest 2.0000 one H100 at cloud, eu", "14 rows read, 1 price taken"):
        assert words in text
    for words in ("skipped 1: GPU not in the catalog: TPU", "vms.csv:4: Price is 'dear'", "and 2 more"):
        assert words in text
    h100 = next(line for line in run("gpus", "--gpu-prices", "gpu-prices.yaml")[1].splitlines() if "H100" in line)
    assert "2.00" in h100
    code, _, err = run("import-gpus", "cloud")
    assert code == 2
    assert "--force" in err
    answer = json.loads(run("import-gpus", "cloud", "--force", "--json")[1])
    assert (answer["num_offers"], len(answer["malformed"]), answer["file"]) == (1, 12, "gpu-prices.yaml")


def test_an_import_that_takes_nothing_writes_nothing(run: Run, folder: Path) -> None:
    head = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
    (folder / "vms.csv").write_text(f"{head}cpu,,,1,1,16,,eu\n")
    code, out, _ = run("import-gpus", "vms.csv")
    assert code == 1
    assert "nothing was written" in out
    assert not (folder / "gpu-prices.yaml").exists()
