"""Scene 3: uniform Q2_K against F16 on the suite: the paired loss, the task where it happens, two flipped answers."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from inhouse.backends import HttpClient
from inhouse.cli.evals_view import render_comparison
from inhouse.cli.scenes.stage import Stage
from inhouse.evals import (
    AllowedLoss,
    EvalPlan,
    EvalRun,
    GatewayChat,
    compare_runs,
    load_suite,
    run_suite,
)
from inhouse.evals import Progress as RunProgress

_BASELINE = "clerk"
_CANDIDATE = "clerk-q2k"


async def show_quantization(stage: Stage) -> None:
    """Evaluate both engines at the same time, through the gateway, and compare sample by sample."""
    stage.title(3, "Would a smaller quantization do? Uniform Q2_K against F16, sample by sample")
    suite = load_suite("builtin:tickets")
    stage.status(f"{len(suite.samples)} samples on each through the gateway, every answer stored and scored")
    started_at = time.monotonic()
    platform = stage.platform
    async with aclosing(HttpClient()) as http:
        chat = GatewayChat(platform.addresses.local_url, platform.state.read_eval_key(), http)
        with Progress(
            TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), console=stage.console, transient=True
        ) as progress:

            async def run(endpoint: str) -> EvalRun:
                bar = progress.add_task(endpoint, total=len(suite.samples))

                def show(now: RunProgress) -> None:
                    progress.update(bar, completed=now.num_done)

                plan = EvalPlan(suite=suite, endpoint_id=endpoint, concurrency=4)
                return await run_suite(plan, client=chat, store=platform.store, on_progress=show)

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run(endpoint)) for endpoint in (_BASELINE, _CANDIDATE)]
    before, after = (task.result() for task in tasks)
    comparison = compare_runs(
        platform.store, before.row.run_id, after.row.run_id, allowed=AllowedLoss(worse_answers=0.05)
    )
    stage.print(render_comparison(comparison, num_flips=2))
    worst = min(comparison.tasks, key=lambda row: row.result.difference if row.result else 0.0)
    if worst.result is not None:
        stage.print(
            f"{stage.tag(is_simulated=False)}  the loss sits in [bold]{worst.name}[/]: {worst.result.num_lost} lost, "
            f"{worst.result.num_won} won of {worst.result.n}; {2 * len(suite.samples)} answers in "
            f"{time.monotonic() - started_at:.1f} s"
        )
    stage.require(before.summary.num_errors == 0, f"{before.summary.num_errors} answers of {_BASELINE} failed")
    stage.require(after.summary.num_errors == 0, f"{after.summary.num_errors} answers of {_CANDIDATE} failed")
