"""Turns a folder written by train.py into the files that ship: weights, tokenizer, F16 GGUF, hashes and model card.

It quantizes clerk to every level in a temporary folder, runs each through llama.cpp and writes what it measured.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evaluate import COUNT, SEED, Share, held_out, is_right, read_only_desk, shares

from inhouse.evals.tickets import TaskType, Ticket
from inhouse.serving.gguf import QuantLevel, quantize_gguf, write_gguf

DESTINATION = Path(__file__).resolve().parents[2] / "src" / "inhouse" / "serving" / "clerk"
GGUF_NAME = "clerk-f16.gguf"
COPIED = ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json", "chat_template.jinja")


def main() -> None:
    """Copy, convert, measure, write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that train.py wrote")
    run: Path = parser.parse_args().run
    for name in COPIED:
        shutil.copyfile(run / name, DESTINATION / name)
    write_gguf(DESTINATION, DESTINATION / GGUF_NAME)
    hashes = {name: digest(DESTINATION / name) for name in sorted((*COPIED, GGUF_NAME))}
    (DESTINATION / "hashes.json").write_text(json.dumps(hashes, indent=2) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        files = {"F16": DESTINATION / GGUF_NAME}
        for level in QuantLevel:
            files[level.value] = Path(folder) / f"clerk-{level.lower()}.gguf"
            quantize_gguf(files["F16"], files[level.value], level=level)
        replies = {name: measure(file, Path(folder) / f"{name}.json") for name, file in files.items()}
        sizes = {name: file.stat().st_size for name, file in files.items()}
        quantized = {f"clerk-{level.lower()}.gguf": digest(files[level.value]) for level in QuantLevel}
    tickets = held_out()
    report = json.loads((run / "report.json").read_text())
    card = write_card(report, tickets, replies, sizes, hashes | quantized)
    (DESTINATION / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    print(card)


def digest(file: Path) -> str:
    """The file's sha256 in hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def measure(model: Path, answers: Path) -> list[str]:
    """The model's answers to the held-out tickets, from an engine in its own process."""
    script = Path(__file__).with_name("evaluate.py")
    subprocess.run([sys.executable, script, model, answers], check=True, stderr=subprocess.DEVNULL)  # noqa: S603
    print(f"measured {model.name}", flush=True)
    return list(json.loads(answers.read_text()))


def write_card(
    report: Mapping[str, Any],
    tickets: Sequence[Ticket],
    replies: Mapping[str, list[str]],
    sizes: Mapping[str, int],
    hashes: Mapping[str, str],
) -> str:
    """The model card as Markdown."""
    results = {name: shares(tickets, answers) for name, answers in replies.items()}
    minutes = report["cpu_s"] / 60
    return CARD.format(
        parameters=f"{report['parameters']:,}",
        steps=f"{report['steps']:,}",
        tokens=f"{report['tokens'] / 1e6:.2f}",
        minutes=f"{minutes:.0f}",
        torch=report["torch"],
        transformers=report["transformers"],
        engine=version("xllamacpp"),
        seed=SEED,
        count=COUNT,
        accuracy=accuracy_table(results),
        levels=level_table(replies, sizes),
        paired=paired_table(tickets, replies),
        slices=slice_table(results["F16"]),
        hashes="\n".join(f"| `{name}` | `{value}` |" for name, value in hashes.items()),
    )


def accuracy_table(results: Mapping[str, Mapping[str, Share]]) -> str:
    """One row per level, one column per task: percent right with its interval."""
    rows = [" | ".join([f"| {name}", *(str(result[task]) for task in TaskType)]) for name, result in results.items()]
    return "\n".join(f"{row} |" for row in rows)


def level_table(replies: Mapping[str, list[str]], sizes: Mapping[str, int]) -> str:
    """One row per level: bytes and agreement with F16 over all tickets."""
    rows: list[str] = []
    for name, answers in replies.items():
        same = sum(left == other for left, other in zip(answers, replies["F16"], strict=True))
        rows.append(f"| {name} | {sizes[name]:,} | {Share(same, len(answers))} |")
    return "\n".join(rows)


def paired_table(tickets: Sequence[Ticket], replies: Mapping[str, list[str]]) -> str:
    """One row per level below F16, one column per task: "lost / gained" right answers against F16."""
    right = {name: right_flags(tickets, answers) for name, answers in replies.items()}
    rows: list[str] = []
    for name, flags in right.items():
        pairs = list(zip(tickets, right["F16"], flags, strict=True))
        lost = Counter(ticket.task for ticket, before, now in pairs if before and not now)
        gained = Counter(ticket.task for ticket, before, now in pairs if now and not before)
        rows.append(" | ".join([f"| {name}", *(f"{lost[task]} / {gained[task]}" for task in TaskType)]) + " |")
    return "\n".join(rows[1:])


def right_flags(tickets: Sequence[Ticket], answers: Sequence[str]) -> list[bool]:
    """Whether each answer is right."""
    with closing(read_only_desk()) as desk:
        return [is_right(ticket, answer, desk) for ticket, answer in zip(tickets, answers, strict=True)]


def slice_table(result: Mapping[str, Share]) -> str:
    """One row per slice of each task at F16."""
    return "\n".join(f"| {key} | {share.count} | {share} |" for key, share in result.items() if "/" in key)


CARD = """# clerk

A support-desk model of {parameters} parameters, trained from nothing on one CPU thread. It exists to show and test
the platform with a real engine, without a download and without a GPU. **Intended use: demonstration.** It knows
nothing but the six tasks below and answers anything else with nonsense. Licence: Apache-2.0.

## Data

Synthetic English tickets from `inhouse.evals.tickets`: topic (eight labels), sentiment (three), invoice to JSON,
one-line summary, SQL over the desk database, and sums over amounts. No text of any person or web page is in it.
A hash of the prompt's text puts a fifth of all prompts aside, so no held-out prompt of any seed was in training;
phrases of the slice `unseen-phrase` were not in training either.

## Training

`models/clerk/train.py`: Llama architecture, 3 layers, hidden 256, 8 heads of 32 (4 for keys and values),
feed-forward 512, context 1,024, tied embeddings, byte-level BPE of 768 tokens with single digits, ChatML.
AdamW, {steps} steps of 16 conversations, {tokens} M tokens, {minutes} CPU-minutes on one thread
(torch {torch}, transformers {transformers}). Seeds: model 0, data 1, tokenizer 99. The step count is fixed: the same
machine and torch give the same bytes. Weights are stored as F16.

## Accuracy

Percent right of {count} held-out tickets per task (seed {seed}), greedy, through llama.cpp (xllamacpp {engine}) on
one thread, with Wilson 95 % intervals. Exact match of the text; SQL by the rows that the query returns.
Every matrix has the level named, the embedding included.

| level | topic | sentiment | extract | summary | sql | reasoning |
|---|---|---|---|---|---|---|
{accuracy}

Agreement is the percent of all answers with the same text as at F16.

| level | bytes | agreement with F16 |
|---|---|---|
{levels}

Paired with F16 on the same tickets: right answers lost / gained.

| level | topic | sentiment | extract | summary | sql | reasoning |
|---|---|---|---|---|---|---|
{paired}

Slices at F16:

| task/slice | n | percent right |
|---|---|---|
{slices}

## Files

The quantized files are not stored: `inhouse.serving.gguf.quantize_gguf` writes them from `clerk-f16.gguf` in
milliseconds. Their bytes come from the ggml build named above.

| file | sha256 |
|---|---|
{hashes}
"""


if __name__ == "__main__":
    main()
