"""The room's names load lazily, so that the engine starts without the agent."""

from __future__ import annotations

import subprocess
import sys

import pytest

import inhouse.serving


def test_every_name_of_the_room_loads() -> None:
    assert sorted(inhouse.serving._HOMES) == sorted(inhouse.serving.__all__)
    assert all(getattr(inhouse.serving, name) is not None for name in inhouse.serving.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = inhouse.serving.nothing


def test_the_engine_loads_neither_numpy_nor_the_store() -> None:
    code = "import sys, inhouse.serving.embedded_engine; print({'numpy', 'sqlalchemy', 'gguf'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=20)
    assert ended.stdout == b"set()\n"
