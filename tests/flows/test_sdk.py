"""The openai SDK, unchanged but for its base URL and key, against a whole installation with the real engine behind."""

import time
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletion

from flows.installation import KEY, Running, wait_for_trace
from inhouse.domain import TraceStatus
from inhouse.evals.tickets import TaskType, generate_tickets

pytestmark = pytest.mark.engine
TICKET = generate_tickets(TaskType.EXTRACT, 1, seed=41)[0]


@pytest.fixture
def client(installation: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=installation.base_url, api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


def ask(client: openai.OpenAI, model: str = "desk", **extra: object) -> ChatCompletion:
    messages = [{"role": "user", "content": TICKET.prompt}]
    return client.chat.completions.create(model=model, messages=messages, temperature=0, **extra)  # type: ignore[arg-type, call-overload]


def test_a_chat_completion_comes_from_the_real_engine(client: openai.OpenAI) -> None:
    reply = ask(client)

    assert reply.choices[0].message.content == TICKET.target
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.completion_tokens > 5


def test_a_stream_gives_the_same_text_and_ends(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="desk", messages=[{"role": "user", "content": TICKET.prompt}], temperature=0, stream=True
        )
    )

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TICKET.target
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)  # the usage that the gateway asked for is taken out again


def test_a_client_that_asks_for_usage_gets_it(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="desk",
            messages=[{"role": "user", "content": TICKET.prompt}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []


def test_the_model_list_holds_the_routes_of_the_key(client: openai.OpenAI, installation: Running) -> None:
    other = client.with_options(api_key="other-key-0123456789abcdef")

    assert [model.id for model in client.models.list()] == sorted(
        ["desk", "only-clerk", "limited", "refused", "broken", "silent", "strict"]
    )
    assert [model.id for model in other.models.list()] == ["limited"]


@pytest.mark.parametrize(
    ("model", "error", "status", "code"),
    [
        ("nothing-like-this", openai.NotFoundError, 404, "model_not_found"),
        ("limited", openai.RateLimitError, 429, "upstream_rate_limited"),
        ("refused", openai.InternalServerError, 502, "upstream_auth_failed"),
        ("broken", openai.InternalServerError, 502, "upstream_error"),
        ("silent", openai.InternalServerError, 504, "upstream_timeout"),
        ("strict", openai.BadRequestError, 400, "bad_top_k"),
    ],
)
def test_failures_raise_the_sdks_own_errors(
    client: openai.OpenAI, model: str, error: type[openai.APIStatusError], status: int, code: str
) -> None:
    with pytest.raises(error) as caught:
        ask(client, model)

    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert "sk-secret-of-the-platform" not in str(caught.value)


def test_a_rate_limit_says_when_to_come_back(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, "limited")

    assert caught.value.response.headers["retry-after"] == "7"


def test_a_wrong_key_is_401_and_a_foreign_route_403(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as wrong:
        ask(client.with_options(api_key="wrong-key-0123456789"))
    with pytest.raises(openai.PermissionDeniedError) as foreign:
        ask(client.with_options(api_key="other-key-0123456789abcdef"))

    assert wrong.value.code == "invalid_api_key"
    assert "wrong-key-0123456789" not in str(wrong.value)
    assert foreign.value.code == "route_not_allowed"


def test_bad_fields_and_sizes_are_400_and_413(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as missing:
        client.post("/chat/completions", body={"model": "desk"}, cast_to=object)
    with pytest.raises(openai.APIStatusError) as large:
        ask(client, user="x" * 70_000)

    assert missing.value.param == "messages"
    assert (large.value.status_code, large.value.code) == (413, "request_too_large")


def test_an_over_long_prompt_is_the_engines_own_400(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="only-clerk", messages=[{"role": "user", "content": "word " * 4000}])

    assert "context" in str(caught.value)


def test_only_the_evaluation_key_may_pin(client: openai.OpenAI, installation: Running) -> None:
    pin = {"x-inhouse-endpoint": "paid/mid"}
    eval_key = (installation.folder / ".inhouse" / "run" / "eval.key").read_text().strip()

    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(client, extra_headers=pin)
    pinned = client.with_options(api_key=eval_key).chat.completions.with_raw_response.create(
        model="desk", messages=[{"role": "user", "content": "hello"}], extra_headers=pin
    )

    assert caught.value.code == "pin_not_allowed"
    assert pinned.headers["x-inhouse-endpoint"] == "paid/mid"
    assert pinned.headers["x-inhouse-simulated"] == "true"
    assert "simulated" in (pinned.parse().choices[0].message.content or "").lower()


def test_the_trace_tells_the_whole_story(client: openai.OpenAI, installation: Running) -> None:
    """Decision, attribution, usage, cost and digest are on record within a second, and no content is."""
    raw = client.chat.completions.with_raw_response.create(
        model="desk",
        messages=[{"role": "user", "content": TICKET.prompt}],
        extra_headers={"x-inhouse-task": "extract", "x-inhouse-user": "u1", "x-inhouse-tags": "feature=search"},
    )
    reply, trace_id = raw.parse(), raw.headers["x-inhouse-trace"]
    asked_at = time.monotonic()
    trace = wait_for_trace(installation.store, trace_id, 3)
    lag_s = time.monotonic() - asked_at
    assert trace.close is not None

    assert lag_s <= 1.5  # one second of promised lag, half a second for this machine
    assert trace.status is TraceStatus.COMPLETE
    assert (trace.open.task, trace.open.user, trace.open.tags) == ("extract", "u1", {"feature": "search"})
    assert trace.open.reasons
    assert (trace.close.endpoint_id, trace.close.variant, trace.close.is_simulated) == ("clerk", "in-house", False)
    assert reply.usage is not None
    assert trace.close.usage is not None
    assert trace.close.usage.input_total == reply.usage.prompt_tokens
    assert trace.close.usage.output_total == reply.usage.completion_tokens
    assert trace.close.cost_usd is not None
    assert 0 < trace.close.cost_usd < 0.001
    assert (trace.close.endpoint_digest or "").startswith("sha256:")
    assert (trace.close.variant_digest or "").startswith("sha256:")
    assert trace.close.content is None
    spool = b"".join(path.read_bytes() for path in (installation.folder / ".inhouse" / "spool").iterdir())
    assert TICKET.prompt.split()[-1].encode() not in spool
    assert KEY.encode() not in spool
