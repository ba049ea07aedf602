"""Reads a suite: a YAML file with its samples, checked so that an error names file, line, field and fix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from inhouse.domain import ConfigError
from inhouse.evals.checking import build_samples
from inhouse.evals.positions import KeyPath, PositionedFile, parse_positions
from inhouse.evals.samplefile import RawSample, draw_tickets, read_inline, read_sample_file, read_text
from inhouse.evals.scorers import ScorerError, make_scorer
from inhouse.evals.scoring import Scorer
from inhouse.evals.suite import Sampling, Suite, digest_suite, specify_scorer
from inhouse.evals.tickets import SQL_SCHEMA

BUILTIN_PREFIX = "builtin:"
_TOP_KEYS = ("name", "description", "system", "sampling", "tasks", "samples")
_TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DESK_SCHEMA = "builtin:desk"

_Kind = TypeVar("_Kind")


class _TicketSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    seed: int
    per_task: int


def load_suite(ref: str | Path) -> Suite:
    """Load and check a suite.

    Args:
        ref: path of a YAML file, or `builtin:NAME` for one that comes with inhouse (`builtin:tickets`).

    Raises:
        ConfigError: what is wrong, where (file, line, field), and the fix.
    """
    if isinstance(ref, str) and ref.startswith(BUILTIN_PREFIX):
        return _build(parse_positions(_read_builtin(ref), ref), ref, None)
    path = Path(ref)
    text = read_text(path, what="a suite")
    return _build(parse_positions(text, str(path)), str(path.resolve()), path.parent)


def _read_builtin(ref: str) -> str:
    folder = resources.files("inhouse.evals") / "suites"
    names = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    name = ref.removeprefix(BUILTIN_PREFIX)
    if name not in names:
        known = ", ".join(BUILTIN_PREFIX + known for known in names)
        raise ConfigError(f"there is no suite {ref}.", fix=f"Use {known}, or the path of a YAML file.")
    return (folder / f"{name}.yaml").read_text(encoding="utf-8")


def _build(file: PositionedFile, ref: str, folder: Path | None) -> Suite:
    top = _read_mapping(file, (), file.data)
    unknown = [key for key in top if key not in _TOP_KEYS]
    if unknown:
        raise file.fail((unknown[0],), f"the key {unknown[0]!r} is unknown.", f"Use {', '.join(_TOP_KEYS)}.")
    name = _read_text_field(file, top, "name")
    if not name:
        raise file.fail(("name",), "the suite has no name.", "Add `name: my-suite`.")
    sampling = _convert(file, ("sampling",), top.get("sampling") or {}, Sampling)
    scorers = _build_scorers(file, top, folder)
    system = _read_text_field(file, top, "system")
    samples = build_samples(_read_raw_samples(file, top, folder), scorers, system)
    if not samples:
        raise file.fail(("samples",), "the suite has no samples.", "Add at least one sample.")
    specs = {task: tuple(specify_scorer(scorer) for scorer in found) for task, found in scorers.items()}
    return Suite(
        name=name,
        ref=ref,
        description=_read_text_field(file, top, "description"),
        sampling=sampling,
        scorers=specs,
        samples=samples,
        digest=digest_suite(samples, specs, sampling),
    )


# Scorers.


def _build_scorers(
    file: PositionedFile, top: Mapping[str, object], folder: Path | None
) -> dict[str, tuple[Scorer, ...]]:
    tasks = _read_mapping(file, ("tasks",), top.get("tasks"))
    if not tasks:
        raise file.fail(("tasks",), "the suite names no tasks.", "Add `tasks: {triage: {scorers: [label]}}`.")
    scorers: dict[str, tuple[Scorer, ...]] = {}
    for task, body in tasks.items():
        path: KeyPath = ("tasks", task)
        if not _TASK_NAME.fullmatch(task):
            raise file.fail(path, f"the task name {task!r} cannot be used.", "Use letters, digits, `-`, `_` and `.`.")
        mapping = _read_mapping(file, path, body)
        listed = mapping.get("scorers")
        if set(mapping) != {"scorers"} or not isinstance(listed, list) or not listed:
            raise file.fail(
                path, f"task {task!r} needs a list `scorers`, and nothing else.", "Write `scorers: [label]`."
            )
        items = cast("list[object]", listed)
        found = tuple(_build_scorer(file, (*path, "scorers", at), item, folder) for at, item in enumerate(items))
        names = [scorer.name for scorer in found]
        if len(set(names)) != len(names):
            raise file.fail((*path, "scorers"), f"a scorer stands twice in task {task!r}.", "Keep one of them.")
        scorers[task] = found
    return scorers


def _build_scorer(file: PositionedFile, path: KeyPath, item: object, folder: Path | None) -> Scorer:
    options = {"name": item} if isinstance(item, str) else dict(_read_mapping(file, path, item))
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise file.fail(path, "the scorer has no name.", "Write `- label`, or `- {name: numeric, tolerance: 0.01}`.")
    if "schema_file" in options:
        options["schema"] = _read_schema(file, (*path, "schema_file"), options.pop("schema_file"), folder)
    elif options.get("schema") == _DESK_SCHEMA:
        options["schema"] = SQL_SCHEMA
    try:
        return make_scorer(name, options)
    except ScorerError as error:
        raise file.fail(path, f"{error}.", "Correct the scorer's name or its options.") from None


def _read_schema(file: PositionedFile, path: KeyPath, value: object, folder: Path | None) -> str:
    if not isinstance(value, str) or folder is None:
        raise file.fail(path, "schema_file is no path.", "Name a .sql file, relative to the suite file.")
    return read_text(folder / value, what="a schema", location=file.locate(path))


# Samples.


def _read_raw_samples(file: PositionedFile, top: Mapping[str, object], folder: Path | None) -> Iterable[RawSample]:
    source = top.get("samples")
    path: KeyPath = ("samples",)
    if isinstance(source, list):
        return read_inline(cast("list[object]", source), file)
    fix = "Give a list of samples, or `file: samples.jsonl`, or `tickets: {seed: 7, per_task: 100}`."
    if not isinstance(source, dict) or len(cast("dict[str, object]", source)) != 1:
        raise file.fail(path, "`samples` is neither a list nor one source.", fix)
    kind, value = next(iter(cast("dict[str, object]", source).items()))
    if kind == "file" and isinstance(value, str) and folder is not None:
        target = folder / value
        if not target.is_file():
            raise file.fail((*path, "file"), f"there is no file {target}.", "Paths are relative to the suite file.")
        return read_sample_file(target)
    if kind == "tickets":
        tickets = _convert(file, (*path, "tickets"), value, _TicketSource)
        if tickets.per_task < 1:
            raise file.fail((*path, "tickets", "per_task"), "per_task is below 1.", "Ask for at least one ticket.")
        return draw_tickets(tickets.seed, tickets.per_task, file.locate((*path, "tickets")))
    raise file.fail(path, f"`samples` has an unknown source {kind!r}.", fix)


# Values with positions.


def _read_mapping(file: PositionedFile, path: KeyPath, value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise file.fail(path, f"this is a {type(value).__name__}, wanted a mapping.", "Write `key: value` lines.")
    return cast("dict[str, object]", value)


def _read_text_field(file: PositionedFile, top: Mapping[str, object], key: str) -> str:
    value = top.get(key)
    if value is not None and not isinstance(value, str):
        raise file.fail((key,), f"{key} is no text.", "Put it in quotes.")
    return (value or "").strip()


def _convert(file: PositionedFile, path: KeyPath, value: object, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        fields = ", ".join(cast("type[msgspec.Struct]", kind).__struct_fields__)
        raise file.fail(path, f"this cannot be used: {error}.", f"Use these fields: {fields}.") from None
