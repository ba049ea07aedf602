"""Runs a command line as a shell would: its exit code and what it printed."""

from __future__ import annotations

import sys

import pytest

from inhouse.cli.app import main


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """`inhouse ARGUMENTS` → (exit code, output, errors)."""
    monkeypatch.setattr(sys, "argv", ["inhouse", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err
