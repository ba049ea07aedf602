"""Which simulated requests go wrong, and how: drawn, switched, and seen by the openai SDK at a real process."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Generator
from typing import Any

import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.backends.faults import DrawnFault, FaultKind, FaultMix, FaultSwitch, draw_fault

KEY = "sk-test-simulated-0001"
CODE = textwrap.dedent("""
    import sys
    from inhouse.backends import *
    settings = SimulationSettings(
        first_token_ms_median=1.0, first_token_sigma=0.0, token_ms_mean=0.1, error_rate=0.0)
    sys.exit(run_simulated_provider(SimulatedRun(
        name="acme", model_names=("mid",), settings=settings, host=sys.argv[2], port=0,
        answer={}.get, api_key=sys.argv[1])))
""")


class Provider:
    """A simulated provider in a process of its own."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, KEY, host], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().decode().rsplit(":", 1)[1])

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=KEY, max_retries=0, timeout=0.5)

    def switch(self, mix: Any = None, key: str = KEY) -> tuple[int, Any]:
        """PUT the mix, or GET what is in force."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = None if mix is None else json.dumps(mix)
        connection.request(
            "GET" if mix is None else "PUT", "/simulated/faults", body, {"authorization": f"Bearer {key}"}
        )
        with connection.getresponse() as reply:
            answer = reply.status, json.loads(reply.read())
        connection.close()
        return answer

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def provider() -> Generator[Provider]:
    running = Provider()
    yield running
    running.stop()


def stream(client: openai.OpenAI) -> list[Any]:
    messages: list[Any] = [{"role": "user", "content": "Who are you, and what do you know?"}]
    return list(client.chat.completions.create(model="mid", messages=messages, stream=True))


def test_nothing_goes_wrong_until_it_is_switched_on(provider: Provider) -> None:
    assert provider.switch({}) == (
        200,
        {
            "simulated": True,
            "mix": {
                "throttle": 0.0,
                "error": 0.0,
                "hang": 0.0,
                "stall": 0.0,
                "cut": 0.0,
                "end": 0.0,
                "retry_after_s": 1,
            },
            "hits": {},
        },
    )
    with provider.client() as client:
        assert stream(client)[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(("kind", "status"), [("throttle", 429), ("error", 503)])
def test_refusals_are_openai_errors(kind: str, status: int, provider: Provider) -> None:
    provider.switch({kind: 1.0, "retry_after_s": 3})
    with provider.client() as client, pytest.raises(openai.APIStatusError) as refused:
        stream(client)
    assert refused.value.status_code == status
    assert refused.value.response.headers.get("retry-after") == ("3" if status == 429 else None)
    assert refused.value.response.headers["x-simulated"] == "true"
    assert "on purpose" in str(refused.value)
    assert provider.switch()[1]["hits"] == {kind: 1}


@pytest.mark.parametrize("kind", ["hang", "stall"])
def test_silence_lasts_until_the_client_gives_up(kind: str, provider: Provider) -> None:
    provider.switch({kind: 1.0})
    with provider.client() as client, pytest.raises(openai.APITimeoutError):
        stream(client)


def test_a_broken_stream_is_an_error_and_one_that_merely_ends_is_none(provider: Provider) -> None:
    """The second is the dangerous one: the SDK's loop ends as after a whole answer."""
    with provider.client() as client:
        provider.switch({"cut": 1.0})
        with pytest.raises(openai.APIConnectionError):
            stream(client)
        provider.switch({"end": 1.0})
        chunks = stream(client)
    assert 2 <= len(chunks) < 20
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)


@pytest.mark.parametrize(("kind", "error"), [("cut", openai.InternalServerError), ("stall", openai.APITimeoutError)])
def test_faults_of_streams_hit_whole_replies_too(kind: str, error: type[openai.APIError], provider: Provider) -> None:
    provider.switch({kind: 1.0})
    with provider.client() as client, pytest.raises(error):
        client.chat.completions.create(model="mid", messages=[{"role": "user", "content": "hi"}])


def test_the_switch_wants_the_key_and_a_mix_that_makes_sense(provider: Provider) -> None:
    provider.switch({"error": 0.25})
    assert provider.switch({}, key="sk-other")[0] == 401
    for wrong in ({"hang": 0.6, "cut": 0.6}, {"hang": -0.1}, {"snow": 0.1}, [1]):
        status, answer = provider.switch(wrong)
        assert status == 400
        assert "no mix of faults" in answer["error"]["message"]
    assert provider.switch()[1]["mix"]["error"] == 0.25


def test_a_provider_that_listens_elsewhere_has_no_switch() -> None:
    exposed = Provider("0.0.0.0")  # noqa: S104  # what is tested: it is not offered there
    try:
        assert exposed.switch()[0] == 404
    finally:
        exposed.stop()


SHARES = st.lists(st.floats(0, 1), min_size=6, max_size=6).map(lambda parts: [part / 6 for part in parts])


@given(SHARES, st.integers(0, 2**32), st.binary(max_size=40), st.integers(1, 1000))
def test_a_draw_is_a_function_of_its_arguments_and_within_its_mix(
    shares: list[float], seed: int, key: bytes, arrival: int
) -> None:
    mix = msgspec.convert({kind.value: share for kind, share in zip(FaultKind, shares, strict=True)}, FaultMix)
    drawn = draw_fault(mix, seed, key, arrival)
    assert drawn == draw_fault(mix, seed, key, arrival)
    if drawn is not None:
        assert mix.share(drawn.kind) > 0
        assert 0 <= drawn.position < 1


def test_the_shares_come_out_and_the_order_of_requests_changes_nothing() -> None:
    mix = FaultMix(throttle=0.3, cut=0.2)
    prompts = [f"prompt {number}" for number in range(2000)]

    def play(order: list[str]) -> dict[str, DrawnFault | None]:
        switch = FaultSwitch(7)
        switch.set(mix)
        return {prompt: switch.draw(prompt) for prompt in order}

    drawn = play(prompts)
    counts = Counter(None if fault is None else fault.kind for fault in drawn.values())
    assert counts.keys() == {None, FaultKind.THROTTLE, FaultKind.CUT}
    assert 500 < counts[FaultKind.THROTTLE] < 700
    assert 320 < counts[FaultKind.CUT] < 480
    assert play(prompts[::-1]) == drawn


def test_a_retry_has_a_chance_of_its_own_and_setting_begins_anew() -> None:
    switch = FaultSwitch(7)
    assert switch.draw("a") is None
    switch.set(FaultMix(error=0.5))
    first = [switch.draw("a") is not None for _ in range(64)]
    assert 16 < sum(first) < 48
    assert msgspec.json.decode(switch.describe())["hits"] == {"error": sum(first)}
    switch.set(FaultMix(error=0.5))
    assert [switch.draw("a") is not None for _ in range(64)] == first
