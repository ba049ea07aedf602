"""The storm's application tells a whole answer from an error, a hang, and a cut that looks whole."""

from __future__ import annotations

import asyncio
import sys

import msgspec
import pytest

from flows.faults.fault_server import FaultServer
from inhouse.cli.storm_job import Ending, StormJob, StormResult


@pytest.mark.parametrize(
    ("model", "ending"),
    [
        ("tiny", Ending.FULL),
        ("fault:400:before", Ending.ERROR),
        ("fault:cut-inside:after", Ending.ERROR),
        ("fault:end-between:after", Ending.CUT),
        ("fault:hang:before", Ending.HUNG),
        ("fault:hang:after", Ending.HUNG),
    ],
)
async def test_every_ending_is_told(model: str, ending: Ending) -> None:
    async with FaultServer() as server:
        job = StormJob(
            base_url=server.base_url, key="k", model=model, prompts=("a", "b"), num_at_once=2, patience_s=1.0
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "inhouse.cli.storm_app", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate(msgspec.json.encode(job) + b"\n")
    assert process.returncode == 0
    results = msgspec.json.decode(output, type=list[StormResult])
    assert [result.ending for result in results] == [ending, ending]
    assert all((result.error is not None) == (ending is Ending.ERROR) for result in results)
