"""The error tree and the stable wire codes. What an error means to a client is decided here, how it is sent is not.

InhouseError
├── ConfigError              a file, value or environment variable that the user must mend (exit code 2)
├── StateError               the state folder or store is not as needed (exit code 3)
├── EndpointError            a call to an endpoint failed; carries the wire code that a client would see
└── RequestError             a client's request is refused; carries status, code and the words
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable `error.code` values of the data port; each has a heading in docs/reference/errors.md."""

    INVALID_REQUEST = "invalid_request"
    INVALID_JSON = "invalid_json"
    MISSING_FIELD = "missing_field"
    UNSUPPORTED_HTTP = "unsupported_http"
    MISSING_API_KEY = "missing_api_key"
    INVALID_API_KEY = "invalid_api_key"
    ROUTE_NOT_ALLOWED = "route_not_allowed"
    PIN_NOT_ALLOWED = "pin_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    TRACE_NOT_FOUND = "trace_not_found"
    RESPONSE_NOT_FOUND = "response_not_found"
    UNKNOWN_PATH = "unknown_path"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    REQUEST_TOO_LARGE = "request_too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    NO_CANDIDATE = "no_candidate"
    OVERLOADED = "overloaded"
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    UPSTREAM_REJECTED = "upstream_rejected"
    UPSTREAM_AUTH_FAILED = "upstream_auth_failed"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_CUT = "upstream_cut"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    STORE_UNAVAILABLE = "store_unavailable"
    SHUTTING_DOWN = "shutting_down"
    INTERNAL_ERROR = "internal_error"


class InhouseError(Exception):
    """Every error that inhouse raises on purpose."""


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Where a configuration value stands: file, 1-based line (None where unknown) and dotted path."""

    file: str
    line: int | None = None
    path: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.path}" if self.path else place


class ConfigError(InhouseError):
    """A file, value or variable that the user must mend.

    Args:
        problem: what is wrong, one sentence.
        fix: what to do about it, one sentence in the imperative.
        location: file, line and path of the value, where known.
    """

    def __init__(self, problem: str, *, fix: str, location: SourceLocation | None = None) -> None:
        self.problem = problem
        self.fix = fix
        self.location = location
        super().__init__(f"{location}: {problem} Fix: {fix}" if location else f"{problem} Fix: {fix}")


class StateError(InhouseError):
    """The state folder or the store is not as it must be (in use, newer schema, not started)."""

    def __init__(self, problem: str, *, fix: str) -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(f"{problem} Fix: {fix}")


class EndpointError(InhouseError):
    """A call to an endpoint failed.

    Args:
        code: the wire code that a client would see for it.
        message: what happened, without content or secrets.
        status: the upstream's HTTP status, None where there was no answer.
        retry_after_s: what the upstream asked for, None where it did not.
        is_retryable: whether another replica or endpoint may be tried (before the commit point only).
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        is_retryable: bool = True,
    ) -> None:
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s
        self.is_retryable = is_retryable
        super().__init__(message)


class RequestError(InhouseError):
    """A client's request is refused before anything was sent upstream.

    Args:
        status: HTTP status to answer with.
        code: stable wire code.
        message: words for an application developer, naming the fix.
        param: the request field at fault, None where there is none.
    """

    def __init__(self, status: int, code: ErrorCode, message: str, *, param: str | None = None) -> None:
        self.status = status
        self.code = code
        self.param = param
        super().__init__(message)


ERROR_TYPES: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    431: "invalid_request_error",
    500: "server_error",
    502: "upstream_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""HTTP status → `error.type`, the field that OpenAI's SDKs show beside the code."""


ERROR_HELP: dict[ErrorCode, str] = {
    ErrorCode.INVALID_REQUEST: "A field has a wrong type or value; `param` names it. Mend the request.",
    ErrorCode.INVALID_JSON: "The body is not JSON, or nests too deep; the message says where. Mend the request.",
    ErrorCode.MISSING_FIELD: "A field that the API requires is not there; `param` names it.",
    ErrorCode.UNSUPPORTED_HTTP: "The bytes are not HTTP that the data port accepts (conflicting lengths, folded "
    "headers, unknown transfer coding). The connection is closed. Use an ordinary HTTP/1.1 client.",
    ErrorCode.MISSING_API_KEY: "No `Authorization: Bearer KEY` header came. Set the client's `api_key`.",
    ErrorCode.INVALID_API_KEY: "The key is not one of this installation. Check that the client sends the right one.",
    ErrorCode.ROUTE_NOT_ALLOWED: "The key is limited to other routes. Ask the platform's owner to add this one to it.",
    ErrorCode.PIN_NOT_ALLOWED: "`x-inhouse-endpoint` came with a key that may not pin; only the evaluation key may.",
    ErrorCode.MODEL_NOT_FOUND: "No route has this name. `GET /v1/models` lists the names that the key may use.",
    ErrorCode.TRACE_NOT_FOUND: "The key has no request of this trace id (or it is older than what is kept).",
    ErrorCode.RESPONSE_NOT_FOUND: "The key has no stored response of this id: it was never stored, has expired, or was "
    "deleted.",
    ErrorCode.UNKNOWN_PATH: "The data port has no such path. The message lists those that it has.",
    ErrorCode.METHOD_NOT_ALLOWED: "The path exists, but not with this method; the `allow` header says which.",
    ErrorCode.REQUEST_TIMEOUT: "The request's headers or body came too slowly. Send it again on a better connection.",
    ErrorCode.REQUEST_TOO_LARGE: "The body is over `gateway.limits.max_body_bytes`. Send less, or raise the limit.",
    ErrorCode.HEADERS_TOO_LARGE: "The headers are over `gateway.limits.max_header_bytes`. Send fewer or shorter ones.",
    ErrorCode.NO_CANDIDATE: "No variant of the route may or can serve this request; the message says why.",
    ErrorCode.OVERLOADED: "The gateway has as many connections as it admits. Retry after a pause.",
    ErrorCode.UPSTREAM_RATE_LIMITED: "Every candidate asked to slow down. Honour `retry-after`.",
    ErrorCode.UPSTREAM_REJECTED: "The endpoint refused the request as it stands (a 4xx of its own).",
    ErrorCode.UPSTREAM_AUTH_FAILED: "The endpoint refused the platform's own credential. The owner must mend its key.",
    ErrorCode.UPSTREAM_UNREACHABLE: "No candidate could be connected to. `inhouse status` shows the replicas.",
    ErrorCode.UPSTREAM_ERROR: "Every candidate failed, or answered with something that is not a reply.",
    ErrorCode.UPSTREAM_CUT: "The endpoint ended its reply before it was complete. In a stream this comes as an error "
    "event, and no `[DONE]` follows. What arrived is not a full answer: retry.",
    ErrorCode.UPSTREAM_TIMEOUT: "A deadline of `gateway.timeouts` passed; the message says which.",
    ErrorCode.STORE_UNAVAILABLE: "Kept responses cannot be reached now, because the store does not answer. Nothing was "
    "sent; retry, or send the whole conversation as `input`.",
    ErrorCode.SHUTTING_DOWN: "The gateway is stopping. Retry; another worker or the next start serves.",
    ErrorCode.INTERNAL_ERROR: "A fault of the gateway itself. The log has it under the trace id.",
}
"""What each code means to an application developer, and what to do."""
