"""Watches the snapshot file and swaps the view whole. A bad file is refused with its reason, the old view stays."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.view import BadSnapshotError, Keys, ServingView, read_view

POLL_S = 0.2
_log = logging.getLogger("inhouse.gateway")


class SnapshotWatcher:
    """The current view, and the watching that replaces it. Requests under way keep the view that they began with.

    Args:
        path: `run/snapshot.json`; need not exist yet.
        pepper: secret of the key hashes.
        credentials: credential name → its keys.
        settings: the gateway's.
    """

    def __init__(self, path: Path, pepper: bytes, credentials: Keys, settings: GatewaySettings) -> None:
        self.view: ServingView | None = None
        self.refusal: str | None = None
        """Why the snapshot that came last was refused; None where it was taken."""
        self._path = path
        self._pepper = pepper
        self._credentials = credentials
        self._settings = settings
        self._seen: tuple[int, int, int] | None = None

    async def watch(self) -> None:
        """Look every POLL_S seconds until cancelled."""
        while True:
            self.poll()
            await asyncio.sleep(POLL_S)

    def poll(self) -> bool:
        """Look once; whether a new view was taken."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen == self._seen:
                return False
            payload = self._path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            _log.warning("snapshot not read: %s", error.strerror)
            return False
        self._seen = seen
        return self._take(payload)

    def _take(self, payload: bytes) -> bool:
        try:
            view = read_view(payload, self._pepper, self._credentials, self._settings)
        except BadSnapshotError as error:
            kept = "none before it" if self.view is None else f"version {self.view.snapshot.version} stays"
            self.refusal = f"{error} ({kept})"
            _log.warning("snapshot refused (%s): %s", kept, error)
            return False
        self.view = view
        self.refusal = None
        _log.info("snapshot version %d taken: %d routes", view.snapshot.version, len(view.snapshot.routes))
        return True
