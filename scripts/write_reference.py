"""Write docs/reference/* from the code: settings, commands, metrics, error codes, OpenAPI. `make docs` runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, cast, get_args

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inhouse.cli.app import app
from inhouse.cli.config import InhouseFile
from inhouse.cli.terminal import ExitCode
from inhouse.domain import ERROR_HELP, ErrorCode
from inhouse.gateway.openapi import openapi_document
from inhouse.telemetry import METRIC_NAMES

Command = Any
"""A command of the click that typer carries with it; it has no public name."""

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTE = "<!-- Written by `make docs` from the code; a test fails when the two differ. -->\n\n"
METRICS_INTRODUCTION = """# Metrics reference

Prometheus metrics of the host agent (`agent.metrics_port`), fed by the traces that it ships, so that metrics and traces
never disagree.
"""
ERRORS_INTRODUCTION = """# Error reference

The data port answers errors in OpenAI's shape; `error.code` is one of these and stable. `x-inhouse-trace` on the reply
finds the request with `inhouse traces show`.
"""
SIMPLE_TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "Decimal": "number or share",
    "bool": "true or false",
    "SecretStr": "secret text",
    "timedelta": "period (`45m`, `12h`, `30d`)",
}


def main() -> None:
    """Write every page, and say which changed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in render_pages().items():
        path = FOLDER / name
        is_changed = not path.exists() or path.read_text() != text
        path.write_text(text)
        sys.stdout.write(f"{path.name}: {'written' if is_changed else 'unchanged'}\n")


def render_pages() -> dict[str, str]:
    """File name → text of each generated page."""
    return {
        "configuration.md": render_configuration(),
        "commands.md": render_commands(),
        "metrics.md": render_metrics(),
        "errors.md": render_errors(),
        "openapi.json": openapi_document().decode(),
    }


def render_configuration() -> str:
    """Every setting with type, default and meaning, in the file's order."""
    parts = [
        NOTE,
        "# Configuration reference\n\n",
        "One YAML file. `${NAME}` and `${NAME:-default}` are read from the environment; shares may be written `12%`. ",
        "An unknown key is an error. NAME stands for a name of your own.\n",
    ]
    for path, field in walk_settings(InhouseFile):
        kind = f"Type: {describe_type(field)}. {describe_default(field)}"
        parts.append(f"\n### `{path}`\n\n{field.description}\n\n{kind}\n")
    return "".join(parts)


def walk_settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting below a model with its dotted path; a mapping's own keys are called NAME."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        yield path, field
        child = find_model(field.annotation)
        if child is not None:
            yield from walk_settings(child, f"{path}{container_suffix(field.annotation)}.")


def find_model(annotation: object) -> type[BaseModel] | None:
    """The settings model inside an annotation, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (find_model(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)


def container_suffix(annotation: object) -> str:
    """`.NAME` below a mapping, `[]` below a list."""
    text = str(annotation)
    return ".NAME" if text.startswith("dict[") else "[]" if text.startswith("tuple[") else ""


def describe_type(field: FieldInfo) -> str:
    """The type in words of the file, with its bounds."""
    limits = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "pattern": "matching"}
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in limits.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([name_type(field.annotation), *bounds])


def name_type(annotation: object) -> str:
    """A type as the file's reader would call it."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "one of " + ", ".join(f"`{member.value}`" for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "settings below"
    arguments = [argument for argument in get_args(annotation) if argument not in {type(None), Ellipsis}]
    origin = str(cast("object", annotation)).split("[")[0].rsplit(".", 1)[-1]
    if not arguments:
        return SIMPLE_TYPES.get(getattr(cast("object", annotation), "__name__", origin), origin)
    if origin == "dict":
        return f"mapping of NAME to {name_type(arguments[-1])}"
    if origin in {"tuple", "frozenset"}:
        return f"list of {name_type(arguments[0])}"
    return name_type(arguments[0])


def describe_default(field: FieldInfo) -> str:
    """The default in words of the file."""
    if field.is_required():
        return "Required."
    value: object = field.get_default(call_default_factory=True)
    if value is None:
        return "Optional."
    if isinstance(value, BaseModel) or value in ({}, ()):
        return "Optional; the defaults below." if isinstance(value, BaseModel) else "Optional; empty."
    if isinstance(value, frozenset):
        return (
            "Default: "
            + ", ".join(f"`{item}`" for item in sorted(str(item) for item in cast("frozenset[object]", value)))
            + "."
        )
    return f"Default: `{value}`."


def render_commands() -> str:
    """Every command with its arguments and options, and the exit codes."""
    parts = [NOTE, "# Command reference\n\n## Exit codes\n\n| code | means |\n|---|---|\n"]
    meanings = {
        ExitCode.OK: "done",
        ExitCode.FAILED: "it ran, and what it checked does not hold",
        ExitCode.INVALID: "wrong usage, or a file, value or variable to mend",
        ExitCode.STATE: "the platform is not in the state that the command needs (not running, in use, unreachable)",
        ExitCode.INTERRUPTED: "stopped with Ctrl-C",
    }
    parts += [f"| {code.value} | {meanings[code]} |\n" for code in ExitCode]
    root = typer.main.get_command(app)
    for path, command in walk_commands(root, "inhouse"):
        parts.append(render_command(path, command))
    return "".join(parts)


def walk_commands(command: Command, path: str) -> Iterator[tuple[str, Command]]:
    """Every command that can be run, with its full name."""
    children: dict[str, Command] = getattr(command, "commands", {})
    if not children or getattr(command, "invoke_without_command", False):
        yield path, command
    for name, child in children.items():
        yield from walk_commands(child, f"{path} {name}")


def render_command(path: str, command: Command) -> str:
    """One command as a heading, its help and a table of its parameters."""
    help_text = (command.help or "").strip()
    lines = [f"\n## `{path}`\n\n{help_text}\n"]
    if command.params:
        lines.append("\n| argument or option | default | meaning |\n|---|---|---|\n")
    for parameter in command.params:
        names = ", ".join(f"`{name}`" for name in parameter.opts) if parameter.param_type_name == "option" else None
        shown = names or f"`{(parameter.name or '').upper()}`"
        default = "" if parameter.default in (None, False) or callable(parameter.default) else f"`{parameter.default}`"
        text = (getattr(parameter, "help", "") or "").replace("|", "\\|")
        lines.append(f"| {shown} | {'required' if parameter.required else default} | {text} |\n")
    return "".join(lines)


def render_metrics() -> str:
    """Every Prometheus metric of the host agent."""
    parts = [NOTE, METRICS_INTRODUCTION]
    for metric in METRIC_NAMES.values():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
        facts = f"Type: {metric.kind}. Unit: {metric.unit}. Labels: {labels}."
        parts.append(f"\n### `{metric.name}`\n\n{metric.help} {facts}\n")
    return "".join(parts)


def render_errors() -> str:
    """Every wire code with its meaning."""
    parts = [NOTE, ERRORS_INTRODUCTION]
    parts += [f"\n### `{code}`\n\n{ERROR_HELP[code]}\n" for code in ErrorCode]
    return "".join(parts)


if __name__ == "__main__":
    main()
