"""What must come of each fault, written out: the promise, not what the code happens to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flows.faults.turn import AFTER, BEFORE


class Mode(StrEnum):
    """How the client asks, and what its route says."""

    STREAMED = "streamed"
    UNSTREAMED = "unstreamed"
    BUFFERED = "buffered"
    """A stream on a route that holds answers back until they are complete."""


class Company(StrEnum):
    """Who else could answer."""

    ALONE = "alone"
    SPARE = "spare"
    """The route falls back to a healthy endpoint."""


class Shown(StrEnum):
    """What the client sees."""

    OWN = "the whole answer of the faulty endpoint"
    SPARE = "the whole answer of the spare one"
    ERROR = "an HTTP error of the gateway"
    PASSED = "the endpoint's own 4xx, unchanged"
    BROKEN = "the first part of a stream, then an error event, and no end"


class Money(StrEnum):
    """What the trace says of usage and cost."""

    OWN = "what the faulty endpoint reported, at its price"
    SPARE = "what the spare endpoint reported, at its price"
    ESTIMATED = "an estimate that says so"
    UNKNOWN = "no usage and no cost, never zero"


@dataclass(frozen=True)
class Expected:
    """One cell. `attempts` holds the code of each; `num_asked` counts requests that reached the faulty server."""

    shown: Shown
    status: int
    code: str | None
    attempts: tuple[str | None, ...]
    num_asked: int
    money: Money


@dataclass(frozen=True)
class Row:
    """One fault in some modes. `model` is what makes the fault server do it, where that is not NAME:WHEN alone."""

    fault: str
    when: str
    modes: tuple[Mode, ...]
    alone: Expected
    spare: Expected
    is_silent: bool = False
    """It ends by a deadline, so the deadlines are short; elsewhere they are long and never met."""
    times: int | None = None
    """So many requests are hit, then all is well."""
    has_short_total: bool = False
    """The deadline that ends it is the total one."""

    @property
    def waits(self) -> bool:
        """Whether most of its time is waiting."""
        return self.is_silent or self.times == 1 or self.fault == "slow"


@dataclass(frozen=True)
class Case:
    """One cell of the table, by its place."""

    row: Row
    mode: Mode
    company: Company

    @property
    def expected(self) -> Expected:
        return self.row.alone if self.company is Company.ALONE else self.row.spare

    def __str__(self) -> str:
        return f"{self.row.fault}-{self.row.when}-{self.mode}-{self.company}"


UNREACHABLE, CUT, ERROR = "upstream_unreachable", "upstream_cut", "upstream_error"
TIMEOUT, LIMITED = "upstream_timeout", "upstream_rate_limited"
AUTH, REJECTED = "upstream_auth_failed", "upstream_rejected"
STATUS = {TIMEOUT: 504, LIMITED: 429}
MAX_ATTEMPTS = 4


def answers(*failed: str, money: Money = Money.OWN) -> Expected:
    """The faulty endpoint's own answer, after `failed` attempts at it."""
    return Expected(Shown.OWN, 200, None, (*failed, None), len(failed) + 1, money)


def falls_back(code: str, num_asked: int = 1) -> Expected:
    """The spare endpoint's answer, after one attempt at the faulty one."""
    return Expected(Shown.SPARE, 200, None, (code, None), num_asked, Money.SPARE)


def refuses(
    code: str, attempt: str | None = None, *, num_attempts: int = MAX_ATTEMPTS, num_asked: int = -1
) -> Expected:
    """An HTTP error, after attempts that all failed alike."""
    asked = num_attempts if num_asked < 0 else num_asked
    return Expected(Shown.ERROR, STATUS.get(code, 502), code, (attempt or code,) * num_attempts, asked, Money.UNKNOWN)


def breaks(code: str) -> Expected:
    """A committed stream that ends visibly: no second attempt, no other model."""
    return Expected(Shown.BROKEN, 200, code, (None,), 1, Money.ESTIMATED)


PASSES = Expected(Shown.PASSED, 400, REJECTED, (None,), 1, Money.UNKNOWN)
CUT_FIRST = (refuses(ERROR, CUT), falls_back(CUT))
"""Whoever saw nothing of a cut reply hears of an endpoint that failed; the attempts tell that it was cut."""
BAD_FIRST = (refuses(ERROR), falls_back(ERROR))
LATE_FIRST = (refuses(TIMEOUT), falls_back(TIMEOUT))
GONE_FIRST = (refuses(UNREACHABLE), falls_back(UNREACHABLE))
CUT_LATER = (breaks(CUT), breaks(CUT))
BAD_LATER = (breaks(ERROR), breaks(ERROR))
LATE_LATER = (breaks(TIMEOUT), breaks(TIMEOUT))
ONCE_LATE = refuses(TIMEOUT, num_attempts=1)
ALL = (Mode.STREAMED, Mode.UNSTREAMED, Mode.BUFFERED)
STREAMS = (Mode.STREAMED, Mode.BUFFERED)
STREAMED = (Mode.STREAMED,)
UNSTREAMED = (Mode.UNSTREAMED,)
BUFFERED = (Mode.BUFFERED,)
HELD = (Mode.UNSTREAMED, Mode.BUFFERED)

ROWS = (
    # Nothing wrong, or slow within the deadlines.
    Row("none", BEFORE, ALL, answers(), answers()),
    Row("slow", BEFORE, ALL, answers(), answers()),
    Row("slow", AFTER, STREAMS, answers(), answers()),
    # No connection.
    Row("refused", BEFORE, ALL, refuses(UNREACHABLE, num_asked=0), falls_back(UNREACHABLE, num_asked=0)),
    Row("dns", BEFORE, ALL, refuses(UNREACHABLE, num_asked=0), falls_back(UNREACHABLE, num_asked=0)),
    Row("deaf", BEFORE, ALL, refuses(TIMEOUT, num_asked=0), falls_back(TIMEOUT, num_asked=0), is_silent=True),
    # The connection ends.
    Row("reset", BEFORE, ALL, *GONE_FIRST),
    Row("reset", AFTER, STREAMED, *CUT_LATER),
    Row("reset", AFTER, HELD, *CUT_FIRST),
    Row("close", BEFORE, ALL, *GONE_FIRST),
    Row("cut-between", BEFORE, ALL, *CUT_FIRST),
    Row("cut-between", AFTER, STREAMED, *CUT_LATER),
    Row("cut-between", AFTER, HELD, *CUT_FIRST),
    Row("cut-inside", AFTER, STREAMED, *CUT_LATER),
    Row("cut-inside", AFTER, BUFFERED, *CUT_FIRST),
    # The body ends as HTTP wants; the answer does not.
    Row("end-between", AFTER, STREAMED, *CUT_LATER),
    Row("end-between", AFTER, BUFFERED, *CUT_FIRST),
    Row("end-between", AFTER, UNSTREAMED, *BAD_FIRST),
    Row("end-inside", AFTER, STREAMED, *CUT_LATER),
    Row("end-inside", AFTER, BUFFERED, *CUT_FIRST),
    Row("empty", BEFORE, STREAMS, *CUT_FIRST),
    Row("empty", BEFORE, UNSTREAMED, *BAD_FIRST),
    Row("done-only", BEFORE, STREAMS, *CUT_FIRST),
    # Silence, and what only looks like life.
    Row("hang", BEFORE, ALL, *LATE_FIRST, is_silent=True),
    Row("hang", AFTER, STREAMED, *LATE_LATER, is_silent=True),
    Row("hang", AFTER, HELD, *LATE_FIRST, is_silent=True),
    Row("late", BEFORE, ALL, *LATE_FIRST, is_silent=True),
    Row("ping", BEFORE, STREAMS, *LATE_FIRST, is_silent=True),
    Row("ping", AFTER, STREAMED, *LATE_LATER, is_silent=True),
    Row("ping", AFTER, BUFFERED, *LATE_FIRST, is_silent=True),
    Row("drip", AFTER, STREAMED, *LATE_LATER, is_silent=True, has_short_total=True),
    Row("drip", AFTER, HELD, ONCE_LATE, ONCE_LATE, is_silent=True, has_short_total=True),
    # HTTP errors.
    Row("429", BEFORE, ALL, answers(LIMITED), falls_back(LIMITED), times=1),
    Row("429-long", BEFORE, ALL, refuses(LIMITED, num_attempts=1), falls_back(LIMITED)),
    Row("429-bare", BEFORE, ALL, refuses(LIMITED), falls_back(LIMITED)),
    Row("500", BEFORE, ALL, *BAD_FIRST),
    Row("503", BEFORE, ALL, answers(ERROR, ERROR), falls_back(ERROR), times=2),
    Row("401", BEFORE, ALL, refuses(AUTH, num_attempts=1), falls_back(AUTH)),
    Row("400", BEFORE, ALL, PASSES, PASSES),
    Row("context", BEFORE, ALL, PASSES, falls_back(REJECTED)),
    # A 200 that is no answer.
    Row("html", BEFORE, ALL, *BAD_FIRST),
    Row("other-mode", BEFORE, ALL, *BAD_FIRST),
    Row("malformed", BEFORE, STREAMS, *BAD_FIRST),
    Row("malformed", AFTER, STREAMED, *BAD_LATER),
    Row("malformed", AFTER, BUFFERED, *BAD_FIRST),
    Row("garbage", BEFORE, STREAMS, *CUT_FIRST),
    Row("error", BEFORE, ALL, *BAD_FIRST),
    Row("error", AFTER, STREAMED, *BAD_LATER),
    Row("error", AFTER, BUFFERED, *BAD_FIRST),
    Row("error-done", BEFORE, STREAMS, *BAD_FIRST),
    Row("error-done", AFTER, STREAMED, *BAD_LATER),
    Row("error-done", AFTER, BUFFERED, *BAD_FIRST),
    Row("oversized", BEFORE, ALL, *BAD_FIRST),
    Row("oversized", AFTER, STREAMED, *BAD_LATER),
    Row("oversized", AFTER, BUFFERED, *BAD_FIRST),
    # Bytes that are no HTTP.
    Row("long-head", BEFORE, ALL, *BAD_FIRST),
    Row("not-http", BEFORE, ALL, *BAD_FIRST),
    Row("bad-framing", AFTER, STREAMED, *BAD_LATER),
    Row("bad-framing", AFTER, HELD, *BAD_FIRST),
    # A whole answer that nobody counted.
    Row("no-usage", BEFORE, ALL, answers(money=Money.UNKNOWN), answers(money=Money.UNKNOWN)),
)

CASES = tuple(Case(row, mode, company) for row in ROWS for mode in row.modes for company in Company)

NOT_YET: frozenset[str] = frozenset()
"""Cells that the gateway does not keep yet, as `FAULT-WHEN-MODE-COMPANY`; each fails when it begins to hold."""
