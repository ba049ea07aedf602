"""The fault server without faults speaks both dialects as their SDKs want them; its faults are what they say."""

from __future__ import annotations

import anthropic
import openai
import pytest

from flows.faults.fault_server import OWN_ANSWER, FaultServer

ASK = [{"role": "user", "content": "how are you?"}]


async def test_without_a_fault_openais_sdk_gets_the_whole_answer() -> None:
    async with FaultServer() as server, openai.AsyncOpenAI(base_url=server.base_url, api_key="k") as sdk:
        whole = await sdk.chat.completions.create(model="tiny", messages=ASK)  # type: ignore[arg-type]
        stream = await sdk.chat.completions.create(
            model="tiny",
            messages=ASK,  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert whole.choices[0].message.content == OWN_ANSWER.text
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == OWN_ANSWER.text
    assert chunks[-2].choices[0].finish_reason == "stop"
    for usage in (whole.usage, chunks[-1].usage):
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens) == (7, 5)


async def test_without_a_fault_anthropics_sdk_gets_the_whole_answer() -> None:
    async with FaultServer() as server:
        root = server.base_url.removesuffix("/v1")
        async with anthropic.AsyncAnthropic(base_url=root, api_key="k") as sdk:
            whole = await sdk.messages.create(model="tiny", max_tokens=9, messages=ASK)  # type: ignore[arg-type]
            async with sdk.messages.stream(model="tiny", max_tokens=9, messages=ASK) as stream:  # type: ignore[arg-type]
                streamed = await stream.get_final_message()
    for message in (whole, streamed):
        assert [block.text for block in message.content if block.type == "text"] == [OWN_ANSWER.text]
        assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 7, 5)


@pytest.mark.parametrize("fault", ["error", "malformed", "ping", "end-between"])
async def test_a_fault_of_an_anthropic_stream_comes_after_its_first_content(fault: str) -> None:
    async with FaultServer() as server:
        root = server.base_url.removesuffix("/v1")
        texts: list[str] = []
        async with anthropic.AsyncAnthropic(base_url=root, api_key="k", max_retries=0, timeout=0.5) as sdk:

            async def read() -> None:
                async with sdk.messages.stream(
                    model=f"fault:{fault}:after",
                    max_tokens=9,
                    messages=ASK,  # type: ignore[arg-type]
                ) as stream:
                    async for text in stream.text_stream:
                        texts.append(text)
                        if len(texts) == 2 and fault == "ping":
                            return

            if fault in {"ping", "end-between"}:
                await read()
            else:
                with pytest.raises((anthropic.AnthropicError, ValueError)):
                    await read()
    assert texts == list(OWN_ANSWER.pieces[:2])


async def test_a_fault_may_end_after_so_many_requests() -> None:
    async with FaultServer() as server, openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as sdk:
        codes: list[int] = []
        for _ in range(3):
            try:
                await sdk.chat.completions.create(model="fault:503:before:2", messages=ASK)  # type: ignore[arg-type]
                codes.append(200)
            except openai.APIStatusError as error:
                codes.append(error.status_code)
    assert codes == [503, 503, 200]
