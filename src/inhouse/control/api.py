"""The admin API: maps paths to the admin service and its answers to JSON. Decides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from inhouse.control.admin import Admin, hide_secrets
from inhouse.control.guard import Guard
from inhouse.domain import InhouseError, Trace, TraceStatus
from inhouse.store import StoreUnavailableError

MAX_LIMIT = 1000
_DEFAULT_LIMIT = 50

Handler = Callable[[Request], Awaitable[Response]]


class ApiError(Exception):
    """A request that is answered with an error: status, stable code, words with the fix."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


def build_app(admin: Admin, extra_routes: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The admin application behind its guard.

    Args:
        admin: the service; handlers of `extra_routes` get it by `admin_of(request)`.
        extra_routes: pages and static files, matched after the API.
    """
    app = Starlette(
        routes=[*_ROUTES, *extra_routes], exception_handlers={HTTPException: _answer_http_error, 500: _answer_crash}
    )
    app.state.admin = admin
    return Guard(app)


def admin_of(request: Request) -> Admin:
    """The admin service that a request is answered from."""
    admin = request.app.state.admin
    if not isinstance(admin, Admin):
        raise TypeError("the application was not made by build_app")
    return admin


def read_limit(request: Request, default: int = _DEFAULT_LIMIT) -> int:
    """The query's `limit`.

    Raises:
        ApiError: it is no number from 1 to 1000.
    """
    text = request.query_params.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= MAX_LIMIT):
        raise ApiError(
            400, "invalid_parameter", f"`limit` is {text[:20]!r}. Give a whole number from 1 to {MAX_LIMIT}."
        )
    return int(text)


def read_status_filter(request: Request) -> TraceStatus | None:
    """The query's `status`; None where not given.

    Raises:
        ApiError: it is no status of a trace.
    """
    text = request.query_params.get("status")
    if text is None:
        return None
    try:
        return TraceStatus(text)
    except ValueError:
        known = ", ".join(TraceStatus)
        raise ApiError(400, "invalid_parameter", f"`status` is {text[:20]!r}. Give one of {known}.") from None


def _answers_errors(handler: Handler) -> Handler:
    """Turn the errors that a handler may raise into the API's error form."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as error:
            return _reply_error(error.status, error.code, str(error))
        except StoreUnavailableError as error:
            return _reply_error(503, "store_unavailable", str(error))
        except InhouseError as error:
            return _reply_error(500, "store_error", str(error))

    return answer


@_answers_errors
async def _get_healthz(request: Request) -> Response:
    observed = admin_of(request).observed
    snapshot = observed.snapshot
    return _reply(
        {
            "status": "ok" if snapshot and not observed.store_problem and not observed.file_problem else "degraded",
            "snapshot_version": snapshot.version if snapshot else None,
            "problems": [problem for problem in (observed.store_problem, observed.file_problem) if problem],
        }
    )


@_answers_errors
async def _get_status(request: Request) -> Response:
    return _reply(await admin_of(request).get_status())


@_answers_errors
async def _get_snapshot(request: Request) -> Response:
    snapshot = admin_of(request).observed.snapshot
    if snapshot is None:
        raise ApiError(
            404, "no_snapshot", "There is no snapshot yet. See the log of the control process for the reason."
        )
    return _reply(hide_secrets(snapshot))


@_answers_errors
async def _get_traces(request: Request) -> Response:
    route = request.query_params.get("route")
    traces = await admin_of(request).list_traces(read_limit(request), route, read_status_filter(request))
    return _reply({"traces": [_show_trace(trace) for trace in traces]})


@_answers_errors
async def _get_trace(request: Request) -> Response:
    trace_id = request.path_params["trace_id"]
    trace = await admin_of(request).get_trace(trace_id)
    if trace is None:
        text = "There is no trace of this id. A request shows up about a second after it began: look at /api/traces."
        raise ApiError(404, "not_found", text)
    return _reply(_show_trace(trace))


@_answers_errors
async def _get_evals(request: Request) -> Response:
    return _reply({"runs": await admin_of(request).list_eval_runs(read_limit(request))})


@_answers_errors
async def _get_eval(request: Request) -> Response:
    run = await admin_of(request).get_eval_run(request.path_params["run_id"])
    if run is None:
        raise ApiError(404, "not_found", "There is no evaluation run of this id. Look at /api/evals.")
    return _reply(run)


@_answers_errors
async def _get_unknown(request: Request) -> Response:
    known = ", ".join(route.path for route in _ROUTES[:-1])
    raise ApiError(404, "unknown_path", f"{request.scope['path']} is no path of the admin API. Known: {known}.")


def _show_trace(trace: Trace) -> dict[str, object]:
    return {
        "trace_id": trace.open.trace_id,
        "status": trace.status,
        "open": trace.open,
        "close": trace.close,
    }


def _reply(value: object, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def _reply_error(status: int, code: str, message: str) -> Response:
    return _reply({"error": {"message": message, "code": code}}, status)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _reply_error(
        status, "unknown_path", "There is nothing here. Open / for the status page, or see /api/status."
    )


async def _answer_crash(_request: Request, _error: Exception) -> Response:
    text = "The admin API failed on this request. The control process's log holds the details."
    return _reply_error(500, "internal_error", text)


_ROUTES = [
    Route("/api/healthz", _get_healthz),
    Route("/api/status", _get_status),
    Route("/api/snapshot", _get_snapshot),
    Route("/api/traces", _get_traces),
    Route("/api/traces/{trace_id}", _get_trace),
    Route("/api/evals", _get_evals),
    Route("/api/evals/{run_id}", _get_eval),
    Route("/api/{rest:path}", _get_unknown),
]
