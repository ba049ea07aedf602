"""The whole catalog: look-ups, names that refer to rows, and facts that the research names."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml

from inhouse.catalog import (
    BOOK_FOLDER,
    Architecture,
    Catalog,
    Commercial,
    Confidence,
    DatedRow,
    FactTest,
    LinkKind,
    MachineTerms,
    ModelRow,
    load_catalog,
)
from inhouse.domain import ConfigError

DAY = date(2026, 11, 28)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def all_rows(catalog: Catalog) -> Iterator[DatedRow]:
    yield from catalog.models
    yield from catalog.gpus
    yield from catalog.licences
    yield from catalog.capacity


def test_every_row_has_a_source_and_was_checked_by_today(catalog: Catalog) -> None:
    today = datetime.now(UTC).date()
    for row in all_rows(catalog):
        assert row.source.startswith("https://") or "assumption" in row.source, row.key
        assert row.effective_from <= row.checked_on <= today, row.key


def test_a_model_is_found_by_its_name_and_by_its_repositories(catalog: Catalog) -> None:
    scout = catalog.model("llama-4-scout")
    assert scout is not None
    assert scout is catalog.model("meta-llama/Llama-4-Scout-17B-16E-Instruct")
    assert scout is catalog.model(
        "hf:meta-llama/Llama-4-Scout-17B-16E-Instruct@92f3b1597a195b523d8d9e5700e57e4fbb8f20d3"
    )
    assert (scout.licence, scout.is_multimodal, scout.active_parameters_b) == ("llama-4-community", True, 17)
    assert catalog.model("llama-4") is None
    assert catalog.model("meta-llama") is None


def test_the_models_that_users_ask_for_are_there(catalog: Catalog) -> None:
    wanted = [
        "llama-4-scout", "llama-4-maverick", "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "llama-3.3-70b",
        "mixtral-8x7b", "mixtral-8x22b", "mistral-small-3", "mistral-small-4", "mistral-nemo", "mistral-7b",
        "deepseek-v3", "deepseek-v3.1", "deepseek-v3.2", "deepseek-r1", "deepseek-r1-distill-llama-70b",
        "deepseek-r1-distill-qwen-32b", "deepseek-v4-pro", "qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "qwen3-8b",
        "qwen3-14b", "qwen3-32b", "qwen3-30b-a3b", "qwen3-235b-a22b", "qwen2.5-72b", "gpt-oss-20b", "gpt-oss-120b",
        "gemma-2-9b", "gemma-3-27b", "phi-4", "glm-5", "kimi-k2", "minimax-m2.5",
    ]  # fmt: skip
    assert [name for name in wanted if catalog.model(name) is None] == []


def test_a_model_made_from_another_keeps_both_licences(catalog: Catalog) -> None:
    distilled = catalog.model("deepseek-r1-distill-llama-70b")
    assert distilled is not None
    assert distilled.licences == ("mit", "llama-3.3-community")


def test_a_gpu_is_found_however_its_name_is_written(catalog: Catalog) -> None:
    for name in ("RTX-4090", "RTX4090", "rtx 4090", "GeForce_RTX_4090"):
        gpu = catalog.gpu(name)
        assert gpu is not None
        assert gpu.gpu == "RTX-4090"
    assert catalog.gpu("H1000") is None


def test_a_gpus_rates_are_dense_and_what_it_cannot_do_is_none(catalog: Catalog) -> None:
    h100, a100 = catalog.gpu("H100"), catalog.gpu("A100-80GB")
    assert h100 is not None
    assert a100 is not None
    assert h100.peak_flops("fp8") == Decimal("1978.9") * 10**12
    assert (h100.peak_flops("fp4"), a100.peak_flops("fp8")) == (None, None)
    assert (h100.link, h100.link_gb_per_s, h100.bandwidth_gb_per_s) == (LinkKind.NVLINK, 450, 3350)
    assert h100.memory_bytes == int(Decimal("79.6") * 2**30)
    with pytest.raises(KeyError):
        h100.peak_flops("fp2")


def test_a_narrower_format_is_never_slower(catalog: Catalog) -> None:
    for gpu in catalog.gpus:
        rates = [rate for rate in (gpu.bf16_tflops, gpu.fp8_tflops, gpu.fp4_tflops) if rate is not None]
        assert rates == sorted(rates), gpu.gpu
        assert gpu.memory_gib <= gpu.printed_memory_gb, gpu.gpu


def test_a_licence_is_looked_up_on_a_day(catalog: Catalog) -> None:
    llama = catalog.licence("llama-4-community", DAY)
    assert llama is not None
    assert (llama.commercial, llama.confidence) == (Commercial.ALLOWED, Confidence.PRIMARY)
    assert catalog.licence("llama-4-community", date(2025, 1, 1)) is None
    assert catalog.licence("no-such-licence", DAY) is None


def test_the_capacity_of_a_model_is_one_row_for_each_configuration(catalog: Catalog) -> None:
    rows = catalog.capacity_of("gpt-oss-120b", DAY)
    assert len(rows) == len({row.key for row in rows})
    assert {("H200", 1), ("H100", 2), ("H100", 4), ("B200", 1)} <= {(row.gpu, row.num_gpus) for row in rows}
    assert catalog.capacity_of("gpt-oss-120b", date(2020, 1, 1)) == ()
    assert catalog.capacity_of("no-such-model", DAY) == ()


def test_every_measured_capacity_fits_its_gpus_and_says_how_it_was_found(catalog: Catalog) -> None:
    for row in catalog.capacity:
        assert row.relative_error in {Decimal("0.32"), Decimal("0.54")}, row.key
        assert ("not all of them saturated" in row.method) == (row.relative_error > Decimal("0.5")), row.key
        assert row.seconds_per_input_token > 0, row.key
        assert row.seconds_per_output_token > 0, row.key


def test_the_price_of_a_gpu_is_the_cheapest_on_its_terms(catalog: Catalog) -> None:
    prices = {terms: catalog.gpu_usd_per_hour("h200-sxm", terms, DAY) for terms in MachineTerms}
    assert {terms: row.usd_per_hour for terms, row in prices.items() if row is not None} == {
        MachineTerms.ON_DEMAND: Decimal("3.50"),
        MachineTerms.SPOT: Decimal("1.45"),
        MachineTerms.RESERVED: Decimal("1.60"),
        MachineTerms.OWNED: Decimal("1.41"),
    }
    assert catalog.gpu_usd_per_hour("H200", MachineTerms.ON_DEMAND, date(2026, 1, 1)) is None
    assert catalog.gpu_usd_per_hour("TPU", MachineTerms.ON_DEMAND, DAY) is None


def test_ones_own_prices_win_and_simulated_ones_never_count(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    row = (
        "  - {{machine: {0}, description: d, gpu: H200, num_gpus: {1}, usd_per_hour: '{2}', "
        "effective_from: 2026-11-01, checked_on: 2026-11-01, source: '{3}'}}\n"
    )
    contract, made_up = "assumption: our contract", "assumption: simulated"
    rows = [("a", 1, 4, contract), ("b", 1, 5, contract), ("c", 8, 1, contract), ("d", 1, 1, made_up)]
    own.write_text("schema: 1\nrows:\n" + "".join(row.format(*values) for values in rows))
    catalog = load_catalog(extra_machines=own)
    found = catalog.gpu_usd_per_hour("H200", MachineTerms.ON_DEMAND, DAY)
    assert found is not None
    assert found.machine == "a"
    spot = catalog.gpu_usd_per_hour("H200", MachineTerms.SPOT, DAY)
    assert spot is not None
    assert spot.machine == "h200-spot"


@pytest.mark.parametrize(
    ("file", "key", "value", "problem"),
    [
        ("models.yaml", "licence", "my-own", r"models\.yaml: rows\[0\]: there is no licence 'my-own'"),
        ("models.yaml", "base_licence", "my-own", r"models\.yaml: rows\[0\]: there is no licence 'my-own'"),
        ("capacity.yaml", "model", "gpt-9", r"capacity\.yaml: rows\[0\]: there is no model 'gpt-9'"),
        ("capacity.yaml", "gpu", "H900", r"capacity\.yaml: rows\[0\]: there is no GPU 'H900'"),
        ("machines.yaml", "gpu", "H900", r"machines\.yaml: rows\[1\]: there is no GPU 'H900'"),
        ("models.yaml", "also", ["phi-4"], r"models\.yaml: rows\[\d+\]: 'phi-4' is also a name of llama-4-scout"),
        ("gpus.yaml", "also", ["MI 300X"], r"gpus\.yaml: rows\[\d+\]: 'mi300x' is also a name of H100"),
    ],
)
def test_a_row_that_names_nothing_is_refused(tmp_path: Path, file: str, key: str, value: object, problem: str) -> None:
    folder = tmp_path / "data"
    copytree(BOOK_FOLDER, folder)
    content: dict[str, Any] = yaml.safe_load((folder / file).read_text(encoding="utf-8"))
    content["rows"][1 if file == "machines.yaml" else 0][key] = value
    (folder / file).write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        load_catalog(folder)


def test_the_open_model_behind_a_price_is_in_the_catalog(catalog: Catalog) -> None:
    named = {row.open_model for row in catalog.prices.token_prices if row.open_model is not None}
    assert [name for name in sorted(named) if catalog.model(name) is None] == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_experts": 4}, "are given together"),
        ({"num_experts": 4, "expert_intermediate": 8, "num_dense_layers": 0}, "num_active_experts"),
        ({"intermediate": None}, "intermediate is missing"),
        ({"attention": "latent"}, "latent attention, and only it"),
        ({"window_tokens": 128}, "window_tokens and num_window_layers"),
        ({"num_linear_layers": 3}, "fewer layers"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changes: dict[str, object], problem: str) -> None:
    shape = {"num_layers": 2, "hidden": 8, "vocabulary": 16, "num_heads": 2, "num_kv_heads": 1, "head_dim": 4}
    with pytest.raises(ValueError, match=problem):
        Architecture.model_validate({**shape, "intermediate": 16, **changes})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"note": ""}, "says in its note why"), ({"active_parameters_b": "9"}, "more than parameters_b")],
)
def test_a_model_that_cannot_be_is_refused(changes: dict[str, object], problem: str) -> None:
    row = {
        "model": "m", "title": "M", "hub": "o/m", "family": "f", "released": "2026-01", "licence": "mit",
        "context_tokens": 1, "modalities": ["text"], "parameters_b": "8", "active_parameters_b": "8",
        "native_format": "bf16", "effective_from": DAY, "checked_on": DAY, "source": "https://example.org",
        "note": "architecture not confirmed",
    }  # fmt: skip
    assert ModelRow.model_validate(row).architecture is None
    with pytest.raises(ValueError, match=problem):
        ModelRow.model_validate({**row, **changes})


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        ({"fact": "mau", "equals": True}, "asked with `op`, `than`"),
        ({"fact": "mau", "op": ">"}, "asked with `op`, `than`"),
        ({"fact": "offers_maas", "op": ">", "than": "1"}, "asked with `equals`"),
        ({"fact": "country", "equals": True}, "asked with"),
    ],
)
def test_a_question_has_the_form_of_its_fact(test: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        FactTest.model_validate(test)
