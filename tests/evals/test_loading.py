"""Suites from files: what is read, what the digest covers, and that errors name file, line, field and fix."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from inhouse.domain import ConfigError
from inhouse.evals import SCORERS, Message, Suite, load_suite, take_per_task

GOOD = """\
name: triage
description: Our tickets
system: Answer briefly.
sampling: {max_tokens: 16}
tasks:
  topic: {scorers: [{name: label, labels: [billing, login]}, exact]}
  sum: {scorers: [{name: numeric, tolerance: 0.01}]}
samples:
  - {id: a, task: topic, prompt: My card failed, target: billing, slices: [typos], must_pass: true, cluster: ann}
  - {id: b, task: sum, prompt: 2 + 3, target: 5}
  - id: c
    task: topic
    messages: [{role: user, content: Hi}, {role: assistant, content: Go on}, {role: user, content: I cannot sign in}]
    target: login
"""


def write(folder: Path, text: str, name: str = "suite.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_suite(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, GOOD))
    assert (suite.name, suite.tasks, suite.has_clusters) == ("triage", ("topic", "sum"), True)
    first, second, third = suite.samples
    assert first.messages == (Message("system", "Answer briefly."), Message("user", "My card failed"))
    assert (first.target, first.slices, first.must_pass, first.cluster) == ("billing", ("typos",), True, "ann")
    assert second.target == "5"
    assert third.prompt == "system: Answer briefly.\nuser: Hi\nassistant: Go on\nuser: I cannot sign in"
    assert (suite.sampling.temperature, suite.sampling.max_tokens, suite.sampling.seed) == (0.0, 16, 7)
    assert suite.primary("topic").name == "label"
    assert suite.digest.startswith("sha256:")


def test_the_digest_covers_what_moves_a_score_and_nothing_else(tmp_path: Path) -> None:
    digest = load_suite(write(tmp_path, GOOD)).digest
    same = GOOD.replace("name: triage", "name: other").replace("Our tickets", "Theirs")
    assert load_suite(write(tmp_path, same)).digest == digest
    lines = GOOD.splitlines(keepends=True)
    swapped = "".join([*lines[:8], lines[9], lines[8], *lines[10:]])
    assert load_suite(write(tmp_path, swapped)).digest == digest
    for old, new in (
        ("target: 5", "target: 6"),
        ("max_tokens: 16", "max_tokens: 17"),
        ("tolerance: 0.01", "tolerance: 0.02"),
        ("Answer briefly", "Answer at length"),
        ("must_pass: true", "must_pass: false"),
        ("cluster: ann", "cluster: bob"),
    ):
        assert load_suite(write(tmp_path, GOOD.replace(old, new))).digest != digest


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "words"),
    [
        ("name: triage", "nam: triage", 1, "nam", "the key 'nam' is unknown"),
        ("name: triage\n", "", 1, "name", "the suite has no name"),
        ("description: Our tickets", "name: again", 2, "", "the key 'name' stands twice"),
        ("{max_tokens: 16}", "{max_token: 16}", 4, "sampling", "max_token"),
        ("{max_tokens: 16}", "{max_tokens: many}", 4, "sampling", "max_tokens"),
        ("  topic: {scorers: [{", "  topic: {scorers: [{namé: x}, {", 6, "tasks.topic.scorers[0]", "has no name"),
        ("exact]", "rouge]", 6, "tasks.topic.scorers[1]", "there is no scorer 'rouge'"),
        ("exact]", "label]", 6, "tasks.topic.scorers", "a scorer stands twice"),
        ("tolerance: 0.01", "tolerence: 0.01", 7, "tasks.sum.scorers[0]", "tolerence"),
        ("sum: {scorers", "sum: {scores", 7, "tasks.sum", "needs a list `scorers`"),
        ("id: b", "id: a", 10, "samples[1]", "the id 'a' stands twice"),
        ("id: b, ", "", 10, "samples[1].id", "the id is missing"),
        ("task: sum, ", "", 10, "samples[1].task", "the task is missing"),
        ("task: sum,", "task: summ,", 10, "samples[1].task", "'summ' is not among"),
        (", target: 5", "", 10, "samples[1].target", "the scorer numeric needs a target"),
        ("target: 5", "target: five", 10, "samples[1].target", "holds 0 numbers"),
        ("target: billing", "target: biling", 9, "samples[0].target", "none of the labels billing, login"),
        ("prompt: 2 + 3", "promt: 2 + 3", 10, "samples[1].promt", "the field 'promt' is unknown"),
        ("prompt: 2 + 3", "prompt: ''", 10, "samples[1].prompt", "no text, or empty"),
        ("prompt: 2 + 3", "prompt: x, messages: []", 10, "samples[1].prompt", "either `prompt` or `messages`"),
        ("must_pass: true", "must_pass: maybe", 9, "samples[0].must_pass", "neither true nor false"),
        ("slices: [typos]", "slices: typos", 9, "samples[0].slices", "no list of texts"),
        ("prompt: 2 + 3", "prompt: My card failed", 10, "samples[1]", "'a' and 'b' have the same prompt"),
        ("{role: user, content: Hi}", "{content: Hi}", 11, "samples[2].messages", "role"),
        ("  - {id: b", "  - {id: b: c", 10, "", "this is not YAML"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, old: str, new: str, line: int, path: str, words: str) -> None:
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_suite(file)
    assert words in caught.value.problem
    location = caught.value.location
    assert location is not None
    assert (location.file, location.line, location.path) == (str(file), line, path)
    assert caught.value.fix


@pytest.mark.parametrize("body", ["[]", "", "{file: none.jsonl}", "{url: x}", "7", "{tickets: {seed: 1, per_task: 0}}"])
def test_a_suite_without_samples_is_refused(tmp_path: Path, body: str) -> None:
    with pytest.raises(ConfigError, match=r"suite\.yaml:3: samples"):
        load_suite(write(tmp_path, f"name: x\ntasks: {{t: {{scorers: [exact]}}}}\nsamples: {body}\n"))


def load_file(folder: Path, name: str, text: str, scorer: str = "exact") -> Suite:
    write(folder, text, name)
    tasks = f"tasks: {{t: {{scorers: [{scorer}]}}}}"
    return load_suite(write(folder, f"name: x\n{tasks}\nsamples: {{file: {name}}}\n"))


def test_json_lines(tmp_path: Path) -> None:
    records = [
        {"id": "1", "prompt": "What is up\u2028here?", "target": {"a": 1}},
        {"id": "2", "messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}]}], "target": "{}"},
    ]
    text = "\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\n\n"
    suite = load_file(tmp_path, "s.jsonl", text)
    assert [sample.target for sample in suite.samples] == ['{"a": 1}', "{}"]
    assert suite.samples[1].prompt == "Look"
    assert suite.samples[0].task == "t"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('{"id": "1", "prompt": "a", "target": "b"}\n{"id": "2"', "s.jsonl:2", "no JSON"),
        ('\n{"id": "1", "prompt": "a"}', "s.jsonl:2: target", "needs a target"),
        ("[1]", "s.jsonl:1", "no JSON object"),
        ('{"id": "1", "prompt": "a", "target": "b"}\n{"id": "1", "prompt": "c", "target": "b"}', "s.jsonl:2", "twice"),
    ],
)
def test_json_line_errors_name_the_line(tmp_path: Path, text: str, place: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_file(tmp_path, "s.jsonl", text)
    assert place in str(caught.value)
    assert words in str(caught.value)


def test_csv_with_quotes_line_breaks_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = '\ufeffid,prompt,target,slices,must_pass\n1,"a, b\nc",yes,x; y,true\n2,d,no,,\n'
    suite = load_file(tmp_path, "s.csv", text)
    assert [sample.prompt for sample in suite.samples] == ["a, b\nc", "d"]
    assert (suite.samples[0].slices, suite.samples[0].must_pass) == (("x", "y"), True)
    assert (suite.samples[1].slices, suite.samples[1].must_pass) == ((), False)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("id,prompt,answer\n", "s.csv:1", "unknown columns: 'answer'"),
        ("id,id\n", "s.csv:1", "stands twice"),
        ("", "s.csv:1", "there is no header"),
        ('id,prompt,target\n1,"a\nb",x\n2,c\n', "s.csv:4", "2 values, the header 3"),
        ("id,prompt,target,must_pass\n1,a,b,perhaps\n", "s.csv:2", "must_pass is 'perhaps'"),
        ('id,prompt,target\n1,"a" b,x\n', "s.csv:2", "no CSV"),
    ],
)
def test_csv_errors_name_the_line(tmp_path: Path, text: str, place: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_file(tmp_path, "s.csv", text)
    assert place in str(caught.value)
    assert words in str(caught.value)


def test_a_schema_file_is_part_of_the_digest(tmp_path: Path) -> None:
    scorer = "{name: sql_rows, schema_file: desk.sql}"
    record = '{"id": "1", "prompt": "Count", "target": "SELECT COUNT(*) FROM t"}'
    digests: set[str] = set()
    for schema in ("CREATE TABLE t (a);", "CREATE TABLE t (a, b);"):
        write(tmp_path, schema, "desk.sql")
        digests.add(load_file(tmp_path, "s.jsonl", record, scorer).digest)
    assert len(digests) == 2
    (tmp_path / "desk.sql").unlink()
    with pytest.raises(ConfigError, match=r"suite\.yaml:2: .*schema_file.*there is no file"):
        load_file(tmp_path, "s.jsonl", record, scorer)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        load_suite(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_suite(tmp_path / "binary.yaml")
    with pytest.raises(ConfigError, match=r"neither \.jsonl nor \.csv"):
        load_file(tmp_path, "s.xlsx", "x")


def test_the_builtin_suite() -> None:
    suite = load_suite("builtin:tickets")
    assert suite.tasks == ("topic", "sentiment", "extract", "summary", "sql", "reasoning")
    assert len(suite.samples) == 1200
    for sample in suite.samples:
        for spec in suite.scorers[sample.task]:
            assert spec.build().score(sample.target or "", sample.target or "").value == 1, sample
    with pytest.raises(ConfigError, match="Use builtin:tickets"):
        load_suite("builtin:nothing")


def test_a_quick_look_keeps_the_first_of_each_task_and_has_its_own_digest() -> None:
    suite = load_suite("builtin:tickets")
    short = take_per_task(suite, 2)
    assert [sample.id for sample in short.samples[:3]] == [
        "topic-heldout-0000",
        "topic-heldout-0001",
        "sentiment-heldout-0000",
    ]
    assert (len(short.samples), short.digest == suite.digest) == (12, False)
    assert take_per_task(suite, 200).digest == suite.digest


def test_the_guide_s_example_loads(tmp_path: Path) -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "suites.md"
    blocks = dict(re.findall(r"```(yaml|json|sql)\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL))
    write(tmp_path, blocks["json"], "triage.jsonl")
    write(tmp_path, blocks["sql"], "desk.sql")
    suite = load_suite(write(tmp_path, blocks["yaml"], "triage.yaml"))
    assert [sample.id for sample in suite.samples] == ["t-0001", "t-0002", "i-0001", "r-0001"]
    for name, options in re.findall(
        r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|$", guide.read_text(encoding="utf-8"), re.MULTILINE
    ):
        if name in SCORERS:
            named = set(re.findall(r"`(\w+)`", options)) - {"ABCD", "last", "first", "only", "schema_file"}
            assert named == set(SCORERS[name].__struct_fields__), name
