"""Builds checked samples from raw ones, so that an error names file, line, field and fix. Reads no file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import msgspec

from inhouse.domain import ConfigError, SourceLocation
from inhouse.evals.samplefile import SAMPLE_FIELDS, RawSample
from inhouse.evals.scoring import Scorer
from inhouse.evals.suite import Message, Sample

_MAX_ID_CHARS = 200


def build_samples(
    raw_samples: Iterable[RawSample], scorers: Mapping[str, tuple[Scorer, ...]], system: str
) -> tuple[Sample, ...]:
    """Check raw samples, one by one and against each other.

    Args:
        raw_samples: as written, in any order.
        scorers: task → its scorers; a sample without a task gets the only one.
        system: text of a system message put before each sample's messages; empty for none.

    Raises:
        ConfigError: a field is wrong, an id repeats, or one prompt has two targets.
    """
    by_id: dict[str, SourceLocation] = {}
    by_prompt: dict[bytes, Sample] = {}
    samples: list[Sample] = []
    for raw in raw_samples:
        sample = _build_sample(raw, scorers, system)
        if sample.id in by_id:
            first = by_id[sample.id]
            raise ConfigError(
                f"the id {sample.id!r} stands twice.",
                fix=f"Give each sample its own id; the first is at {first}.",
                location=raw.location,
            )
        by_id[sample.id] = raw.location
        twin = by_prompt.setdefault(msgspec.json.encode(sample.messages), sample)
        if twin.target != sample.target:
            raise ConfigError(
                f"samples {twin.id!r} and {sample.id!r} have the same prompt and different targets.",
                fix="No model can be right on both: keep the correct one.",
                location=raw.location,
            )
        samples.append(sample)
    return tuple(samples)


def _build_sample(raw: RawSample, scorers: Mapping[str, tuple[Scorer, ...]], system: str) -> Sample:
    reader = _SampleReader(raw)
    reader.refuse_unknown()
    task = reader.text("task") or (next(iter(scorers)) if len(scorers) == 1 else "")
    if task not in scorers:
        raise reader.fail(
            "task", f"the task {task!r} is not among `tasks`." if task else "the task is missing.", scorers
        )
    messages = tuple(reader.messages())
    if system:
        messages = (Message("system", system), *messages)
    sample = Sample(
        id=reader.id(),
        task=task,
        messages=messages,
        target=reader.target(),
        cluster=reader.text("cluster") or None,
        slices=reader.slices(),
        must_pass=reader.flag("must_pass"),
    )
    for scorer in scorers[task]:
        if sample.target is None and scorer.needs_target:
            raise reader.error(
                "target", f"the scorer {scorer.name} needs a target.", "Add the right answer as `target`."
            )
        problem = scorer.find_target_problem(sample.target or "")
        if problem is not None:
            raise reader.error("target", f"{scorer.name}: {problem}.", "Correct the target, or choose another scorer.")
    return sample


class _SampleReader:
    """Reads the fields of one raw sample."""

    def __init__(self, raw: RawSample) -> None:
        self._fields = raw.fields
        self._location = raw.location

    def error(self, field: str, problem: str, fix: str) -> ConfigError:
        place = self._location
        path = f"{place.path}.{field}" if place.path else field
        return ConfigError(problem, fix=fix, location=SourceLocation(place.file, place.line, path))

    def fail(self, field: str, problem: str, known: Iterable[str]) -> ConfigError:
        return self.error(field, problem, f"Use one of: {', '.join(known)}.")

    def refuse_unknown(self) -> None:
        for field in self._fields:
            if field not in SAMPLE_FIELDS:
                raise self.fail(field, f"the field {field!r} is unknown.", SAMPLE_FIELDS)

    def text(self, field: str) -> str:
        value = self._fields.get(field)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise self.error(field, f"{field} is no text.", "Write it as text, in quotes.")
        return str(value).strip()

    def id(self) -> str:
        sample_id = self.text("id")
        if not sample_id or len(sample_id) > _MAX_ID_CHARS or not sample_id.isprintable():
            fix = f"Give each sample an id of 1 to {_MAX_ID_CHARS} printable characters that never changes."
            raise self.error("id", "the id is missing, too long or unprintable.", fix)
        return sample_id

    def messages(self) -> Iterator[Message]:
        prompt, messages = self._fields.get("prompt"), self._fields.get("messages")
        if (prompt is None) == (messages is None):
            raise self.error("prompt", "a sample has either `prompt` or `messages`.", "Give exactly one of them.")
        if prompt is not None:
            if not isinstance(prompt, str) or not prompt.strip():
                raise self.error("prompt", "the prompt is no text, or empty.", "Write the user's message as text.")
            yield Message("user", prompt)
            return
        try:
            found = msgspec.convert(messages, tuple[Message, ...])
        except msgspec.ValidationError as error:
            fix = "Write a list of {role, content}, content a text or a list of parts."
            raise self.error("messages", f"the messages cannot be used: {error}.", fix) from None
        if not found:
            raise self.error("messages", "there are no messages.", "Add at least the user's message.")
        yield from found

    def target(self) -> str | None:
        value = self._fields.get("target")
        if value is None or isinstance(value, str):
            return value
        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            raise self.error("target", f"a target of type {type(value).__name__}.", "Put it in quotes.") from None

    def slices(self) -> tuple[str, ...]:
        value = self._fields.get("slices")
        if value is None:
            return ()
        items = cast("list[object]", value) if isinstance(value, list) else [None]
        if not all(isinstance(item, str) for item in items):
            raise self.error("slices", "slices is no list of texts.", "Write `slices: [typos, german]`.")
        return tuple(str(item) for item in items)

    def flag(self, field: str) -> bool:
        value = self._fields.get(field, False)
        if not isinstance(value, bool):
            raise self.error(field, f"{field} is neither true nor false.", "Write true or false.")
        return value
