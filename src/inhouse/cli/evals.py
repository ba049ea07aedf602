"""`inhouse eval`: run a suite on one endpoint or on two, compare stored runs, list them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inhouse.backends import HttpClient
from inhouse.cli.config import Configuration
from inhouse.cli.evals_view import render_comparison, render_run, render_runs
from inhouse.cli.installation import DEFAULT_FILE, ConfigOption, Installation, JsonOption, open_installation
from inhouse.cli.terminal import ExitCode, err, out, print_json
from inhouse.domain import ConfigError
from inhouse.evals import (
    AllowedLoss,
    Comparison,
    EvalPlan,
    EvalRun,
    GatewayChat,
    Suite,
    VerdictKind,
    compare_runs,
    load_suite,
    resume_run,
    run_suite,
    take_per_task,
    to_jsonable,
)
from inhouse.evals import Progress as RunProgress

eval_app = typer.Typer(help="Evaluate endpoints on your own suites.", no_args_is_help=True)

BaselineOption = Annotated[str | None, typer.Option("--against", help="Compare with this endpoint, sample by sample.")]
LossOption = Annotated[float | None, typer.Option(min=0.0001, max=0.9999, help="Allowed loss as a share, e.g. 0.05.")]


@dataclass(frozen=True, slots=True)
class _Job:
    """What a command was asked for, resolved."""

    suite: Suite
    allowed: AllowedLoss | None
    concurrency: int
    num_epochs: int


@eval_app.command("run")
def run_evaluation(
    suite: Annotated[str, typer.Argument(help="A suite file, `builtin:tickets`, or a route (its own suite).")],
    endpoint: Annotated[str, typer.Option("--on", help="Endpoint to evaluate: a deployment, or PROVIDER/MODEL.")],
    against: BaselineOption = None,
    allowed_loss: LossOption = None,
    per_task: Annotated[int | None, typer.Option(min=1, help="Only the first N samples of each task.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Requests under way at once.")] = 8,
    epochs: Annotated[int, typer.Option(min=1, max=100, help="Repetitions of each sample.")] = 1,
    file: ConfigOption = DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """Run a suite through the gateway, store every answer, and show scores with intervals.

    With --against both are run and compared in pairs. Exit code 1 where the verdict is `not approved` or
    `not enough data`, or where no request got an answer.
    """
    with open_installation(file) as installation:
        configuration = installation.configuration
        job = _resolve(configuration, suite, allowed_loss, per_task, concurrency, epochs)
        names = [against, endpoint] if against else [endpoint]
        for name in names:
            _require_endpoint(configuration, name)
        runs = asyncio.run(_run_all(installation, job, names))
        comparison = _compare(installation, runs, job) if against else None
    if as_json:
        print_json({"runs": [to_jsonable(run) for run in runs], "comparison": comparison and to_jsonable(comparison)})
    else:
        for run in runs:
            out.print(render_run(run))
            out.print()
        if comparison is not None:
            out.print(render_comparison(comparison))
    _exit_unless_good(runs, comparison)


@eval_app.command("resume")
def resume_evaluation(
    run_id: Annotated[str, typer.Argument(help="A run that was stopped before its end.")],
    file: ConfigOption = DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """Take up a run that was interrupted: stored answers stay, the rest is asked."""
    with open_installation(file) as installation:
        run = asyncio.run(_resume(installation, run_id))
    if as_json:
        print_json(to_jsonable(run))
    else:
        out.print(render_run(run))
    _exit_unless_good([run], None)


@eval_app.command("list")
def list_evaluations(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 20,
    file: ConfigOption = DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """List stored runs, newest first."""
    with open_installation(file) as installation:
        rows = installation.store.evals.list_runs(limit=limit)
    if as_json:
        print_json([{name: getattr(row, name) for name in row.__struct_fields__ if name != "config"} for row in rows])
    elif rows:
        out.print(render_runs(rows))
    else:
        out.print("no evaluation runs yet: `inhouse eval run builtin:tickets --on ENDPOINT`")


@eval_app.command("compare")
def compare_evaluations(
    baseline: Annotated[str, typer.Argument(help="Run of what serves now.")],
    candidate: Annotated[str, typer.Argument(help="Run of what may take its place.")],
    allowed_loss: LossOption = None,
    flips: Annotated[int, typer.Option(min=0, max=1000, help="Lost answers to show.")] = 2,
    file: ConfigOption = DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """Compare two stored runs of one suite in pairs; asks no endpoint."""
    allowed = AllowedLoss(worse_answers=allowed_loss) if allowed_loss else None
    with open_installation(file) as installation:
        comparison = compare_runs(installation.store, baseline, candidate, allowed=allowed)
    if as_json:
        print_json(to_jsonable(comparison))
    else:
        out.print(render_comparison(comparison, num_flips=flips))
    _exit_unless_good([], comparison)


def _resolve(
    configuration: Configuration,
    suite: str,
    allowed_loss: float | None,
    per_task: int | None,
    concurrency: int,
    epochs: int,
) -> _Job:
    route = configuration.settings.routes.get(suite)
    allowed = AllowedLoss(worse_answers=allowed_loss) if allowed_loss else None
    if route is not None:
        if route.suite is None:
            raise ConfigError(
                f"the route {suite!r} has no suite.",
                fix="Add `suite: FILE` to it, or name a suite file.",
                location=configuration.locate(("routes", suite)),
            )
        if allowed is None and route.allowed_loss is not None:
            wanted = route.allowed_loss
            allowed = AllowedLoss(worse_answers=float(wanted.worse_answers), confidence=float(wanted.confidence))
        is_builtin = route.suite.startswith("builtin:")
        suite = route.suite if is_builtin else str(configuration.folder / route.suite)
    loaded = load_suite(suite)
    return _Job(take_per_task(loaded, per_task) if per_task else loaded, allowed, concurrency, epochs)


def _require_endpoint(configuration: Configuration, name: str) -> None:
    settings = configuration.settings
    known = list(settings.deployments)
    known += [f"{provider}/{model}" for provider, value in settings.providers.items() for model in value.models]
    if name not in known:
        raise ConfigError(f"there is no endpoint {name!r}.", fix=f"Use one of: {', '.join(known)}.")


async def _run_all(installation: Installation, job: _Job, names: list[str]) -> list[EvalRun]:
    async with _chat(installation) as chat:
        runs: list[EvalRun] = []
        for name in names:
            with _new_progress() as progress:
                plan = EvalPlan(
                    suite=job.suite, endpoint_id=name, concurrency=job.concurrency, num_epochs=job.num_epochs
                )
                show = _Follower(progress, name)
                runs.append(await run_suite(plan, client=chat, store=installation.store, on_progress=show))
        return runs


async def _resume(installation: Installation, run_id: str) -> EvalRun:
    async with _chat(installation) as chat:
        with _new_progress() as progress:
            return await resume_run(
                run_id, client=chat, store=installation.store, on_progress=_Follower(progress, run_id)
            )


@asynccontextmanager
async def _chat(installation: Installation) -> AsyncGenerator[GatewayChat]:
    async with aclosing(HttpClient()) as http:
        address = installation.state.read_addresses().local_url
        yield GatewayChat(address, installation.state.read_eval_key(), http)


def _new_progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )


class _Follower:
    """Shows a run's progress: how far, how fast, how many failed, the mean so far."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None, facts="")

    def __call__(self, now: RunProgress) -> None:
        facts = [f"{now.rate_per_s:.0f}/s"] if now.rate_per_s else []
        facts += [f"mean {now.mean:.1%}"] if now.mean is not None else []
        facts += [f"[red]{now.num_errors} failed[/]"] if now.num_errors else []
        self._progress.update(self._task, completed=now.num_done, total=now.num_total, facts="  ".join(facts))


def _compare(installation: Installation, runs: list[EvalRun], job: _Job) -> Comparison:
    baseline, candidate = runs
    return compare_runs(installation.store, baseline.row.run_id, candidate.row.run_id, allowed=job.allowed)


def _exit_unless_good(runs: list[EvalRun], comparison: Comparison | None) -> None:
    if any(run.summary.num_errors == run.summary.num_outputs for run in runs):
        raise typer.Exit(ExitCode.FAILED)
    verdict = comparison.verdict if comparison else None
    if verdict is not None and verdict.kind is not VerdictKind.APPROVED:
        raise typer.Exit(ExitCode.FAILED)
