"""The current keys of endpoints: kept fresh from where they come from, and used in turn. Never shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.backends.keysources import KeySource, UnreadableKeyError, parse_key, read_key_file, run_key_command

POLL_S = 1.0
"""How often key files are looked at."""
REFUSED_S = 60.0
"""A key that an endpoint answered with 401 or 403 is set aside for this time."""
THROTTLED_S = 5.0
"""A key that was answered 429 is set aside for what the answer asked, or else for this time."""
_COMMAND_TIMEOUT_S = 30.0
_FIRST_RETRY_S = 5.0
_UNAUTHORIZED, _FORBIDDEN, _THROTTLED, _FIRST_ERROR = 401, 403, 429, 400
_log = logging.getLogger("inhouse.backends")


def name_provider_credential(provider: str, region: str | None = None) -> str:
    """Under which name the gateway holds a provider's keys, or those of one of its regions."""
    return f"provider:{provider}" if region is None else f"provider:{provider}@{region}"


def name_deployment_credential(deployment: str) -> str:
    """Under which name the gateway holds the keys of an engine that somebody else runs."""
    return f"deployment:{deployment}"


class KeyRing:
    """The keys of one credential, in turn. A key that was refused or throttled rests; with all at rest, the least bad.

    Pure but for what it remembers: the clock is passed in (seconds, any origin that stays the same).
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self.keys: tuple[str, ...] = tuple(dict.fromkeys(keys))
        self._resting: dict[str, tuple[bool, float]] = {}
        self._next = 0

    def __repr__(self) -> str:
        return f"KeyRing({len(self.keys)} keys)"

    def replace(self, keys: Sequence[str]) -> None:
        """Take other keys; what is known of those that stay is kept."""
        self.keys = tuple(dict.fromkeys(keys))
        self._resting = {key: rest for key, rest in self._resting.items() if key in self.keys}

    def choose(self, now: float) -> str | None:
        """The key to use next; None where there is none at all."""
        keys = self.keys
        if len(keys) < 2:
            return keys[0] if keys else None
        start = self._next % len(keys)
        self._next = start + 1
        if not self._resting:
            return keys[start]
        turn = (*keys[start:], *keys[:start])
        for key in turn:
            if not self._rests(key, now):
                return key
        # A throttled key is known to be good: it comes before one that was refused.
        return min(turn, key=lambda key: self._resting[key])

    def count_usable(self, now: float) -> int:
        """How many keys do not rest: whether another one is worth an attempt."""
        return sum(not self._rests(key, now) for key in self.keys)

    def report(self, key: str, status: int, now: float, retry_after_s: float | None = None) -> None:
        """Say how an endpoint answered a request that bore `key`.

        Args:
            key: the one that `choose` gave.
            status: the endpoint's HTTP status.
            now: the clock's time.
            retry_after_s: what a 429 asked for, where it did.
        """
        if status in (_UNAUTHORIZED, _FORBIDDEN) and key in self.keys:
            self._resting[key] = (True, now + REFUSED_S)
        elif status == _THROTTLED and key in self.keys:
            self._resting[key] = (False, now + (THROTTLED_S if retry_after_s is None else retry_after_s))
        elif status < _FIRST_ERROR and self._resting:
            self._resting.pop(key, None)

    def _rests(self, key: str, now: float) -> bool:
        rest = self._resting.get(key)
        if rest is None:
            return False
        if rest[1] > now:
            return True
        del self._resting[key]
        return False


@dataclass(slots=True)
class _Held:
    """One source with the key that it gave last."""

    source: KeySource
    key: str | None = None
    seen: tuple[int, int, int] | None = None
    num_failures: int = 0
    problem: str | None = None


class CredentialBook:
    """The current keys of every credential. `version` changes whenever a key does.

    Literals are there at once, files and commands after `load`. A source that fails keeps
    its last key; the log says so once, without content.

    Args:
        sources: credential name (`provider:openai`) → where its keys come from.
    """

    def __init__(self, sources: Mapping[str, Sequence[KeySource]]) -> None:
        self.version = 1
        self._held = {name: [_Held(source) for source in given] for name, given in sources.items()}
        self._rings = {name: KeyRing() for name in sources}
        self._take_literals()

    def __repr__(self) -> str:
        return f"CredentialBook({', '.join(sorted(self._rings))})"

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of a credential that are there now; none for a name that is not known."""
        ring = self._rings.get(name)
        return () if ring is None else ring.keys

    def ring(self, name: str) -> KeyRing | None:
        """The chooser over a credential's keys, the same object for the book's whole life; None for unknown names."""
        return self._rings.get(name)

    def list_problems(self) -> dict[str, str]:
        """Credentials of which no key is there, each with the reason: `the file /etc/key cannot be read (…)`."""
        return {
            name: "; ".join(held.problem or f"{held.source.kind} was not read yet" for held in sources) or "no source"
            for name, sources in self._held.items()
            if not self._rings[name].keys
        }

    async def load(self) -> None:
        """Read every file and run every command once, all at the same time. Failures are logged, not raised."""
        self.poll_files()
        async with asyncio.TaskGroup() as group:
            for name, held in self._list_held():
                if held.source.command is not None:
                    group.create_task(self._run(name, held, held.source.command))

    async def watch(self) -> None:
        """Keep the keys fresh until cancelled, after `load`."""
        async with asyncio.TaskGroup() as group:
            for name, held in self._list_held():
                if held.source.command is not None:
                    group.create_task(self._repeat(name, held, held.source.command))
            while True:
                self.poll_files()
                await asyncio.sleep(POLL_S)

    def poll_files(self) -> None:
        """Read the files that have changed."""
        for name, held in self._list_held():
            path = held.source.file
            if path is None:
                continue
            try:
                stat = Path(path).stat()
                seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
                if seen == held.seen:
                    continue
                held.seen = None
                key = read_key_file(path)
            except OSError as error:
                self._fail(name, held, f"it cannot be read ({error.strerror})")
            except UnreadableKeyError as error:
                self._fail(name, held, str(error))
            else:
                held.seen = seen
                self._take(held, key)

    async def _repeat(self, name: str, held: _Held, command: Sequence[str]) -> None:
        while True:
            await asyncio.sleep(choose_pause_s(held.source.refresh_s, held.num_failures))
            await self._run(name, held, command)

    async def _run(self, name: str, held: _Held, command: Sequence[str]) -> None:
        try:
            key = await run_key_command(command, _COMMAND_TIMEOUT_S)
        except UnreadableKeyError as error:
            held.num_failures += 1
            self._fail(name, held, str(error))
        else:
            held.num_failures = 0
            self._take(held, key)

    def _take_literals(self) -> None:
        for name, held in self._list_held():
            if held.source.literal is not None:
                try:
                    held.key = parse_key(held.source.literal.encode())
                except UnreadableKeyError as error:
                    self._fail(name, held, str(error))
        self._refill()

    def _list_held(self) -> list[tuple[str, _Held]]:
        return [(name, held) for name, sources in self._held.items() for held in sources]

    def _take(self, held: _Held, key: str) -> None:
        held.problem = None
        if key != held.key:
            held.key = key
            self.version += 1
            self._refill()

    def _fail(self, name: str, held: _Held, words: str) -> None:
        problem = f"{held.source.kind}: {words}"
        if problem != held.problem:
            kept = "no key before it" if held.key is None else "the last key stays"
            _log.warning("no key of %s from %s (%s)", name, problem, kept)
        held.problem = problem

    def _refill(self) -> None:
        for name, sources in self._held.items():
            self._rings[name].replace([held.key for held in sources if held.key])


def choose_pause_s(refresh_s: float, num_failures: int) -> float:
    """How long until a command is run again, in seconds: soon after a failure, then less and less often."""
    if num_failures == 0:
        return refresh_s
    return min(refresh_s, _FIRST_RETRY_S * 2.0 ** min(num_failures - 1, 16))
