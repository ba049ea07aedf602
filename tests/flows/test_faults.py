"""Every fault of an endpoint ends as promised: the full answer or a visible error, and trace and money are right.

What is promised stands in flows/faults/table.py, cell by cell.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import openai
import pytest
import uvloop

from flows.faults.drive import OWN_PRICE, SPARE_ANSWER, SPARE_PRICE, Seen, play
from flows.faults.fault_server import OWN_ANSWER
from flows.faults.kinds import LONG_RETRY_AFTER_S, OVERSIZED_BYTES, RETRY_AFTER_S
from flows.faults.table import CASES, LIMITED, NOT_YET, Case, Company, Mode, Money, Shown
from flows.faults.wire import OPENAI, Answer
from inhouse.domain import PriceVector, TraceClose, TraceStatus, Usage, UsageBasis
from inhouse.gateway import attempt

NUM_AT_ONCE = 12
TICK_S = 0.02
PAUSE_S = 0.1
"""A quarter of the shortest deadline (`drive.SHORT`)."""
MAX_PLAYS = 4
"""A case that fell into a pause is played again; the last time counts, whatever it fell into."""
LOOP_TICK_S = 0.005
"""The loop's clock counts in milliseconds, so a wait may end by a part of one early."""
STATUS = {
    Shown.OWN: TraceStatus.COMPLETE,
    Shown.SPARE: TraceStatus.COMPLETE,
    Shown.ERROR: TraceStatus.FAILED,
    Shown.PASSED: TraceStatus.FAILED,
    Shown.BROKEN: TraceStatus.ABORTED,
}
ANSWERS = {Shown.OWN: OWN_ANSWER, Shown.SPARE: SPARE_ANSWER}
PARAMS = [
    pytest.param(case, id=str(case), marks=[pytest.mark.xfail(reason="not kept yet")] if str(case) in NOT_YET else [])
    for case in CASES
]
Played = Mapping[Case, tuple[Seen, Seen] | Exception]


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Every selected case, played on the loop that the data plane runs on; silent ones several at once."""
    mine = (item for item in request.session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec"))
    params = (cast("Mapping[str, object]", item.callspec.params).get("case") for item in mine)
    cases = [case for case in params if isinstance(case, Case)]
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        patch.setattr(attempt, "MAX_BUFFERED_BYTES", OVERSIZED_BYTES // 2)
        return runner.run(_play_all(cases, tmp_path_factory.mktemp("faults")))


class Pauses:
    """Notices when the loop stood still. Then a deadline may pass before what came in time is looked at."""

    last_at = 0.0

    async def watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_S)
            if time.monotonic() - before > TICK_S + PAUSE_S:
                self.last_at = time.monotonic()


async def _play_all(cases: list[Case], folder: Path) -> Played:
    results: dict[Case, tuple[Seen, Seen] | Exception] = {}
    gate, pauses = asyncio.Semaphore(NUM_AT_ONCE), Pauses()
    async with openai.AsyncOpenAI(api_key="none", max_retries=0) as sdk, asyncio.TaskGroup() as watching:
        watch = watching.create_task(pauses.watch())

        async def run(case: Case) -> None:
            async with gate:
                for number in range(MAX_PLAYS):
                    began_at, place = time.monotonic(), folder / f"{case}-{number}"
                    try:
                        results[case] = await play(case, place / "raw", None), await play(case, place / "sdk", sdk)
                    except Exception as error:  # noqa: BLE001  # the case's own test raises it
                        results[case] = error
                    await asyncio.sleep(2 * TICK_S)
                    if pauses.last_at < began_at:
                        break

        for case in cases:
            if not case.row.waits:
                await run(case)
        async with asyncio.TaskGroup() as group:
            for case in cases:
                if case.row.waits:
                    group.create_task(run(case))
        watch.cancel()
    return results


@pytest.mark.parametrize("case", PARAMS)
def test_a_fault_ends_as_promised(case: Case, played: Played) -> None:
    result = played[case]
    if isinstance(result, Exception):
        raise result
    raw, sdk = result
    _check_raw(case, raw)
    _check_sdk(case, sdk)
    for seen in result:
        _check_requests(case, seen)
        _check_trace(case, seen)
        _check_money(case, seen)


def _check_raw(case: Case, seen: Seen) -> None:
    """The bytes that the client got."""
    expected = case.expected
    assert seen.status == expected.status
    assert b"sk-secret" not in seen.body
    assert seen.headers["x-inhouse-trace"] == seen.opens[0].trace_id
    if expected.shown in ANSWERS:
        assert seen.body == _whole_body(case, ANSWERS[expected.shown])
        assert seen.headers["x-inhouse-endpoint"] == ("spare" if expected.shown is Shown.SPARE else "faulty")
    elif expected.shown is Shown.BROKEN:
        first = b"".join(OPENAI.list_events(OWN_ANSWER, False)[: OPENAI.num_first])
        assert seen.body.startswith(first)
        (last,) = seen.body.removeprefix(first).replace(OPENAI.ping, b"").split(b"\n\n")[-2:-1]
        assert json.loads(last.removeprefix(b"data: "))["error"]["message"]
        assert b"[DONE]" not in seen.body
    elif expected.shown is Shown.PASSED:
        assert json.loads(seen.body)["error"]["code"] in {"bad_top_k", "context_length_exceeded"}
    else:
        assert json.loads(seen.body)["error"]["code"] == expected.code
        assert ("retry-after" in seen.headers) == (expected.code == LIMITED)


def _whole_body(case: Case, answer: Answer) -> bytes:
    if case.mode is Mode.UNSTREAMED:
        return OPENAI.whole(answer, case.row.fault != "no-usage")
    return b"".join(OPENAI.list_events(answer, False))


def _check_sdk(case: Case, seen: Seen) -> None:
    """What an application gets from the SDK: the whole text, or an exception. Never less than the whole text."""
    expected, said = case.expected, seen.sdk
    if expected.shown in ANSWERS:
        assert said == ANSWERS[expected.shown].text
    elif expected.shown is Shown.BROKEN:
        assert isinstance(said, openai.APIError)
    else:
        assert isinstance(said, openai.APIStatusError)
        assert said.status_code == expected.status


def _check_requests(case: Case, seen: Seen) -> None:
    """Who was asked how often, and not before the time that it named."""
    assert len(seen.asked) == case.expected.num_asked
    assert seen.num_spare_asked == (case.expected.shown is Shown.SPARE)
    if case.row.fault == "429" and case.company is Company.ALONE:
        assert seen.asked[1].at - seen.asked[0].at >= RETRY_AFTER_S - LOOP_TICK_S
    if case.row.fault == "429-long" and case.company is Company.ALONE and seen.headers:
        assert seen.headers["retry-after"] == str(LONG_RETRY_AFTER_S)


def _check_trace(case: Case, seen: Seen) -> None:
    """One open, one close, and both tell what happened."""
    expected = case.expected
    assert (len(seen.opens), len(seen.closes)) == (1, 1)
    close = seen.closes[0]
    assert close.trace_id == seen.opens[0].trace_id
    assert close.status is STATUS[expected.shown]
    assert close.http_status == expected.status
    assert close.error_code == expected.code
    assert tuple(attempt.code for attempt in close.attempts) == expected.attempts
    assert close.endpoint_id == ("spare" if expected.shown is Shown.SPARE else "faulty")


def _check_money(case: Case, seen: Seen) -> None:
    """What was reported, once, at the price of who reported it; or an estimate that says so; or unknown."""
    close = seen.closes[0]
    money = case.expected.money
    if money is Money.OWN:
        _check_priced(close, Usage(input_uncached=7, output_visible=5), UsageBasis.MEASURED, OWN_PRICE)
    elif money is Money.SPARE:
        _check_priced(close, Usage(input_uncached=11, output_visible=3), UsageBasis.MEASURED, SPARE_PRICE)
    elif money is Money.ESTIMATED:
        usage = close.usage
        assert usage is not None
        assert usage.input_uncached == -(-seen.num_request_bytes // 4) or not seen.headers
        assert usage.output_visible >= 2 if case.row.fault == "drip" else usage.output_visible == 2
        _check_priced(close, usage, UsageBasis.ESTIMATED, OWN_PRICE)
    else:
        assert (close.usage, close.usage_basis, close.cost_usd) == (None, UsageBasis.UNKNOWN, None)


def _check_priced(close: TraceClose, usage: Usage, basis: UsageBasis, price: PriceVector) -> None:
    assert (close.usage, close.usage_basis) == (usage, basis)
    assert close.cost_usd == pytest.approx(price.price(usage))
    assert close.price_id == price.price_id
