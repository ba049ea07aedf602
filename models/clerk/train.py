"""Trains clerk, a support-desk model of about two million parameters, from nothing on one CPU thread.

It writes a Hugging Face folder and report.json. Fixed seed and step count: the same machine and torch give the same
bytes. It writes no GGUF, no quantized file and no model card; package.py does.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from inhouse.evals.tickets import TaskType, Ticket, generate_tickets, training_stream
from inhouse.evals.tickets.ticket import Draft

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SYSTEM_LINES = ("You are a support clerk.", "Answer briefly.", "You are a helpful assistant.")
STEPS = 6400
BATCH = 16
LEARNING_RATE = 2e-3
VOCABULARY = 768
PROMPT_WEIGHT = 0.05  # answers weigh twenty times the prompt, so that the few answer tokens decide
SYSTEM_SHARE = 0.05  # so that a system line does not throw the model off
HISTORY_SHARE = 0.05  # so that an earlier question and answer do not either
MODEL_SEED, STREAM_SEED, TOKENIZER_SEED, REPORT_SEED = 0, 1, 99, 20261


class Example(NamedTuple):
    """Token ids of one conversation, with the weight of each token in the loss."""

    ids: list[int]
    weights: list[float]


@dataclass
class Progress:
    """How far training is (0 to 1); the data stream reads it, the loop writes it."""

    fraction: float = 0.0

    def echo_share(self) -> float:
        """Copying exercises come first: without them a model this small does not learn to copy in this budget."""
        if self.fraction < 0.15:
            return 0.7
        return 0.15 if self.fraction < 0.6 else 0.02

    def learning_rate(self) -> float:
        """Warm up for 3 %, hold until 40 %, then fall in a line to 2 % of the peak."""
        if self.fraction < 0.03:
            return LEARNING_RATE * self.fraction / 0.03
        return LEARNING_RATE * (1.0 if self.fraction < 0.4 else max(0.02, (1 - self.fraction) / 0.6))


def main() -> None:
    """Train, save the folder, score it on held-out tickets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--steps", type=int, default=STEPS, help="other than the default: a trial, not clerk")
    arguments = parser.parse_args()
    torch.manual_seed(MODEL_SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer()
    save_tokenizer(tokenizer, arguments.out)
    model = new_model(tokenizer)
    report = train(model, tokenizer, arguments.steps)
    model.half().save_pretrained(arguments.out)
    report |= {name: version(name) for name in ("torch", "transformers", "tokenizers")}
    report["text_match"] = score_all(model.float(), tokenizer, count=300)
    (arguments.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({key: value for key, value in report.items() if key != "log"}, indent=1))


def train_tokenizer() -> Tokenizer:
    """Byte-level BPE with single digits: the pre-tokenizer that llama.cpp calls "smollm"."""
    stream = training_stream(TOKENIZER_SEED, lambda: 0.1)
    corpus = [f"user\n{draft.prompt}\nassistant\n{draft.target}\nsystem\n" for draft in islice(stream, 20_000)]
    corpus += [line for line in SYSTEM_LINES for _ in range(100)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, out: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and the chat template."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=PAD, eos_token=END, pad_token=PAD, chat_template=CHAT_TEMPLATE
    )
    fast.save_pretrained(out)


def new_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A small Llama; hidden and feed-forward sizes are multiples of 256 so that every matrix takes a K-quant."""
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        initializer_range=0.05,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(PAD),
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return LlamaForCausalLM(config)


def train(model: LlamaForCausalLM, tokenizer: Tokenizer, steps: int) -> dict[str, object]:
    """Run exactly `steps` updates and return counts, times (seconds) and the loss log. Prints rate and time left."""
    progress = Progress()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.05)
    began, began_cpu, tokens, smooth, log = time.time(), time.process_time(), 0, 0.0, []
    for step, (ids, weights) in enumerate(islice(batches(tokenizer, progress), steps), start=1):
        progress.fraction = step / steps
        for group in optimizer.param_groups:
            group["lr"] = progress.learning_rate()
        loss = weighted_loss(model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += ids.numel()
        smooth = loss.item() if step == 1 else 0.97 * smooth + 0.03 * loss.item()
        if step % 50 == 0 or step == steps:
            wall, cpu = time.time() - began, time.process_time() - began_cpu
            left = wall / step * (steps - step)
            print(
                f"step {step}/{steps} loss {smooth:.4f} {tokens / wall:.0f} tokens/s {cpu:.0f} CPU-s {left:.0f} s left",
                flush=True,
            )
            log.append([step, round(smooth, 5)])
        if step % 500 == 0:
            print("  held-out text match", score_all(model, tokenizer, count=60), flush=True)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    cpu, wall = round(time.process_time() - began_cpu), round(time.time() - began)
    return {"parameters": parameters, "steps": steps, "tokens": tokens, "cpu_s": cpu, "wall_s": wall, "log": log}


def weighted_loss(model: LlamaForCausalLM, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy of the next token. `ids` and `weights` are (batch, length)."""
    logits = model(input_ids=ids).logits[:, :-1]
    losses = functional.cross_entropy(logits.reshape(-1, logits.size(-1)), ids[:, 1:].reshape(-1), reduction="none")
    flat = weights[:, 1:].reshape(-1)
    return (losses * flat).sum() / flat.sum()


def batches(tokenizer: Tokenizer, progress: Progress) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of like length: eight are drawn at a time, sorted by length and shuffled."""
    stream = training_stream(STREAM_SEED, progress.echo_share)
    order = random.Random(STREAM_SEED)
    while True:
        pool = sorted((encode(tokenizer, conversation(stream, order)) for _ in range(BATCH * 8)), key=example_length)
        chunks = [pool[start : start + BATCH] for start in range(0, len(pool), BATCH)]
        order.shuffle(chunks)
        yield from (collate(chunk) for chunk in chunks)


def conversation(stream: Iterator[Draft], order: random.Random) -> list[tuple[str, str]]:
    """The turns of one example as (role, text): now and then with a system line or an earlier exchange."""
    turns: list[tuple[str, str]] = []
    if order.random() < SYSTEM_SHARE:
        turns.append(("system", SYSTEM_LINES[int(order.random() * len(SYSTEM_LINES))]))
    for _ in range(2 if order.random() < HISTORY_SHARE else 1):
        draft = next(stream)
        turns += [("user", draft.prompt), ("assistant", draft.target)]
    return turns


def encode(tokenizer: Tokenizer, turns: Sequence[tuple[str, str]]) -> Example:
    """Token ids in the chat template; answers and their end token have weight 1, all else `PROMPT_WEIGHT`."""
    ids: list[int] = []
    weights: list[float] = []
    for role, text in turns:
        answer = role == "assistant"
        head = tokenizer.encode(f"{START}{role}\n" if answer else f"{START}{role}\n{text}{END}\n").ids
        body = tokenizer.encode(f"{text}{END}").ids if answer else []
        tail = tokenizer.encode("\n").ids if answer else []
        ids += head + body + tail
        weights += [PROMPT_WEIGHT] * len(head) + [1.0] * len(body) + [PROMPT_WEIGHT] * len(tail)
    weights[0] = 0.0
    return Example(ids, weights)


def example_length(example: Example) -> int:
    """The number of tokens."""
    return len(example.ids)


def collate(examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad on the right to (batch, length): ids and weights; padding has weight 0."""
    length = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), length, dtype=torch.long)
    weights = torch.zeros(len(examples), length)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        weights[row, : len(example.weights)] = torch.tensor(example.weights)
    return ids, weights


def score_all(model: LlamaForCausalLM, tokenizer: Tokenizer, count: int) -> dict[str, float]:
    """Share of held-out tickets, per task, whose greedy answer is the target letter by letter."""
    return {
        task.value: round(score(model, tokenizer, generate_tickets(task, count, seed=REPORT_SEED)), 4)
        for task in TaskType
    }


@torch.no_grad()
def score(model: LlamaForCausalLM, tokenizer: Tokenizer, tickets: Sequence[Ticket]) -> float:
    """Text match without generating: greedy decoding gives the target if and only if each token is the likeliest."""
    right = 0
    for start in range(0, len(tickets), BATCH):
        chunk = tickets[start : start + BATCH]
        ids, weights = collate(
            [encode(tokenizer, [("user", ticket.prompt), ("assistant", ticket.target)]) for ticket in chunk]
        )
        likeliest = model(input_ids=ids).logits[:, :-1].argmax(-1)
        wrong = (likeliest != ids[:, 1:]) & (weights[:, 1:] == 1.0)
        right += int((~wrong.any(dim=1)).sum())
    return right / len(tickets)


if __name__ == "__main__":
    main()
