"""The state folder of one installation: its paths, its secrets, its addresses, and the lock that one `up` holds."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from inhouse.domain import StateError


class Addresses(Struct, frozen=True, kw_only=True):
    """Where the processes of this installation listen, chosen by `up` and kept over restarts.

    `providers` maps a simulated provider's name to its base URL. Where the data port speaks TLS (`has_tls`), the
    gateway workers also listen in plain HTTP on the loopback port `local_port`, for the platform's own calls.
    """

    gateway_host: str
    gateway_port: int
    admin_host: str
    admin_port: int
    metrics_port: int
    providers: Mapping[str, str] = {}
    local_port: int = 0
    has_tls: bool = False

    @property
    def gateway_url(self) -> str:
        """Root of the data port, without `/v1`, as clients use it."""
        scheme = "https" if self.has_tls else "http"
        return f"{scheme}://{_connectable(self.gateway_host)}:{self.gateway_port}"

    @property
    def local_url(self) -> str:
        """Root of the data port for the platform's own calls on this machine."""
        return f"http://127.0.0.1:{self.local_port}" if self.has_tls else self.gateway_url

    @property
    def admin_url(self) -> str:
        """Root of the admin port."""
        return f"http://{_connectable(self.admin_host)}:{self.admin_port}"

    @property
    def metrics_url(self) -> str:
        """Prometheus metrics of the host agent."""
        return f"http://127.0.0.1:{self.metrics_port}/metrics"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths below the state folder; see docs/design/processes.md."""

    root: Path

    @property
    def config(self) -> Path:
        """The file as `up` started with it."""
        return self.root / "run" / "inhouse.yaml"

    @property
    def addresses(self) -> Path:
        """Addresses chosen by `up`."""
        return self.root / "run" / "addresses.json"

    @property
    def snapshot(self) -> Path:
        """The snapshot that control compiles and the gateway serves from."""
        return self.root / "run" / "snapshot.json"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.root / "logs"

    @property
    def _pepper(self) -> Path:
        return self.root / "run" / "pepper"

    @property
    def _eval_key(self) -> Path:
        return self.root / "run" / "eval.key"

    def prepare(self) -> None:
        """Make the folders (0700) and the installation's two secrets (0600) where they are missing."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("run", "logs", "spool", "models"):
            (self.root / name).mkdir(mode=0o700, exist_ok=True)
        _create_secret(self._pepper, secrets.token_hex(32))
        _create_secret(self._eval_key, f"ih-eval-{secrets.token_urlsafe(32)}")

    def read_pepper(self) -> bytes:
        """The key that client tokens are hashed with."""
        return bytes.fromhex(self._read(self._pepper))

    def read_eval_key(self) -> str:
        """The token of `inhouse eval`; it may pin an endpoint."""
        return self._read(self._eval_key)

    def hash_token(self, token: str) -> str:
        """Keyed hash of a client token, as the snapshot holds it."""
        return hmac.new(self.read_pepper(), token.encode(), hashlib.sha256).hexdigest()

    def write_addresses(self, addresses: Addresses) -> None:
        """Keep the addresses for the other processes and for the next start."""
        write_atomically(self.addresses, msgspec.json.encode(addresses))

    def read_addresses(self) -> Addresses:
        """Addresses of the running (or last) `up`.

        Raises:
            StateError: `inhouse up` never ran here.
        """
        return msgspec.json.decode(self._read(self.addresses), type=Addresses)

    @contextlib.contextmanager
    def lock(self) -> Generator[None]:
        """Hold the folder for one `up`.

        Raises:
            StateError: another one runs on it.
        """
        handle = os.open(self.root / "run" / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateError(
                    f"another `inhouse up` runs on {self.root}.",
                    fix="Stop it, or give another state_dir (with --observe: start in another folder).",
                ) from None
            yield
        finally:
            os.close(handle)

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise StateError(f"{path} does not exist.", fix="Start the platform first: `inhouse up`.") from None


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file whole, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    temporary.replace(path)


def _create_secret(path: Path, value: str) -> None:
    with (
        contextlib.suppress(FileExistsError),
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f,
    ):
        f.write(value + "\n")


def _connectable(host: str) -> str:
    """A host that a client on this machine can connect to."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 -- compared with, not bound to
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
