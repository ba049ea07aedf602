"""Replicas keep their ports where these are free."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from inhouse.serving.ports import PortBook


def test_a_replica_keeps_its_port_over_restarts_of_the_agent(tmp_path: Path) -> None:
    file = tmp_path / "run" / "ports.json"
    port = PortBook(file).choose_port("clerk-0@h")
    assert PortBook(file).choose_port("clerk-0@h") == port
    assert json.loads(file.read_text()) == {"clerk-0@h": port}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_port_in_use_is_replaced_and_no_two_replicas_share_one(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    port = book.choose_port("a")
    with socket.create_server(("127.0.0.1", port)):
        moved = book.choose_port("a")
        others = {book.choose_port(f"b{number}") for number in range(20)}
    assert moved != port
    assert len(others | {moved, port}) == 22
    assert book.choose_port("a") == moved


def test_a_broken_file_and_strangers_are_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    file.write_text("{broken")
    book = PortBook(file)
    book.choose_port("a")
    kept = book.choose_port("b")
    book.keep_only({"b"})
    assert json.loads(file.read_text()) == {"b": kept}
