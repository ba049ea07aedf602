"""`inhouse eval` against a whole installation: real answers, stored, compared in pairs, with exit codes."""

import json
import os
import subprocess
import sys

import pytest

from flows.installation import KEY, Running

pytestmark = pytest.mark.engine


def run_eval(installation: Running, *arguments: str) -> tuple[int, str, str]:
    command = [
        sys.executable,
        "-m",
        "inhouse.cli.app",
        "eval",
        *arguments,
        "-c",
        str(installation.folder / "inhouse.yaml"),
    ]
    environment = {**os.environ, "FLOW_KEY": KEY, "FLAKY_URL": "http://127.0.0.1:9/v1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def test_two_endpoints_are_compared_in_pairs_and_the_worse_one_is_not_approved(installation: Running) -> None:
    code, out, _ = run_eval(
        installation, "run", "builtin:tickets", "--on", "clerk", "--against", "paid/mid", "--per-task", "30",
        "--allowed-loss", "0.05", "--json",
    )  # fmt: skip

    found = json.loads(out)
    baseline, candidate = found["runs"]
    tasks = {row["name"]: row for row in found["comparison"]["tasks"]}
    assert code == 1
    assert found["comparison"]["verdict"]["kind"] == "not approved"
    assert (baseline["row"]["is_simulated"], candidate["row"]["is_simulated"]) == (True, False)
    assert candidate["row"]["endpoint_digest"].startswith("sha256:")
    assert tasks["reasoning"]["result"]["num_lost"] >= 10
    assert tasks["extract"]["result"]["num_lost"] <= 3
    assert candidate["summary"]["num_errors"] == 0
    assert candidate["summary"]["ttft"]["n"] == 180
    assert candidate["summary"]["cost"]["num_unpriced"] == 0


def test_runs_are_listed_with_what_is_simulated_and_traffic_is_not_live(installation: Running) -> None:
    run_eval(installation, "run", "builtin:tickets", "--on", "paid/mid", "--per-task", "2")

    code, out, _ = run_eval(installation, "list")

    line = next(line for line in out.splitlines() if "paid/mid" in line)
    assert code == 0
    assert "simulated" in line
    assert "complete" in line
    assert all(trace.open.is_eval for trace in installation.store.traces.list(5, is_eval=True))
    assert not any(trace.open.is_eval for trace in installation.store.traces.list(500, is_eval=False))
