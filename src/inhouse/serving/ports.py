"""Picks loopback ports for replicas and remembers them in a file, so that a replica keeps its address over restarts."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import msgspec

LOOPBACK = "127.0.0.1"


class PortBook:
    """Ports by replica id, kept in `file`. For one process and one thread at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ports = _read(file)

    def choose_port(self, replica_id: str) -> int:
        """The replica's port of last time where nobody listens on it, else a free one that no other replica has."""
        remembered = self._ports.get(replica_id)
        if remembered is not None and _is_free(remembered):
            return remembered
        port = _find_free(avoid=set(self._ports.values()))
        self._ports[replica_id] = port
        self._write()
        return port

    def keep_only(self, replica_ids: set[str]) -> None:
        """Forget every other replica's port."""
        if set(self._ports) - replica_ids:
            self._ports = {replica_id: port for replica_id, port in self._ports.items() if replica_id in replica_ids}
            self._write()

    def _write(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(self._ports))
        temporary.replace(self._file)


def _read(file: Path) -> dict[str, int]:
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    return {}


def _is_free(port: int) -> bool:
    """Whether it can be listened on; connections of a dead engine that only linger (TIME_WAIT) do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except (OSError, OverflowError):
            return False
    return True


def _find_free(avoid: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in avoid:
            return port
