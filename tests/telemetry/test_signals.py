"""Free quality signals: each known kind of broken answer shows, good answers show none, nothing raises."""

from __future__ import annotations

import itertools
import json
import random
import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.domain import Signals, Usage
from inhouse.telemetry import (
    Answer,
    Ask,
    LogprobStats,
    SignalFlag,
    SignalLine,
    ToolCall,
    list_signals,
    measure_signals,
    read_flags,
)

PROSE = (
    "The order was handed to the carrier on Monday. Please offer a refund or a second parcel, whichever the customer "
    "likes better. If the parcel was lost, the carrier will answer within three working days."
)
ENGLISH = json.dumps([{"role": "user", "content": "Where is my parcel?"}]).encode()
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


def measure(text: str, *, ask: Ask | None = None, usage: Usage | None = None, **changes: Any) -> Signals:
    """A finished answer of this text to an English question."""
    values: dict[str, Any] = {"finish_reason": "stop"} | changes
    return measure_signals(Answer(text=text, **values), ask or Ask(prompt=ENGLISH), usage)


def raised(signals: Signals) -> set[SignalFlag]:
    return {flag for flag, is_raised in read_flags(signals).items() if is_raised}


def test_a_good_answer_raises_nothing_and_says_what_it_measured() -> None:
    signals = measure(PROSE, ask=Ask(prompt=ENGLISH, max_tokens=80), usage=Usage(output_visible=40))
    assert signals == Signals(
        num_chars=200,
        empty=0,
        reasoning_only=0,
        truncated=0,
        cap_share=50,
        script_mismatch=0,
        chars_per_token=500,
    )
    assert raised(signals) == set()


def test_the_record_of_a_good_answer_is_short() -> None:
    signals = measure(PROSE, ask=Ask(prompt=ENGLISH, max_tokens=80), usage=Usage(output_visible=40))
    assert msgspec.json.encode(signals) == (
        b'{"num_chars":200,"empty":0,"reasoning_only":0,"truncated":0,"cap_share":50,"script_mismatch":0,'
        b'"chars_per_token":500}'
    )


def test_what_was_not_asked_for_or_not_said_is_absent_and_not_zero() -> None:
    signals = measure_signals(Answer(text="Half an ans"), Ask(), None)
    assert signals == Signals(num_chars=11)
    assert set(read_flags(signals)) == {
        SignalFlag.REFUSAL,
        SignalFlag.TOKEN_LEAK,
        SignalFlag.WHITESPACE_RUN,
        SignalFlag.LONG_RUN,
        SignalFlag.REPETITION,
    }


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_an_answer_without_content_is_empty(text: str) -> None:
    """A parser that gives null and `stop`."""
    signals = measure(text)
    assert (signals.empty, signals.reasoning_only) == (1, 0)
    assert raised(signals) == {SignalFlag.EMPTY}


def test_an_answer_that_went_into_the_reasoning_is_told_apart() -> None:
    signals = measure("", num_reasoning_chars=300)
    assert raised(signals) == {SignalFlag.EMPTY, SignalFlag.REASONING_ONLY}


@pytest.mark.parametrize("changes", [{"tool_calls": (ToolCall("look_up", "{}"),)}, {"has_other": True}])
def test_a_tool_call_or_other_output_is_not_empty(changes: dict[str, Any]) -> None:
    assert measure("", **changes).empty == 0


def test_an_answer_that_broke_off_is_not_judged_as_empty() -> None:
    assert measure("", finish_reason=None).empty is None


@pytest.mark.parametrize(
    ("finish", "truncated"),
    [
        ("stop", 0),
        ("end_turn", 0),
        ("tool_calls", 0),
        ("completed", 0),
        ("length", 1),
        ("max_tokens", 1),
        ("max_output_tokens", 1),
        ("model_context_window_exceeded", 1),
        (None, None),
    ],
)
def test_truncation_is_read_in_every_dialect(finish: str | None, truncated: int | None) -> None:
    assert measure(PROSE, finish_reason=finish).truncated == truncated


@pytest.mark.parametrize(
    ("usage", "limit", "share"),
    [
        (Usage(output_visible=64), 64, 100),
        (Usage(output_visible=10, output_reasoning=20), 64, 46),
        (Usage(output_visible=64), 0, None),
        (Usage(output_visible=64), None, None),
        (None, 64, None),
        (Usage(output_visible=10**9), 1, 10_000),
    ],
)
def test_the_share_of_the_clients_own_limit(usage: Usage | None, limit: int | None, share: int | None) -> None:
    assert measure(PROSE, ask=Ask(max_tokens=limit), usage=usage).cap_share == share


def test_exclamation_marks_without_end_show() -> None:
    """What engines answer when the logits are not numbers."""
    signals = measure("!" * 500, finish_reason="length")
    assert (signals.longest_run, signals.repeated_share) == (500, 99)
    assert signals.compressed_share is not None
    assert signals.compressed_share < 6
    assert raised(signals) == {SignalFlag.LONG_RUN, SignalFlag.REPETITION, SignalFlag.TRUNCATED}


def test_a_ruler_line_in_a_long_answer_raises_nothing() -> None:
    signals = measure(PROSE + "\n" + "-" * 40 + "\n" + PROSE[::-1])
    assert signals.longest_run == 40
    assert SignalFlag.LONG_RUN not in raised(signals)


def test_whitespace_without_end_shows() -> None:
    """What constrained decoding gives when nothing but whitespace is allowed."""
    signals = measure('{"category":' + " \n\t " * 100, finish_reason="length")
    assert signals.whitespace_run == 400
    assert {SignalFlag.WHITESPACE_RUN, SignalFlag.TRUNCATED} <= raised(signals)


def test_indented_code_raises_nothing() -> None:
    signals = measure("def f():\n    if True:\n        if True:\n            return 1\n")
    assert signals.whitespace_run == 13
    assert raised(signals) == set()


def test_a_loop_shows_from_its_end() -> None:
    signals = measure(PROSE + " I will check the order again." * 12)
    assert signals.repeated_share == 60  # 63 of 105 runs of four words
    assert signals.compressed_share is not None
    assert 20 < signals.compressed_share < 40
    assert raised(signals) == {SignalFlag.REPETITION}


def test_a_short_text_said_twice_is_too_short_for_runs_of_words() -> None:
    signals = measure("refund the parcel please now refund the parcel please now")
    assert signals.repeated_share is None
    assert signals.compressed_share is not None
    assert raised(signals) == set()


def test_a_loop_without_spaces_shows() -> None:
    signals = measure("订单已交给承运商。" * 30, ask=Ask(prompt="[订单]".encode()))
    assert signals.repeated_share == 96
    assert raised(signals) == {SignalFlag.REPETITION}


def test_a_long_answer_is_always_looked_at_for_repetition() -> None:
    rng = random.Random(7)
    words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(900)]
    signals = measure(" ".join(words))
    assert signals.repeated_share == 0
    assert signals.compressed_share is not None
    assert 50 < signals.compressed_share < 90
    assert raised(signals) == set()


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 4.<|im_end|>",
        "The answer is 4.<|eot_id",
        "The user asks for 2 + 2.</think>The answer is 4.",
        "<think>The user asks",
        "The answer is 4.</s>\n",
        "[INST] What is 2 + 2? [/INST] 4",
        "<start_of_turn>model\n4",
        "<｜end▁of▁sentence｜>",
        '<tool_call>\n{"name": "add"}\n</tool_call>',
        "[TOOL_CALLS][{}]",
        "TheĠansweris",
        "The▁answer",
        "A broken \ufffd character",
        "A byte <0x0A> token",
    ],
)
def test_special_tokens_in_the_text_show(text: str) -> None:
    assert raised(measure(text)) == {SignalFlag.TOKEN_LEAK}


@pytest.mark.parametrize(
    "text",
    [
        "Use `a <| b` or x[0] < 3 && y | z, see [the docs](docs) and <b>bold</b>.",
        "Write:\n```\n<|im_start|>user\nHello<|im_end|>\n```\nand send it.",
        "```\n<|im_start|> to the end",
        "<s>struck through</s> in HTML",
        "Il-belt ta' Ġgantija – Ġorġ",
        "▁▂▃▄▅",
    ],
)
def test_code_and_markup_are_no_leak(text: str) -> None:
    assert measure(text).token_leak == 0


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I\u2019m sorry, but I can\u2019t help with that request.",
        "I cannot provide instructions for this.",
        "Unfortunately, I am not able to help you with this.",
        "Sorry.\n\nI won't write that.",
        "As an AI language model, I don't have opinions.",
        "I must decline this request.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudar con eso.",
        "很抱歉，我无法提供这类信息。",
        "申し訳ありませんが、お手伝いできません。",
    ],
)
def test_a_refusal_reads_as_one(text: str) -> None:
    assert measure(text).refusal == 1


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "I checked the order: it did not arrive, so the refund cannot be refused.",
        "You can't return opened software. The shop will not help here.",
        "I am not sure which order you mean. Could you give the number?",
        "AI cannot give birth; Wi-Fi cannot provide power.",
        "Ich kann die Bestellung sehen. Sie ist nicht angekommen.",
        PROSE + " I cannot help with the rest.",
    ],
)
def test_an_ordinary_answer_is_no_refusal(text: str) -> None:
    assert measure(text).refusal == 0


@pytest.mark.parametrize("finish", ["content_filter", "refusal"])
def test_what_the_endpoint_itself_calls_a_refusal_is_one(finish: str) -> None:
    assert measure("", finish_reason=finish).refusal == 1
    assert measure("", is_refusal=True).refusal == 1


def prompt(text: str, *, is_escaped: bool = False) -> bytes:
    return json.dumps([{"role": "user", "content": text}], ensure_ascii=is_escaped).encode()


@pytest.mark.parametrize("is_escaped", [False, True])
@pytest.mark.parametrize(
    ("asked", "text", "percent"),
    [
        ("Where is it?", "It is แล้ว here", 34),
        ("Where is it?", "The parcel is on its way, 包裹.", 10),
        ("Where is it?", "A café in Zürich — “naïve”, 5 µm, α + β, €3 😀", 0),
        ("Où est-ce ?", "C'est là.", 0),
        ("包裹在哪里?", "包裹已交给承运商, iPhone 15.", 0),
        ("包裹在哪里?", "The parcel is on its way.", 100),
        ("包裹在哪里? Answer in English.", "The parcel is on its way.", 0),
        ("荷物はどこですか", "包裹已交给承运商", 0),
        ("包裹在哪里?", "荷物はどこですか", 75),
        ("Где посылка?", "Посылка в пути.", 0),
        ("Где посылка?", "Пакет је на путу, 包.", 8),
        ("Where is it?", "12 + 30 = 42", 0),
        ("包裹在哪里?", "12 + 30 = 42", 0),
        ("Translate `x`", "Use:\n```\nprint('привет')\n```\nDone.", 0),
    ],
)
def test_letters_in_a_script_that_the_prompt_does_not_use(
    asked: str, text: str, percent: int, *, is_escaped: bool
) -> None:
    """Foreign characters in English answers were the first sign of a wrong kernel."""
    assert measure(text, ask=Ask(prompt=prompt(asked, is_escaped=is_escaped))).script_mismatch == percent


def test_one_foreign_letter_in_a_long_answer_shows() -> None:
    assert measure(PROSE * 20 + "ก", finish_reason="stop").script_mismatch == 1


def test_names_of_members_are_not_the_prompts_words() -> None:
    body = b'[{"role":"user","content":[{"type":"text","text":"\xe5\x8c\x85\\n"},{"type":"image_url","image_url":'
    body += b'{"url":"data:image/png;base64,iVBORw0KGgo"}}]}]'
    assert measure("The parcel is on its way.", ask=Ask(prompt=body)).script_mismatch == 100


@pytest.mark.parametrize(
    ("usage", "changes", "expected"),
    [
        (Usage(output_visible=50), {}, 400),
        (Usage(output_visible=50, output_reasoning=10), {"num_reasoning_chars": 48}, 400),
        (Usage(output_visible=50), {"num_reasoning_chars": 48}, 496),
        (Usage(output_visible=50), {"tool_calls": (ToolCall("look", '{"id":1}'),)}, 424),
        (Usage(), {}, None),
        (None, {}, None),
    ],
)
def test_characters_per_token(usage: Usage | None, changes: dict[str, Any], expected: int | None) -> None:
    """Reasoning that is not counted apart is among the visible tokens."""
    assert measure(PROSE, usage=usage, **changes).chars_per_token == expected


def test_log_probabilities_are_taken_over() -> None:
    signals = measure(PROSE, logprobs=LogprobStats(10, -1250, 100, 900))
    assert (signals.logprob_mean, signals.logprob_low_share, signals.logprob_margin) == (-1250, 100, 900)
    assert measure(PROSE, logprobs=LogprobStats(10, -1250, 100, None)).logprob_margin is None


def test_signals_in_words_leave_out_what_was_not_measured() -> None:
    signals = Signals(num_chars=1200, empty=0, longest_run=800, script_mismatch=3, json_valid=0, cap_share=50,
                      chars_per_token=450, logprob_mean=-312, logprob_low_share=15)  # fmt: skip
    lines = list_signals(signals)
    assert lines == [
        SignalLine("empty", "no", is_raised=False),
        SignalLine("reads as a refusal", "no", is_raised=False),
        SignalLine("special tokens in the text", "no", is_raised=False),
        SignalLine("endless whitespace", "no", is_raised=False),
        SignalLine("one character repeated", "yes, 800 times", is_raised=True),
        SignalLine("repeats itself", "no", is_raised=False),
        SignalLine("letters of another script", "yes, 3%", is_raised=True),
        SignalLine("broken JSON", "yes", is_raised=True),
        SignalLine("length", "1,200 characters"),
        SignalLine("of the client's limit of tokens", "50%"),
        SignalLine("characters per token", "4.50"),
        SignalLine("mean log probability", "-0.312"),
        SignalLine("tokens below -5", "1.5%"),
    ]


def longest(text: str, *, is_space: bool) -> int:
    """The plain way."""
    if is_space:
        return max((len(list(run)) for spaces, run in itertools.groupby(text, str.isspace) if spaces), default=0)
    runs = (len(list(run)) for character, run in itertools.groupby(text) if not character.isspace())
    return max(runs, default=0)


PIECES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "!", " ", "\n", "é", "承", "😀", "\u3000", "ab", "abcd"]), st.integers(1, 40)),
    max_size=12,
)


@given(PIECES, ANY_TEXT)
def test_runs_are_found_wherever_they_stand(pieces: list[tuple[str, int]], around: str) -> None:
    text = around + "".join(piece * count for piece, count in pieces) + around
    signals = measure(text)
    run = longest(text, is_space=False)
    assert signals.longest_run == (run if run >= 16 else 0)
    if all(character.isascii() for character in text if character.isspace()):
        spaces = longest(text, is_space=True)
        assert signals.whitespace_run == (spaces if spaces >= 8 else 0)


@given(
    ANY_TEXT,
    st.binary(max_size=200),
    st.binary(max_size=200),
    st.binary(max_size=200),
    st.sampled_from([None, "stop", "length"]),
    st.integers(-1, 10**30),
)
def test_no_input_is_refused(
    text: str, asked: bytes, form: bytes, tools: bytes, finish: str | None, number: int
) -> None:
    answer = Answer(text=text, finish_reason=finish, tool_calls=(ToolCall(text, text),), num_left_out=3)
    ask = Ask(prompt=asked, format=form, tools=tools, max_tokens=number)
    signals = measure_signals(answer, ask, Usage(output_visible=number))
    assert signals.num_chars == len(text) + 3
    assert msgspec.json.decode(msgspec.json.encode(signals), type=Signals) == signals
    assert len(list_signals(signals)) >= 6


@pytest.mark.parametrize("unit", ["!", "ab", "abcd", " ", "a ", "承", "😀 ", "<|", "```", "[", "i can't ", "\\u"])
def test_a_huge_text_is_looked_at_in_part(unit: str) -> None:
    """A million characters; only the first 64 Ki and the last 16 Ki are looked at, so this takes milliseconds."""
    text = unit * (1_000_000 // len(unit))
    signals = measure(text, ask=Ask(prompt=(unit * 30_000).encode()))
    assert signals.num_chars == len(text)
    assert signals.longest_run <= 81_920
    assert signals.whitespace_run <= 81_920
