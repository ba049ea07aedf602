"""What the command line prints with: two consoles, the exit codes, and how an error looks. No decisions."""

from __future__ import annotations

import sys
from enum import IntEnum

import msgspec
from rich.console import Console
from rich.text import Text

from inhouse.cli.config import ConfigFileError
from inhouse.domain import ConfigError, InhouseError, StateError

_PIPED_COLUMNS = 110
"""Width where the output is no terminal: a log or a pipe wraps nothing itself."""

out = Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else _PIPED_COLUMNS)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class ExitCode(IntEnum):
    """Exit codes of every command; docs/reference/commands.md lists them."""

    OK = 0
    FAILED = 1
    """The command ran, and what it checked does not hold."""
    INVALID = 2
    """Wrong usage, or a file, value or variable to mend."""
    STATE = 3
    """The platform is not in the state that the command needs (not running, in use, unreachable)."""
    INTERRUPTED = 130


def print_json(value: object) -> None:
    """One JSON document on standard output, indented."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2) + b"\n")
    sys.stdout.flush()


def print_error(error: InhouseError) -> ExitCode:
    """Show an error as place, problem and fix, and say which exit code it means."""
    if isinstance(error, ConfigFileError):
        for part in error.errors:
            _print_problem(str(part.location or ""), part.problem, part.fix)
        return ExitCode.INVALID
    if isinstance(error, ConfigError):
        _print_problem(str(error.location or ""), error.problem, error.fix)
        return ExitCode.INVALID
    if isinstance(error, StateError):
        _print_problem("", error.problem, error.fix)
        return ExitCode.STATE
    _print_problem("", str(error), "")
    return ExitCode.FAILED


def _print_problem(place: str, problem: str, fix: str) -> None:
    text = Text("error: ", style="bold red")
    if place:
        text.append(f"{place}: ", style="bold")
    text.append(problem)
    err.print(text)
    if fix:
        err.print(Text("  fix: ", style="bold green") + Text(fix))
