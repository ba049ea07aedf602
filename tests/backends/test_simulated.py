"""The simulated provider as a real process, called by the openai SDK and by raw sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator
from typing import Any, cast

import openai
import pytest

from inhouse.backends import SimulatedAnswer, SimulationSettings
from inhouse.backends.simulated import IMAGE_ANSWER, count_tokens, plan_answer

KEY = "sk-test-simulated-0001"
QUICK = SimulationSettings(first_token_ms_median=1.0, first_token_sigma=0.0, token_ms_mean=0.1, error_rate=0.0)
CODE = textwrap.dedent("""
    import sys
    from inhouse.backends import *
    known = {"What is the topic?": SimulatedAnswer("refunds", "delivery")}
    faults = SimulatedFaults(**eval(sys.argv[1]))
    settings = SimulationSettings(
        first_token_ms_median=1.0, first_token_sigma=0.0, token_ms_mean=0.1, error_rate=0.0)
    sys.exit(run_simulated_provider(SimulatedRun(
        name="acme", model_names=("mid", "large"), settings=settings, host="127.0.0.1", port=0,
        answer=known.get, api_key=sys.argv[2], faults=faults)))
""")


class Provider:
    def __init__(self, faults: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, repr(faults), KEY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("LISTENING http://127.0.0.1:")
        self.port = int(line.rsplit(":", 1)[1])

    def client(self, key: str = KEY) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=key, max_retries=0, timeout=10)

    @contextlib.contextmanager
    def post(
        self, body: dict[str, Any] | bytes, path: str = "/v1/chat/completions", timeout_s: float = 10
    ) -> Generator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        payload = body if isinstance(body, bytes) else json.dumps(body)
        connection.request("POST", path, payload, {"authorization": f"Bearer {KEY}"})
        assert connection.sock is not None
        with contextlib.closing(connection.sock) as sock, connection.getresponse() as reply:
            sock.settimeout(timeout_s)
            yield reply

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def provider() -> Generator[Provider]:
    running = Provider({})
    yield running
    assert running.stop() == 0  # SIGTERM is an orderly end


def ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_whole_answer_is_right_counted_and_labelled(provider: Provider) -> None:
    with provider.client() as client:
        raw = client.chat.completions.with_raw_response.create(model="mid", messages=ask("What is the topic?"))
        answer = raw.parse()
    assert raw.headers["x-simulated"] == "true"
    assert answer.choices[0].message.content == "refunds"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "mid"
    assert answer.system_fingerprint == "simulated"
    assert answer.usage is not None
    # 18 characters are 5 tokens, and a message adds 4; "refunds" is 2.
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (9, 2, 11)


def test_a_stream_gives_the_same_answer_in_pieces_with_usage_when_asked(provider: Provider) -> None:
    with provider.client() as client:
        chunks = list(
            client.chat.completions.create(
                model="large",
                messages=ask("What is the topic?"),
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert texts == ["", "refu", "nds", None]
    assert {chunk.system_fingerprint for chunk in chunks} == {"simulated"}
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [11]
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_a_stream_has_no_usage_unless_asked(provider: Provider) -> None:
    with provider.client() as client:
        chunks = list(client.chat.completions.create(model="mid", messages=ask("What is the topic?"), stream=True))
    assert all(chunk.usage is None for chunk in chunks)


def test_an_unknown_prompt_is_told_that_the_provider_is_simulated(provider: Provider) -> None:
    with provider.client() as client:
        answer = client.chat.completions.create(model="mid", messages=ask("Who are you?"))
    assert answer.choices[0].message.content == (
        "This is the simulated provider acme; it has no answer to this prompt."
    )


def test_an_image_gets_the_fixed_description_and_its_tokens(provider: Provider) -> None:
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]
    with provider.client() as client:
        answer = client.chat.completions.create(model="mid", messages=cast("Any", [{"role": "user", "content": parts}]))
    assert answer.choices[0].message.content == IMAGE_ANSWER
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 4 + 2 + 85


def test_max_tokens_cuts_the_answer(provider: Provider) -> None:
    with provider.client() as client:
        answer = client.chat.completions.create(model="mid", messages=ask("What is the topic?"), max_tokens=1)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("refu", "length")


def test_models_are_listed_under_a_simulated_owner(provider: Provider) -> None:
    with provider.client() as client:
        models = client.models.list().data
    assert [(model.id, model.owned_by) for model in models] == [
        ("mid", "acme (simulated)"),
        ("large", "acme (simulated)"),
    ]


def test_a_wrong_key_is_refused_as_openai_does(provider: Provider) -> None:
    with provider.client(key="sk-wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.response.headers["x-simulated"] == "true"
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "path", "status", "code"),
    [
        (b"{", "/v1/chat/completions", 400, "invalid_request"),
        ({"model": "none", "messages": []}, "/v1/chat/completions", 404, "model_not_found"),
        ({"model": "mid", "messages": [], "n": 2}, "/v1/chat/completions", 400, "invalid_request"),
        ({"model": "mid", "messages": [], "max_tokens": 0}, "/v1/chat/completions", 400, "invalid_request"),
        ({}, "/v1/embeddings", 404, "unknown_path"),
    ],
)
def test_bad_requests_get_openai_shaped_errors(
    provider: Provider, body: dict[str, Any] | bytes, path: str, status: int, code: str
) -> None:
    with provider.post(body, path) as reply:
        error = json.loads(reply.read())["error"]
        assert (reply.status, error["code"], error["type"]) == (status, code, "invalid_request_error")
        assert reply.headers["x-simulated"] == "true"


def test_faults_status_with_retry_after() -> None:
    running = Provider({"status": 429, "retry_after_s": 1.5})
    try:
        with running.client() as client, pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="mid", messages=ask("x"))
        assert caught.value.response.headers["retry-after"] == "1.5"
    finally:
        running.stop()


def test_faults_a_cut_stream_breaks_off_without_an_end() -> None:
    running = Provider({"cut_after_tokens": 1})
    try:
        body = {"model": "mid", "messages": ask("What is the topic?"), "stream": True}
        with running.post(body) as reply, pytest.raises(http.client.IncompleteRead) as caught:
            reply.read()
        assert b'"content":"refu"' in caught.value.partial
        assert b"[DONE]" not in caught.value.partial
    finally:
        running.stop()


def test_faults_a_stalled_stream_goes_silent_after_its_tokens() -> None:
    running = Provider({"stall_after_tokens": 1, "omits_usage": True})
    try:
        body = {"model": "mid", "messages": ask("What is the topic?"), "stream": True}
        with running.post(body, timeout_s=0.5) as reply:
            # Half a second of silence is the proof; each token before it takes about a millisecond.
            assert any(b'"content":"refu"' in line for line in reply)
            assert reply.readline() == b"\n"  # the end of that event
            with pytest.raises(TimeoutError):
                reply.readline()
    finally:
        running.process.kill()
        running.stop()


def test_the_plan_follows_from_seed_and_prompt_alone() -> None:
    answer = SimulatedAnswer("right", "wrong")
    assert plan_answer("p", answer, QUICK) == plan_answer("p", answer, QUICK)
    other = plan_answer("p", answer, QUICK.model_copy(update={"seed": 8, "first_token_sigma": 0.5}))
    assert other.waits_s != plan_answer("p", answer, QUICK.model_copy(update={"first_token_sigma": 0.5})).waits_s


def test_mistakes_and_delays_have_the_shares_that_are_asked_for() -> None:
    settings = SimulationSettings(error_rate=0.1, first_token_ms_median=180, first_token_sigma=0.35, token_ms_mean=8)
    plans = [plan_answer(f"prompt {i}", SimulatedAnswer("12345678", "x"), settings) for i in range(4000)]
    assert sum(plan.is_wrong for plan in plans) / 4000 == pytest.approx(0.1, abs=0.02)
    firsts = sorted(plan.waits_s[0] for plan in plans)
    assert firsts[2000] == pytest.approx(0.180, rel=0.05)
    assert firsts[3364] / firsts[2000] == pytest.approx(1.419, rel=0.05)  # e^0.35 at one sigma (84.1 %)
    gaps = [plan.waits_s[1] for plan in plans if not plan.is_wrong]
    assert sum(gaps) / len(gaps) == pytest.approx(0.008, rel=0.1)
    assert all("".join(plan.pieces) == ("x" if plan.is_wrong else "12345678") for plan in plans)


def test_the_tokenizer_counts_four_characters_a_token() -> None:
    assert [count_tokens(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]
