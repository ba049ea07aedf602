"""The pages and their files: asks the admin service, renders templates. No logic, no writes, no outside addresses."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import cast

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from inhouse.console.formats import FILTERS
from inhouse.console.traceview import BAR_WIDTH, list_time_parts, list_trace_signals, list_usage
from inhouse.control import Admin, Status, admin_of
from inhouse.domain import InhouseError, TraceStatus
from inhouse.evals import RunSummary
from inhouse.store import EvalRunRow

NUM_TRACES = 20
NUM_EVALS = 10

_STATIC_TYPES = {"console.css": "text/css", "console.js": "text/javascript", "favicon.svg": "image/svg+xml"}
_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("inhouse.console"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
cast("dict[str, Callable[..., str]]", _TEMPLATES.filters).update(FILTERS)


def build_routes() -> list[BaseRoute]:
    """The console's routes, for `ControlRun.extra_routes`: `/`, `/traces/ID`, `/evals/ID` and the static files."""
    return [
        Route("/", _show_status),
        Route("/fragments/status", _show_status_fragment),
        Route("/traces/{trace_id}", _show_trace),
        Route("/evals/{run_id}", _show_eval),
        *(Route(f"/static/{name}", _serve_file(name, kind)) for name, kind in _STATIC_TYPES.items()),
        Route("/{rest:path}", _show_unknown),
    ]


def _serve_file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """A handler that gives one file of the package from memory; browsers ask again each time, so upgrades show."""
    body = (resources.files("inhouse.console") / "static" / name).read_bytes()

    async def serve(_request: Request) -> Response:
        return Response(body, headers={"cache-control": "no-cache"}, media_type=media_type)

    return serve


async def _show_status(request: Request) -> Response:
    return _render("status.html", 200, await _collect_status(admin_of(request)))


async def _show_status_fragment(request: Request) -> Response:
    return _render("status_body.html", 200, await _collect_status(admin_of(request)))


async def _collect_status(admin: Admin) -> dict[str, object]:
    status = await admin.get_status()
    try:
        traces, runs = await admin.list_traces(NUM_TRACES), await admin.list_eval_runs(NUM_EVALS)
    except InhouseError:
        # The status says itself that the store does not answer.
        traces, runs = None, None
    return {
        "status": status,
        "traces": traces,
        "evals": None if runs is None else [(run, read_summary(run)) for run in runs],
        "example": write_example(status),
        "eval_example": write_eval_example(status),
    }


async def _show_trace(request: Request) -> Response:
    try:
        trace = await admin_of(request).get_trace(request.path_params["trace_id"])
    except InhouseError as error:
        return _render_message(503, "The store does not answer", str(error))
    if trace is None:
        words = "A request shows up about a second after it began. Old traces go when their retention ends."
        return _render_message(404, "There is no such trace", words)
    context: dict[str, object] = {
        "trace": trace,
        "parts": list_time_parts(trace.close),
        "bar_width": BAR_WIDTH,
        "usage": list_usage(trace),
        "signals": list_trace_signals(trace),
        "is_under_way": trace.status is TraceStatus.OPEN,
    }
    return _render("trace.html", 200, context)


async def _show_eval(request: Request) -> Response:
    try:
        run = await admin_of(request).get_eval_run(request.path_params["run_id"])
    except InhouseError as error:
        return _render_message(503, "The store does not answer", str(error))
    if run is None:
        return _render_message(
            404, "There is no such evaluation run", "`inhouse eval list` shows those that there are."
        )
    return _render("eval.html", 200, {"run": run, "summary": read_summary(run)})


async def _show_unknown(_request: Request) -> Response:
    return _render_message(404, "There is no such page", "The status page shows everything there is.")


def read_summary(run: EvalRunRow) -> RunSummary | None:
    """A finished run's metrics; None where it has none, or wrote them in a form that this version does not read."""
    if run.summary is None:
        return None
    try:
        return msgspec.convert(run.summary, RunSummary)
    except msgspec.ValidationError:
        return None


def write_example(status: Status) -> str:
    """A shell command that sends a first request to the first route; in observe mode, what clients are pointed with."""
    if status.snapshot is not None and status.snapshot.observing is not None:
        return "\n".join(
            f"export {name}={shlex.quote(status.gateway_url + path)}   # undo: unset {name}"
            for name, path in (("OPENAI_BASE_URL", "/v1"), ("ANTHROPIC_BASE_URL", ""))
        )
    route = status.routes[0].name if status.routes else "ROUTE"
    body = msgspec.json.encode({"model": route, "messages": [{"role": "user", "content": "Hello"}]}).decode()
    lines = [f"curl {shlex.quote(status.gateway_url + '/v1/chat/completions')}", "-H 'content-type: application/json'"]
    if status.snapshot is None or not status.snapshot.is_open:
        lines.append('-H "authorization: Bearer $INHOUSE_KEY"')
    return " \\\n  ".join([*lines, f"-d {shlex.quote(body)}"])


def write_eval_example(status: Status) -> str:
    """A shell command that measures the first route's first endpoint."""
    route = status.routes[0] if status.routes else None
    endpoint = route.variants[0].endpoint_id if route and route.variants else "ENDPOINT"
    return f"inhouse eval run {shlex.quote(route.name if route else 'ROUTE')} --on {shlex.quote(endpoint)}"


def _render_message(status: int, title: str, words: str) -> Response:
    return _render("message.html", status, {"title": title, "words": words})


def _render(template: str, status: int, context: Mapping[str, object]) -> Response:
    text = _TEMPLATES.get_template(template).render(context)
    return HTMLResponse(text, status, {"cache-control": "no-store"})
