"""The demonstration's application: the openai SDK as anybody would use it. Its base URL comes from the environment.

Usage: `python -m inhouse.cli.sdk_app MODEL PROMPT TASK`; prints one line of JSON per event.
"""

from __future__ import annotations

import json
import sys

import openai


def main(model: str, prompt: str, task: str) -> None:
    """Stream one chat completion, and print what the SDK gives."""
    client = openai.OpenAI()  # base_url: OPENAI_BASE_URL, api_key: OPENAI_API_KEY
    reply = client.chat.completions.with_raw_response.create(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        temperature=0,
        stream=True,
        extra_headers={"x-inhouse-task": task},
    )
    emit(kind="headers", headers={name: value for name, value in reply.headers.items() if name.startswith("x-inhouse")})
    for chunk in reply.parse():
        for choice in chunk.choices:
            if choice.delta.content:
                emit(kind="text", text=choice.delta.content)
            if choice.finish_reason:
                emit(kind="end", finish_reason=choice.finish_reason)


def emit(**event: object) -> None:
    """One event as a line."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4])
