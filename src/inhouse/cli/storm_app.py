"""An application like many: it asks a number of things through OpenAI's SDK, streamed, and believes what it gets.

Reads `StormJob`s from standard input, a line of JSON each; answers each with a line, the list of its `StormResult`s.
The SDK's own retries are left as they come.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
import openai

from inhouse.cli.storm_job import Ending, StormJob, StormResult


def main() -> int:
    """Serve jobs until standard input ends; always 0, because the endings are the result."""
    for line in sys.stdin.buffer:
        results = asyncio.run(_ask_all(msgspec.json.decode(line, type=StormJob)))
        sys.stdout.buffer.write(msgspec.json.encode(results) + b"\n")
        sys.stdout.buffer.flush()
    return 0


async def _ask_all(job: StormJob) -> list[StormResult]:
    gate = asyncio.Semaphore(job.num_at_once)
    async with openai.AsyncOpenAI(base_url=job.base_url, api_key=job.key) as client:

        async def ask(prompt: str) -> StormResult:
            async with gate:
                return await _ask(client, job, prompt)

        return await asyncio.gather(*(ask(prompt) for prompt in job.prompts))


async def _ask(client: openai.AsyncOpenAI, job: StormJob, prompt: str) -> StormResult:
    started_at = time.perf_counter()
    ending, endpoint, words = Ending.CUT, None, None
    try:
        async with asyncio.timeout(job.patience_s):
            stream = await client.chat.completions.create(
                model=job.model,
                messages=[{"role": "user", "content": prompt}],
                temperature=0,
                max_tokens=160,
                stream=True,
            )
            endpoint = stream.response.headers.get("x-inhouse-endpoint")
            async for chunk in stream:
                if any(choice.finish_reason for choice in chunk.choices):
                    ending = Ending.FULL
    except TimeoutError:
        ending = Ending.HUNG
    except openai.OpenAIError as error:
        ending, words = Ending.ERROR, str(error)
    return StormResult(ending, time.perf_counter() - started_at, endpoint, words)


if __name__ == "__main__":
    sys.exit(main())
