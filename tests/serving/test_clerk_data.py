"""clerk's files: as the hashes say, described by the card, and answering through the real engine."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from inhouse.evals.tickets import TaskType, generate_tickets
from inhouse.serving.clerk import CLERK_NAME, clerk_gguf, clerk_path
from inhouse.serving.gguf import QuantLevel, quantize_gguf

# One greedy answer per prompt of a JSON list on stdin; a child, because a fault in C++ ends the process.
ENGINE = """
import json, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.verbosity, params.cache_ram_mib = 1024, 1, 0, 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.use_jinja = True
server = xllamacpp.Server(params)
choices = [
    server.handle_chat_completions(
        {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 96}
    )["choices"][0]
    for prompt in json.load(sys.stdin)
]
print(json.dumps([[choice["message"]["content"], choice["finish_reason"]] for choice in choices]))
"""


def ask(model: Path, prompts: list[str]) -> list[list[str]]:
    run = subprocess.run(
        [sys.executable, "-c", ENGINE, str(model)],
        input=json.dumps(prompts),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def test_every_file_has_the_hash_that_hashes_json_and_the_card_name() -> None:
    hashes = json.loads(clerk_path("hashes.json").read_text())
    card = clerk_path("MODEL_CARD.md").read_text(encoding="utf-8")
    assert {"clerk-f16.gguf", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"} <= set(
        hashes
    )
    for name, expected in hashes.items():
        assert hashlib.sha256(clerk_path(name).read_bytes()).hexdigest() == expected, name
        assert f"| `{name}` | `{expected}` |" in card


def test_the_card_reports_every_level_and_task() -> None:
    card = clerk_path("MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"# {CLERK_NAME}" in card
    assert card.count("| F16 |") == 2
    for level in QuantLevel:
        assert card.count(f"| {level} |") == 3
    for task in TaskType:
        assert task in card


def test_an_unknown_file_is_refused_by_name() -> None:
    with pytest.raises(FileNotFoundError, match=r"no file 'weights\.bin'"):
        clerk_path("weights.bin")


@pytest.mark.engine
def test_clerk_answers_held_out_tickets_through_the_engine_and_stops_by_itself() -> None:
    tickets = [
        ticket
        for task in TaskType
        if task is not TaskType.REASONING
        for ticket in generate_tickets(task, 8, seed=42)
        if not ticket.slices
    ]
    replies = ask(clerk_gguf(), [ticket.prompt for ticket in tickets])
    right = sum(reply == ticket.target for ticket, (reply, _) in zip(tickets, replies, strict=True))
    assert right >= 0.9 * len(tickets)
    assert {reason for _, reason in replies} == {"stop"}


@pytest.mark.engine
def test_q8_answers_as_f16_does(tmp_path: Path) -> None:
    quantize_gguf(clerk_gguf(), tmp_path / "q8.gguf", level=QuantLevel.Q8_0)
    prompts = [ticket.prompt for ticket in generate_tickets(TaskType.SUMMARY, 20, seed=42)]
    same = sum(
        one == two for one, two in zip(ask(clerk_gguf(), prompts), ask(tmp_path / "q8.gguf", prompts), strict=True)
    )
    assert same >= 18
