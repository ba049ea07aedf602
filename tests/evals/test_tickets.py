"""The seeded tickets: the same everywhere, split by text, and right by construction."""

import hashlib
import json
import re
from collections import Counter
from itertools import islice

import pytest

from inhouse.evals.tickets import (
    SQL_SCHEMA,
    TaskType,
    create_desk_database,
    generate_tickets,
    generate_workload,
    training_stream,
)
from inhouse.evals.tickets.generate import split_of
from inhouse.evals.tickets.phrases import BAD, GOOD, NEUTRAL, TOPICS
from inhouse.evals.tickets.ticket import Split

ALL_TASKS = list(TaskType)
UNSEEN = [
    phrase.replace("{subject}", "") for group in (*TOPICS.values(), BAD, GOOD, NEUTRAL) for phrase in group.unseen
]


@pytest.mark.parametrize("task", ALL_TASKS)
def test_same_seed_gives_the_same_tickets_and_another_seed_others(task: TaskType) -> None:
    first = generate_tickets(task, 50, seed=3)
    assert first == generate_tickets(task, 50, seed=3)
    assert first[:20] == generate_tickets(task, 20, seed=3)
    assert {ticket.prompt for ticket in first} != {ticket.prompt for ticket in generate_tickets(task, 50, seed=4)}


def test_tickets_are_pinned_over_python_versions_and_platforms() -> None:
    # A change here changes every number in clerk's model card: train and measure again, then pin anew.
    tickets = [ticket for task in ALL_TASKS for ticket in generate_tickets(task, 100, seed=1)]
    text = "\n".join(f"{ticket.id}\t{ticket.prompt}\t{ticket.target}\t{ticket.slices}" for ticket in tickets)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "b84996d5572f931303832cba3b843aa3ab34493f593399315bf592710febf376"
    )


@pytest.mark.parametrize("task", ALL_TASKS)
def test_prompts_are_unique_and_ids_say_task_split_and_place(task: TaskType) -> None:
    tickets = generate_tickets(task, 300, seed=5)
    assert len({ticket.prompt for ticket in tickets}) == 300
    assert tickets[7].id == f"{task}-heldout-0007"
    assert all("\n" not in ticket.target and ticket.target == ticket.target.strip() for ticket in tickets)


@pytest.mark.parametrize("task", ALL_TASKS)
def test_no_held_out_prompt_of_any_seed_is_a_training_prompt(task: TaskType) -> None:
    held_out = {ticket.prompt for seed in range(3) for ticket in generate_tickets(task, 300, seed=seed)}
    training = {ticket.prompt for seed in range(3) for ticket in generate_tickets(task, 300, seed=seed, split="train")}
    assert not held_out & training
    assert {split_of(prompt) for prompt in held_out} == {Split.HELD_OUT}


def test_the_training_stream_shows_no_held_out_prompt_and_no_unseen_phrase() -> None:
    for draft in islice(training_stream(1, lambda: 0.1), 5000):
        assert split_of(draft.prompt) is Split.TRAIN
        assert "unseen-phrase" not in draft.slices
        assert not any(phrase.lower() in draft.prompt.lower() for phrase in UNSEEN if len(phrase) > 12)


@pytest.mark.parametrize(
    ("task", "slice_name", "low", "high"),
    [
        (TaskType.TOPIC, "typos", 0.09, 0.18),
        (TaskType.TOPIC, "unseen-phrase", 0.08, 0.16),
        (TaskType.SENTIMENT, "unseen-phrase", 0.02, 0.08),
        (TaskType.EXTRACT, "letter-name", 0.1, 0.2),
        (TaskType.SUMMARY, "letter-name", 0.1, 0.2),
        (TaskType.REASONING, "three-items", 0.14, 0.3),
    ],
)
def test_slices_appear_in_their_share(task: TaskType, slice_name: str, low: float, high: float) -> None:
    tickets = generate_tickets(task, 1000, seed=6)
    assert low < sum(slice_name in ticket.slices for ticket in tickets) / 1000 < high


def test_every_sql_target_runs_and_most_return_something() -> None:
    desk = create_desk_database()
    tables = {name for (name,) in desk.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    assert tables == {"customers", "tickets"}
    assert SQL_SCHEMA.count("CREATE TABLE") == 2
    rows = [desk.execute(ticket.target).fetchall() for ticket in generate_tickets(TaskType.SQL, 500, seed=7)]
    desk.close()
    assert sum(bool(found) and found[0][0] not in (0, None) for found in rows) > 425


def test_sql_targets_hold_every_filter_that_the_question_names() -> None:
    for ticket in generate_tickets(TaskType.SQL, 300, seed=8):
        question = ticket.prompt.split("\n")[1]
        for word in ("open", "waiting", "closed", "billing", "delivery", "login", "hardware", "refund", "sales"):
            assert (f"='{word}'" in ticket.target) == (f" {word} " in question)
        assert re.findall(r"\d+", question) == re.findall(r"[<>](\d+)", ticket.target)


def test_every_extract_target_is_one_line_of_json_whose_values_stand_in_the_text() -> None:
    for ticket in generate_tickets(TaskType.EXTRACT, 300, seed=9):
        fields = json.loads(ticket.target)
        assert list(fields) == ["id", "vendor", "total", "currency"]
        assert all(value in ticket.prompt for value in fields.values())


def test_reasoning_targets_are_the_sum_of_the_amounts() -> None:
    for ticket in generate_tickets(TaskType.REASONING, 300, seed=10):
        assert int(ticket.target) == sum(map(int, re.findall(r"for (\d+) EUR", ticket.prompt)))


def test_summaries_take_name_item_and_fault_from_the_text() -> None:
    for ticket in generate_tickets(TaskType.SUMMARY, 300, seed=11):
        name, rest = ticket.target.split(": ")
        assert name in ticket.prompt
        assert rest.split(" ")[0] in ticket.prompt
        assert rest.split(";")[0].split(" ", 1)[1] in ticket.prompt


def test_no_topic_phrase_belongs_to_two_topics() -> None:
    phrases = Counter(phrase for group in TOPICS.values() for phrase in (*group.seen, *group.unseen))
    assert set(phrases.values()) == {1}
    assert len(TOPICS) == 8


def test_a_workload_has_the_default_mix_in_mixed_order() -> None:
    workload = generate_workload(500, seed=1)
    counts = Counter(ticket.task for ticket in workload)
    assert counts == {task: 100 if task is TaskType.REASONING else 80 for task in TaskType}
    assert workload == generate_workload(500, seed=1)
    assert len({ticket.task for ticket in workload[:20]}) > 3
    assert len({ticket.id for ticket in workload}) == 500


def test_a_workload_takes_a_mix_and_always_has_the_wanted_length() -> None:
    workload = generate_workload(10, seed=1, mix={TaskType.SQL: 1, TaskType.TOPIC: 1, TaskType.EXTRACT: 1})
    assert len(workload) == 10
    assert {ticket.task for ticket in workload} == {TaskType.SQL, TaskType.TOPIC, TaskType.EXTRACT}


def test_wrong_arguments_are_refused_with_words() -> None:
    with pytest.raises(ValueError, match="use 'train' or 'heldout'"):
        generate_tickets(TaskType.TOPIC, 1, seed=1, split="test")
    with pytest.raises(ValueError, match="0 or more"):
        generate_tickets(TaskType.TOPIC, -1, seed=1)
    with pytest.raises(ValueError, match="at least one above 0"):
        generate_workload(5, seed=1, mix={TaskType.TOPIC: 0.0})
