"""Kept Responses through OpenAI's SDK: created, fetched, followed, deleted; whose they are, and what is never kept."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec import structs
from openai.types.responses import Response
from scripted_endpoint import (
    ANSWER,
    APP_KEY,
    DONE,
    EVAL_KEY,
    STREAM_HEAD,
    TEXT_AND_IMAGE,
    USAGE_EVENT,
    RunningGateway,
    Script,
    ScriptedUpstream,
    UpstreamRequest,
    World,
    answer_json,
    answer_stream,
    delta,
    endpoint,
    event,
    http_chunk,
    run_gateway_here,
)

from inhouse.domain import Dialect, Endpoint, Operation, Route, StateError, TraceClose, Variant
from inhouse.gateway.keeper import StoreKeeper
from inhouse.gateway.settings import GatewaySettings, LimitSettings
from inhouse.gateway.stored import ConversationTooLongError, KeptResponse, ResponseKeeper
from inhouse.store import open_store

OTHER_KEY = EVAL_KEY
"""A second key that may use the route."""
CHAT_STREAM = (delta(""), delta("Hel"), delta("lo"), delta(finish="stop"), USAGE_EVENT, DONE)
NATIVE = frozenset({Operation.CHAT, Operation.RESPONSES})
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5,
}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VjcmV0"}
SPOKEN = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}


def respond(response_id: str, output: Sequence[Any] = (SPOKEN,), **changes: Any) -> dict[str, Any]:
    """A response object as a native endpoint gives it."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "tiny",
        "output": list(output),
        "usage": USAGE,
        "error": None,
        "incomplete_details": None,
    } | changes


def user_item(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


class Clock:
    """Unix seconds that the test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[StoreKeeper]:
    """Keeps for an hour, in SQLite."""
    CLOCK.now = 1_000_000.0
    with closing(StoreKeeper(f"sqlite:///{tmp_path}/inhouse.db", timedelta(hours=1), CLOCK)) as made:
        yield made


@asynccontextmanager
async def serve(
    tmp_path: Path, world: World, keeper: ResponseKeeper | None, settings: GatewaySettings | None = None
) -> AsyncGenerator[tuple[RunningGateway, openai.AsyncOpenAI]]:
    async with (
        run_gateway_here(tmp_path, world.build(), settings, keeper) as gateway,
        openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=APP_KEY, max_retries=0) as client,
    ):
        yield gateway, client


def translated(upstream: ScriptedUpstream) -> World:
    """An endpoint that only has chat."""
    return World([endpoint("clerk", upstream.base_url)])


def native(upstream: ScriptedUpstream, name: str = "clerk", **changes: Any) -> Endpoint:
    """An endpoint that has Responses."""
    return endpoint(name, upstream.base_url, operations=NATIVE, **changes)


async def test_a_response_is_kept_fetched_and_deleted(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    async with serve(tmp_path, translated(upstream), keeper) as (_, client):
        made = await client.responses.create(model="chat", input="hi")
        fetched = await client.responses.retrieve(made.id)
        assert fetched.to_dict() == made.to_dict()
        assert fetched.output_text == "Hello"
        assert await client.responses.delete(made.id) is None
        with pytest.raises(openai.NotFoundError) as gone:
            await client.responses.retrieve(made.id)
        assert gone.value.code == "response_not_found"
        with pytest.raises(openai.NotFoundError):
            await client.responses.delete(made.id)


async def test_deleting_says_what_was_deleted(tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper) -> None:
    async with serve(tmp_path, translated(upstream), keeper) as (_, client):
        made = await client.responses.create(model="chat", input="hi")
        raw = await client.responses.with_raw_response.delete(made.id)
        assert json.loads(raw.text) == {"id": made.id, "object": "response", "deleted": True}


async def test_a_translated_endpoint_gets_the_turns_before(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    async with serve(tmp_path, translated(upstream), keeper) as (_, client):
        first = await client.responses.create(model="chat", input="one", instructions="of the first turn")
        second = await client.responses.create(model="chat", input="two", previous_response_id=first.id)
        third = await client.responses.create(model="chat", input="three", previous_response_id=second.id)
        assert (second.previous_response_id, third.previous_response_id) == (first.id, second.id)
        assert upstream.requests[2].json["messages"] == [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "three"},
        ]
        await client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError) as broken:
            await client.responses.create(model="chat", input="four", previous_response_id=third.id)
        assert (broken.value.code, broken.value.param) == ("response_not_found", "previous_response_id")
        assert len(upstream.requests) == 3


async def test_a_native_endpoint_gets_the_turns_and_no_id_that_it_does_not_know(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    upstream.script = answer_json(respond("resp_1", (THOUGHT, SPOKEN)))
    async with serve(tmp_path, World([native(upstream)]), keeper) as (_, client):
        await client.responses.create(model="chat", input="one")
        upstream.script = answer_json(respond("resp_2"))
        await client.responses.create(model="chat", input="two", previous_response_id="resp_1", temperature=0.5)
        body = upstream.requests[1].json
        assert body["previous_response_id"] is None
        assert body["input"] == [user_item("one"), THOUGHT, SPOKEN, user_item("two")]
        assert (body["model"], body["temperature"]) == ("tiny", 0.5)
        assert (await client.responses.retrieve("resp_1")).to_dict() == respond("resp_1", (THOUGHT, SPOKEN))


async def test_reasoning_goes_back_only_to_the_endpoint_that_it_came_from(
    tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    """The first endpoint fails on the second turn; the other one gets the words, and no cipher that it cannot read."""
    upstream.script = answer_json(respond("resp_1", (THOUGHT, SPOKEN)))
    second.script = answer_json(respond("resp_2"))
    world = World([native(upstream), native(second, "other")], fallback=("v-other",))
    async with serve(tmp_path, world, keeper) as (_, client):
        await client.responses.create(model="chat", input="one")
        upstream.script = answer_json({}, 500)
        await client.responses.create(model="chat", input="two", previous_response_id="resp_1")
        assert upstream.requests[1].json["input"] == [user_item("one"), THOUGHT, SPOKEN, user_item("two")]
        assert second.requests[0].json["input"] == [user_item("one"), SPOKEN, user_item("two")]


@pytest.mark.parametrize("is_native", [True, False])
async def test_a_stream_is_kept_and_can_be_followed(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper, *, is_native: bool
) -> None:
    upstream.script = stream_response(respond("resp_1")) if is_native else answer_stream(*CHAT_STREAM)
    world = World([native(upstream)]) if is_native else translated(upstream)
    async with serve(tmp_path, world, keeper) as (_, client):
        final = await finish(client, "one")
        assert (await client.responses.retrieve(final.id)).to_dict() == final.to_dict()
        upstream.script = answer_json(respond("resp_2") if is_native else ANSWER)
        await client.responses.create(model="chat", input="two", previous_response_id=final.id)
        field = "input" if is_native else "messages"
        assert [item["role"] for item in upstream.requests[1].json[field]] == ["user", "assistant", "user"]


async def test_a_client_that_leaves_at_the_last_event_finds_its_response(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    """The endpoint's body never ends; what counts is that the answer did."""
    upstream.script = stream_response(respond("resp_1"), ends=False)
    async with serve(tmp_path, World([native(upstream)]), keeper) as (_, client):
        stream = await client.responses.create(model="chat", input="hi", stream=True)
        async for one in stream:
            if one.type == "response.completed":
                break
        await stream.close()
        assert (await client.responses.retrieve("resp_1")).output_text == "Hello"


async def test_a_response_of_a_messages_endpoint_is_kept_too(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    """Its stream is translated twice."""
    usage = {"input_tokens": 3, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    upstream.script = answer_stream(*(b"event: %b\n" % one["type"].encode() + event(one) for one in events))
    one = endpoint(
        "far", upstream.base_url, dialect=Dialect.ANTHROPIC, operations=frozenset({Operation.MESSAGES}), model="claude"
    )
    async with serve(tmp_path, World([one]), keeper) as (_, client):
        final = await finish(client, "one", max_output_tokens=9)
        assert (await client.responses.retrieve(final.id)).output_text == "Hello"
        await finish(client, "two", max_output_tokens=9, previous_response_id=final.id)
        assert [item["role"] for item in upstream.requests[1].json["messages"]] == ["user", "assistant", "user"]


async def test_an_incomplete_response_is_kept(tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper) -> None:
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Hel"}, "finish_reason": "length"}]
    upstream.script = answer_json(ANSWER | {"choices": choices})
    async with serve(tmp_path, translated(upstream), keeper) as (_, client):
        made = await client.responses.create(model="chat", input="hi")
        assert made.status == "incomplete"
        assert (await client.responses.retrieve(made.id)).status == "incomplete"


async def test_what_the_client_or_the_endpoint_did_not_finish_is_not_kept(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    """`store: false`, a refusal of the endpoint, a stream that failed."""
    async with serve(tmp_path, World([native(upstream)]), keeper) as (_, client):
        upstream.script = answer_json(respond("resp_1"))
        await client.responses.create(model="chat", input="hi", store=False)
        upstream.script = answer_json({"id": "resp_2", "error": {"message": "no", "code": "x"}}, 400)
        with pytest.raises(openai.BadRequestError):
            await client.responses.create(model="chat", input="hi")
        failed = respond("resp_3", (), status="failed", error={"code": "server_error", "message": "x"})
        begun = asyncio.Event()
        upstream.script = stream_response(failed, last="response.failed", gate=begun)
        kinds: list[str] = []
        async for one in await client.responses.create(model="chat", input="hi", stream=True):
            kinds.append(one.type)
            begun.set()
        assert kinds[-1] == "response.failed"
        for response_id in ("resp_1", "resp_2", "resp_3"):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(response_id)


async def test_a_request_that_is_not_to_be_kept_may_still_follow_one_that_is(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    async with serve(tmp_path, translated(upstream), keeper) as (_, client):
        first = await client.responses.create(model="chat", input="one")
        after = await client.responses.create(model="chat", input="two", store=False, previous_response_id=first.id)
        assert len(upstream.requests[1].json["messages"]) == 3
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(after.id)


async def test_a_key_sees_follows_and_deletes_only_its_own(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    async with serve(tmp_path, translated(upstream), keeper) as (gateway, client):
        made = await client.responses.create(model="chat", input="hi")
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=OTHER_KEY, max_retries=0) as other:
            for refused in (
                other.responses.retrieve(made.id),
                other.responses.delete(made.id),
                other.responses.input_items.list(made.id),
                other.responses.create(model="chat", input="two", previous_response_id=made.id),
            ):
                with pytest.raises(openai.NotFoundError) as caught:
                    await refused
                assert caught.value.code == "response_not_found"
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-wrong", max_retries=0) as nobody:
            with pytest.raises(openai.AuthenticationError):
                await nobody.responses.retrieve(made.id)
        assert (await client.responses.retrieve(made.id)).id == made.id
        assert len(upstream.requests) == 1


async def test_an_expired_response_is_gone(tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper) -> None:
    async with serve(tmp_path, translated(upstream), keeper) as (_, client):
        made = await client.responses.create(model="chat", input="hi")
        CLOCK.now += 3599
        assert (await client.responses.retrieve(made.id)).id == made.id
        CLOCK.now += 1
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.create(model="chat", input="two", previous_response_id=made.id)
        assert caught.value.param == "previous_response_id"
    with open_store(f"sqlite:///{tmp_path}/inhouse.db") as store:
        assert store.responses.purge_expired(CLOCK.now) == 1


async def test_nothing_is_kept_where_the_setting_is_not_given(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with serve(tmp_path, World([native(upstream)]), None) as (_, client):
        upstream.script = answer_json(respond("resp_1"))
        made = await client.responses.create(model="chat", input="hi", store=True)
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.retrieve(made.id)
        assert caught.value.code == "response_not_found"
        assert "storing is off" in str(caught.value)
        assert "gateway.responses.keep" in str(caught.value)
        with pytest.raises(openai.NotFoundError):
            await client.responses.delete(made.id)
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="chat", input="two", previous_response_id=made.id)
        assert (refused.value.code, refused.value.param) == ("invalid_request", "previous_response_id")
        assert len(upstream.requests) == 1


async def test_a_store_that_is_down_costs_no_answer(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """Answers are given and counted as not kept; only what needs the store is refused, with a 503 that says so."""
    with closing(StoreKeeper(f"sqlite:///{tmp_path}/no/such/folder/inhouse.db", timedelta(days=1))) as keeper:
        async with serve(tmp_path, translated(upstream), keeper) as (gateway, client):
            made = await client.responses.create(model="chat", input="hi")
            assert made.output_text == "Hello"
            for refused in (
                client.responses.retrieve(made.id),
                client.responses.delete(made.id),
                client.responses.create(model="chat", input="two", previous_response_id=made.id),
            ):
                with pytest.raises(openai.InternalServerError) as caught:
                    await refused
                assert (caught.value.status_code, caught.value.code) == (503, "store_unavailable")
                assert caught.value.response.headers["retry-after"] == "1"
                assert "no/such" not in str(caught.value)
            assert gateway.server.shelf is not None
            assert gateway.server.shelf.num_lost == 1
            assert len(upstream.requests) == 1


async def test_content_that_may_not_be_on_own_machines_is_not_kept(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    one = endpoint("far", upstream.base_url, processor="paid")
    async with serve(tmp_path, World([one], processors=frozenset({"paid"})), keeper) as (gateway, client):
        made = await client.responses.create(model="chat", input="hi")
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)
        assert gateway.server.shelf is not None
        assert gateway.server.shelf.num_lost == 0


async def test_what_was_said_on_one_route_reaches_no_endpoint_that_may_not_see_it(
    tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    """`chat` is for own machines only. A later turn on `open`, which prefers a provider, stays on them too."""
    world = World([endpoint("clerk", upstream.base_url)])
    snapshot = world.build()
    paid = endpoint("far", second.base_url, processor="paid")
    far, near = Variant(name="far", endpoint_id="far"), Variant(name="near", endpoint_id="clerk")
    classes = (*snapshot.egress.classes, type(snapshot.egress.classes[0])("public", frozenset({"own", "paid"})))
    routes = {
        "open": Route(name="open", data_class="public", variants=(far, near), default="far", fallback=("near",)),
        "paid": Route(name="paid", data_class="public", variants=(far,), default="far"),
    }
    async with serve(tmp_path, world, keeper) as (gateway, client):
        gateway.publish(
            type(snapshot)(
                version=2,
                created_at=1.0,
                routes=snapshot.routes | routes,
                endpoints=snapshot.endpoints | {"far": paid},
                keys=snapshot.keys,
                egress=type(snapshot.egress)(classes),
            )
        )
        secret = await client.responses.create(model="chat", input="secret")
        raw = await client.responses.with_raw_response.create(model="open", input="two", previous_response_id=secret.id)
        assert raw.headers["x-inhouse-endpoint"] == "clerk"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="paid", input="two", previous_response_id=secret.id)
        assert (refused.value.code, refused.value.param) == ("no_candidate", "previous_response_id")
        assert "said on the route chat" in str(refused.value)
        assert second.requests == []
        public = await client.responses.create(model="open", input="public")
        await client.responses.create(model="paid", input="two", previous_response_id=public.id)
        assert len(second.requests) == 2


async def test_an_image_of_an_earlier_turn_counts_when_the_route_is_decided(
    tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    """The text turn before it goes to the small endpoint, the one after it to the one that sees."""
    world = World(
        [endpoint("blind", upstream.base_url), endpoint("eyes", second.base_url, modalities=TEXT_AND_IMAGE)],
        fallback=("v-eyes",),
    )
    picture: Any = [
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "auto"}],
        }
    ]
    async with serve(tmp_path, world, keeper) as (_, client):
        first = await client.responses.create(model="chat", input="one")
        seen = await client.responses.create(model="chat", input=picture, previous_response_id=first.id)
        await client.responses.create(model="chat", input="what is it?", previous_response_id=seen.id)
        assert (len(upstream.requests), len(second.requests)) == (1, 2)
        image = second.requests[1].json["messages"][2]
        assert image == {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "auto"}}],
        }


async def test_input_items_are_listed_by_pages(tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper) -> None:
    items: Any = [{"id": "msg_a", **user_item("a")}, user_item("b"), {"role": "user", "content": "c"}]
    async with serve(tmp_path, translated(upstream), keeper) as (_, client):
        made = await client.responses.create(model="chat", input=items)
        page = await client.responses.input_items.list(made.id, order="asc", limit=2)
        named = {"id": f"item_{made.id}_1", **user_item("b")}
        assert [item.to_dict() for item in page.data] == [items[0], named]
        assert page.has_more is True
        newest_first = [item.to_dict() async for item in client.responses.input_items.list(made.id, limit=1)]
        last = {"id": f"item_{made.id}_2", **user_item("c")}
        assert newest_first == [last, named, items[0]]
        for query in ({"limit": 0}, {"limit": 101}, {"order": "up"}, {"after": "msg_z"}):
            with pytest.raises(openai.BadRequestError) as wrong:
                await client.responses.input_items.list(made.id, extra_query=query)
            assert wrong.value.param == next(iter(query))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/responses/resp_1?stream=true", 400),
        ("GET", "/v1/responses/" + "x" * 300, 404),
        ("DELETE", "/v1/responses/" + "x" * 300, 404),
        ("GET", "/v1/responses/", 404),
        ("PUT", "/v1/responses/resp_1", 405),
        ("DELETE", "/v1/responses/resp_1/input_items", 405),
        ("GET", "/v1/responses/resp_1/else", 404),
        ("POST", "/v1/responses/resp_1/cancel", 404),
        ("GET", "/v1/responses", 405),
    ],
)
async def test_paths_that_are_not_served_are_refused(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper, method: str, path: str, status: int
) -> None:
    async with serve(tmp_path, translated(upstream), keeper) as (gateway, _):
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {APP_KEY}\r\nconnection: close\r\n"
        reply = await gateway.raw(f"{head}content-length: 0\r\n\r\n".encode())
        assert reply.startswith(f"HTTP/1.1 {status} ".encode())


async def test_a_conversation_longer_than_a_body_may_be_is_refused(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    settings = GatewaySettings(limits=LimitSettings(max_body_bytes=4096))
    async with serve(tmp_path, translated(upstream), keeper, settings) as (_, client):
        first = await client.responses.create(model="chat", input="x" * 2500)
        second = await client.responses.create(model="chat", input="y", previous_response_id=first.id)
        with pytest.raises(openai.APIStatusError) as caught:
            await client.responses.create(model="chat", input="z", previous_response_id=second.id)
        assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
        assert "longer than 4096 bytes" in str(caught.value)


class HeldKeeper:
    """Writes wait until `release` is set; then each is kept in memory, or fails with `failure`."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.release = threading.Event()
        self.failure = failure
        self.kept: dict[tuple[str, str], KeptResponse] = {}
        self.num_closes_seen: list[int] = []
        self.closes: Sequence[TraceClose] = ()

    def put(self, response: KeptResponse) -> None:
        self.release.wait(10)
        if self.failure is not None:
            raise self.failure
        self.kept[response.key_id, response.response_id] = response

    def get(self, response_id: str, key_id: str) -> KeptResponse | None:
        return self.kept.get((key_id, response_id))

    def list_turns(self, response_id: str, key_id: str, max_chars: int) -> Sequence[KeptResponse] | None:
        if max_chars == 0:
            raise ConversationTooLongError
        found = self.get(response_id, key_id)
        return None if found is None else [found]

    def delete(self, response_id: str, key_id: str) -> bool:
        return self.kept.pop((key_id, response_id), None) is not None


async def test_a_slow_store_delays_only_those_who_ask_for_what_it_still_writes(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    held = HeldKeeper()
    async with serve(tmp_path, translated(upstream), held) as (gateway, client):
        made = await client.responses.create(model="chat", input="one")
        fetching = asyncio.get_running_loop().create_task(client.responses.retrieve(made.id))
        following = asyncio.get_running_loop().create_task(
            client.responses.create(model="chat", input="two", previous_response_id=made.id)
        )
        await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
        await client.responses.create(model="chat", input="else", store=False)
        assert not fetching.done()
        assert not following.done()
        assert len(gateway.sink.closes) == 3
        held.release.set()
        assert (await fetching).id == made.id
        assert (await following).previous_response_id == made.id
        assert len(upstream.requests[3].json["messages"]) == 3


async def test_the_end_is_on_record_before_the_answer_goes_to_the_store(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    held = HeldKeeper()
    held.release.set()
    async with serve(tmp_path, translated(upstream), held) as (gateway, client):
        events = gateway.sink.events
        put = held.put

        def note(response: KeptResponse) -> None:
            events.append("put")
            put(response)

        held.put = note
        upstream.script = answer_stream(*CHAT_STREAM)
        final = await finish(client, "hi")
        await client.responses.retrieve(final.id)
        assert events == ["open", "close", "put"]


@pytest.mark.parametrize("failure", [StateError("down", fix="start it"), OSError("secret content")])
async def test_whatever_goes_wrong_with_keeping_is_counted_and_no_words_of_it_are_logged(
    tmp_path: Path, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    held = HeldKeeper(failure)
    async with serve(tmp_path, translated(upstream), held) as (gateway, client):
        for _ in range(2):
            await client.responses.create(model="chat", input="hi")
        assert gateway.server.shelf is not None
        held.release.set()
        await gateway.server.shelf.aclose(5.0)
        assert gateway.server.shelf.num_lost == 2
    logged = [record.getMessage() for record in caplog.records if "store of responses" in record.getMessage()]
    assert len(logged) == 1
    assert "secret content" not in logged[0]


async def test_what_is_written_when_the_gateway_ends_is_waited_for(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    held = HeldKeeper()
    async with serve(tmp_path, translated(upstream), held) as (_, client):
        made = await client.responses.create(model="chat", input="hi")
        asyncio.get_running_loop().call_later(0.05, held.release.set)
    assert [response_id for _, response_id in held.kept] == [made.id]


async def test_no_more_waits_for_the_store_than_memory_allows(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inhouse.gateway.stored.MAX_WAITING_BYTES", 3000)
    held = HeldKeeper()
    async with serve(tmp_path, translated(upstream), held) as (gateway, client):
        made = [await client.responses.create(model="chat", input="x" * 1000) for _ in range(3)]
        held.release.set()
        assert gateway.server.shelf is not None
        assert gateway.server.shelf.num_lost == 2
        assert (await client.responses.retrieve(made[0].id)).id == made[0].id
        await client.responses.create(model="chat", input="x" * 1000)
        assert gateway.server.shelf.num_lost == 2


async def test_a_client_that_leaves_while_the_turns_are_read_sends_nothing(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    held = HeldKeeper()
    async with AsyncExitStack() as stack:
        gateway, client = await stack.enter_async_context(serve(tmp_path, translated(upstream), held))
        made = await client.responses.create(model="chat", input="one")
        following = asyncio.get_running_loop().create_task(
            client.responses.create(model="chat", input="two", previous_response_id=made.id)
        )
        await asyncio.sleep(0.05)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        held.release.set()
        await client.responses.retrieve(made.id)
        assert len(upstream.requests) == 1
        assert len(gateway.sink.opens) == 1


async def test_a_gateway_that_ends_says_so_to_who_waits_for_the_store(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    held = HeldKeeper()
    async with serve(tmp_path, translated(upstream), held) as (gateway, client):
        made = await client.responses.create(model="chat", input="one")
        fetching = asyncio.get_running_loop().create_task(client.responses.retrieve(made.id))
        await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_later(0.05, held.release.set)
        await gateway.server.drain(0.0)
        with pytest.raises(openai.InternalServerError) as caught:
            await fetching
        assert (caught.value.status_code, caught.value.code) == (503, "shutting_down")


async def test_a_store_that_hangs_is_waited_for_no_longer_than_the_deadline(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inhouse.gateway.stored.DEADLINE_S", 0.05)
    held = HeldKeeper()

    def get(response_id: str, key_id: str) -> KeptResponse | None:
        held.release.wait(10)
        return held.kept.get((key_id, response_id))

    held.get = get
    async with serve(tmp_path, translated(upstream), held) as (gateway, client):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.responses.retrieve("resp_1")
        assert (caught.value.status_code, caught.value.code) == (503, "store_unavailable")
        assert gateway.server.num_refused["store_unavailable"] == 1
        held.release.set()


async def test_a_fault_of_the_keeper_is_a_500_without_its_words(
    tmp_path: Path, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    held = HeldKeeper()

    def get(response_id: str, key_id: str) -> KeptResponse | None:
        raise OSError("secret content")

    held.get = get
    async with serve(tmp_path, translated(upstream), held) as (_, client):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.responses.retrieve("resp_1")
        assert (caught.value.status_code, caught.value.code) == (500, "internal_error")
        assert "secret content" not in str(caught.value)
    assert "a request that waited has failed" in caplog.text


async def test_a_conversation_whose_first_route_is_gone_goes_to_nobody(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper
) -> None:
    """Who may see what was said there is not known any more."""
    world = translated(upstream)
    snapshot = world.build()
    async with serve(tmp_path, world, keeper) as (gateway, client):
        made = await client.responses.create(model="chat", input="one")
        renamed = structs.replace(snapshot.routes["chat"], name="talk")
        gateway.publish(structs.replace(snapshot, version=2, routes={"talk": renamed}))
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="talk", input="two", previous_response_id=made.id)
        assert (refused.value.code, refused.value.param) == ("no_candidate", "previous_response_id")
        assert "the route chat, which is gone" in str(refused.value)
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("leaves", [True, False])
async def test_who_follows_a_conversation_reaches_the_endpoint_when_it_ends(
    tmp_path: Path, upstream: ScriptedUpstream, keeper: StoreKeeper, *, leaves: bool
) -> None:
    """The client hangs up, or the gateway ends, while the endpoint is still silent: its connection is closed."""
    async with serve(tmp_path, translated(upstream), keeper) as (gateway, client):
        made = await client.responses.create(model="chat", input="one")
        upstream.arrived.clear()
        upstream.closed.clear()

        async def silent(*_: object) -> None:
            await asyncio.Event().wait()

        upstream.script = silent
        following = asyncio.get_running_loop().create_task(
            client.responses.create(model="chat", input="two", previous_response_id=made.id)
        )
        await asyncio.wait_for(upstream.arrived.wait(), 5)
        if leaves:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        else:
            await gateway.server.drain(0.0)
            with pytest.raises(openai.InternalServerError) as caught:
                await following
            assert caught.value.code == "shutting_down"
        await asyncio.wait_for(upstream.closed.wait(), 5)
        assert gateway.sink.closes[-1].status == ("client_closed" if leaves else "failed")


def stream_response(
    response: dict[str, Any],
    *,
    last: str = "response.completed",
    ends: bool = True,
    gate: asyncio.Event | None = None,
) -> Script:
    """A native stream: begun, the text, finished; the end waits for `gate`."""
    shell = response | {"status": "in_progress", "output": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "sequence_number": 0, "response": shell},
        {
            "type": "response.output_text.delta",
            "sequence_number": 1,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": "Hello",
            "logprobs": [],
        },
        {"type": last, "sequence_number": 2, "response": response},
    ]

    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for one in events:
            if gate is not None and one is events[-1]:
                await gate.wait()
            writer.write(http_chunk(b"event: %b\n" % one["type"].encode() + event(one)))
        if ends:
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    return script


async def finish(client: openai.AsyncOpenAI, text: str, **fields: Any) -> Response:
    """Stream one answer to its end."""
    stream = await client.responses.create(model="chat", input=text, stream=True, **fields)
    events = [one async for one in stream]
    assert events[-1].type == "response.completed"
    return events[-1].response
