"""The script that solves capacity rows prints rows that the catalog takes."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from inhouse.catalog import CapacityRow

SCRIPT = Path(__file__).parents[2] / "scripts" / "solve_capacity.py"
AICONFIGURATOR_HEAD = (
    "id,backend,backend_version,model_path,system,precision,isl,osl,batch_size,tp_size,pp_size,attention_dp_size,"
    "moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms\n"
)


def solve(tmp_path: Path, text: str) -> list[CapacityRow]:
    table = tmp_path / "table.csv"
    table.write_text(text)
    printed = subprocess.run([sys.executable, str(SCRIPT), str(table)], capture_output=True, text=True, check=True)
    return [CapacityRow.model_validate(row) for row in yaml.safe_load(f"rows:\n{printed.stdout}")["rows"] or []]


def test_saturated_points_give_a_row(tmp_path: Path) -> None:
    head = "model,gpu,num_gpus,engine,precision,input_tokens,output_tokens,output_tokens_per_second,source\n"
    place = "gpt-oss-120b,H200,1,TensorRT-LLM,mxfp4"
    (row,) = solve(
        tmp_path,
        head + f"{place},1000,1000,6868,https://example.org\n{place},8192,1024,1828,https://example.org\n"
        "unheard-of,H200,1,e,fp8,1,1,1,https://example.org\n",
    )
    assert 1 / row.seconds_per_input_token == pytest.approx(Decimal(17437), rel=Decimal("0.001"))
    assert (row.relative_error, row.num_points, row.gpu) == (Decimal("0.32"), 2, "H200")


def test_points_of_a_closed_loop_give_a_row_that_says_how_far_it_is_from_saturation(tmp_path: Path) -> None:
    def line(load: int, isl: int, ttft: float, tpot: float, version: str = "0.18.0") -> str:
        return f"x,vllm,{version},openai/gpt-oss-120b,h100_sxm,fp4,{isl},1024,{load},2,1,1,2,1,{ttft},{tpot}\n"

    points = line(32, 1024, 200, 10) + line(16, 1024, 200, 7) + line(64, 8192, 900, 26) + line(8, 8192, 100, 6)
    nightly = line(64, 1024, 200, 10, "nightly-1") + line(64, 8192, 200, 10, "nightly-1")
    (row,) = solve(tmp_path, AICONFIGURATOR_HEAD + points + nightly)
    assert row.key == ("gpt-oss-120b", "H100", "2", "vLLM 0.18.0", "mxfp4")
    assert row.relative_error == Decimal("0.54")
    assert "1024/1024 at 32, 8192/1024 at 64" in row.method
    assert "may serve more" in row.method


def test_points_that_cannot_tell_the_rates_apart_give_no_row(tmp_path: Path) -> None:
    row = "x,vllm,0.18.0,openai/gpt-oss-120b,h100_sxm,fp4,1024,1024,64,2,1,1,2,1,200,10\n"
    table = tmp_path / "table.csv"
    table.write_text(AICONFIGURATOR_HEAD + row)
    printed = subprocess.run([sys.executable, str(SCRIPT), str(table)], capture_output=True, text=True, check=True)
    assert printed.stdout == ""
