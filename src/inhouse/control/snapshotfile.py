"""The snapshot on disk: read with a clear error, replaced whole, readable by its owner only."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from inhouse.domain import Snapshot, StateError

SNAPSHOT_PATH = Path("run") / "snapshot.json"
"""Below the state folder."""

_DECODER = msgspec.json.Decoder(Snapshot)


def read_snapshot(state_dir: Path) -> Snapshot | None:
    """The last snapshot that was written here; None where there is none.

    Raises:
        StateError: the file is no snapshot of this version of inhouse, or cannot be read.
    """
    path = state_dir / SNAPSHOT_PATH
    try:
        return _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}.", fix="Mend its permissions.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(
            f"{path} is not a snapshot that this version can read: {error}.",
            fix="Nothing to do: control compiles a new one.",
        ) from error


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """JSON that is the same in every process: sets are written in order."""
    return msgspec.json.encode(snapshot, order="deterministic")


def write_snapshot(state_dir: Path, snapshot: Snapshot) -> None:
    """Put the snapshot in place in one step, so that a reader sees the old one or the new one, never a part.

    Raises:
        StateError: it cannot be written; the old one stands.
    """
    path = state_dir / SNAPSHOT_PATH
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(encode_snapshot(snapshot))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.",
            fix="Free disk space, or mend the folder's permissions; the gateway keeps the last snapshot meanwhile.",
        ) from error
