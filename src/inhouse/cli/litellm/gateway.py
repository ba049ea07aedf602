"""LiteLLM's timeouts, retries and cooldowns → the gateway's, which are one setting for all routes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from inhouse.cli.litellm.deployments import Deployment, read_number
from inhouse.cli.litellm.reading import Item, LiteLLMFile, is_empty, is_reference
from inhouse.cli.litellm.report import Ledger, Outcome
from inhouse.gateway.settings import EjectionSettings, RetrySettings, TimeoutSettings

MAX_ATTEMPTS = 20
_MIB = 1_048_576
_TIMEOUTS, _RETRIES, _EJECTION = TimeoutSettings(), RetrySettings(), EjectionSettings()
_WHOLE_WINS = "`router_settings` says it too, and wins in LiteLLM as well."


@dataclass(frozen=True, slots=True)
class GatewayValues:
    """Settings of `gateway` that differ from inhouse's defaults, by dotted path, with the keys that each comes from."""

    values: dict[str, str]
    sources: dict[str, tuple[Item, ...]]


@dataclass(frozen=True, slots=True)
class _Numbers:
    """One setting as the file gives it in several places."""

    whole: Item | None
    items: tuple[Item, ...]
    numbers: tuple[Decimal, ...]

    def largest(self, default: float) -> Decimal:
        """The value that is enough for everybody; the default counts for deployments that say nothing."""
        given = self.numbers if self.whole is not None else (*self.numbers, Decimal(str(default)))
        return max(given)


class GatewayMapper:
    """Maps the settings one by one; `read` gives the result."""

    def __init__(self, file: LiteLLMFile, deployments: Sequence[Deployment], ledger: Ledger) -> None:
        self._router = file.section("router_settings")
        self._settings = file.section("litellm_settings")
        self._general = file.section("general_settings")
        self._deployments = deployments
        self._ledger = ledger
        self._values: dict[str, str] = {}
        self._sources: dict[str, tuple[Item, ...]] = {}

    def read(self, longest_chain: int) -> GatewayValues:
        """All settings of the gateway.

        Args:
            longest_chain: places that one request may try at most: the addresses of its variant and its fallbacks'.
        """
        attempts = self._map_retries(longest_chain)
        self._map_timeouts(attempts)
        self._map_ejection()
        self._map_body_size()
        return GatewayValues(self._values, self._sources)

    def _map_retries(self, longest_chain: int) -> int:
        found = self._collect(("num_retries", "max_retries"), ("num_retries", "max_retries"), is_zero_fine=True)
        policy = self._router.get("retry_policy")
        kinds = [read_number(item) for item in policy.children().values()] if policy else []
        counts = [number for number in kinds if number is not None]
        retries = max((*found.numbers, *counts), default=None)
        attempts = min(int(retries) + longest_chain, MAX_ATTEMPTS) if retries is not None else _RETRIES.max_attempts
        attempts = max(attempts, min(longest_chain, MAX_ATTEMPTS))
        words = (
            "LiteLLM repeats at each model of a chain; inhouse counts the attempts of one request over all of them: "
            f"{attempts} here, for {retries} retries and {longest_chain} {'place' if longest_chain == 1 else 'places'} "
            "to try. One setting for all routes."
        )
        self._note_all(found.items, words, "gateway.retries.max_attempts")
        if policy is not None:
            self._note_policy(policy, is_used=bool(counts))
        sources = (*found.items, *([policy] if policy and counts else []))
        if attempts != _RETRIES.max_attempts:
            self._set("retries.max_attempts", str(attempts), sources)
        self._map_retry_after()
        return attempts

    def _note_policy(self, policy: Item, *, is_used: bool) -> None:
        if is_empty(policy.value):
            self._ledger.note(policy, Outcome.CARRIED, "Empty here, so nothing is lost.")
            return
        words = (
            "inhouse decides by itself what is worth repeating: what failed on the way, 408, 409, 429 and 5xx; never "
            "a request that the provider refuses as wrong. "
        )
        words += (
            "The largest count of the policy is used for all kinds." if is_used else "No number in it could be read."
        )
        self._ledger.note(policy, Outcome.CHANGED, words, "gateway.retries.max_attempts")

    def _map_retry_after(self) -> None:
        item = self._router.get("retry_after")
        if item is None:
            return
        number = read_number(item)
        if number is None or number <= 0:
            self._ledger.note(item, Outcome.CARRIED, "No wait asked for; inhouse waits a random few milliseconds.")
            return
        milliseconds = number * 1000
        self._set("retries.backoff_ms", _show(milliseconds), (item,))
        if milliseconds > Decimal(str(_RETRIES.max_backoff_ms)):
            self._set("retries.max_backoff_ms", _show(milliseconds), (item,))
        words = (
            "The upper end of a random wait here, which doubles with each further retry; a provider's Retry-After wins."
        )
        self._ledger.note(item, Outcome.CHANGED, words, "gateway.retries.backoff_ms")

    def _map_timeouts(self, attempts: int) -> None:
        timeout = self._collect(("timeout", "request_timeout"), ("timeout", "request_timeout", "force_timeout"))
        if timeout.numbers:
            first = timeout.largest(_TIMEOUTS.first_token_s)
            self._set("timeouts.first_token_s", _show(first), timeout.items)
            total = max(first * attempts, Decimal(str(_TIMEOUTS.total_s)))
            if total > Decimal(str(_TIMEOUTS.total_s)):
                self._set("timeouts.total_s", _show(total), timeout.items)
            self._note_all(
                timeout.items,
                f"LiteLLM's limit is for one attempt. Here the first byte of an answer must come within {_show(first)} "
                "s (for an unstreamed answer that is the whole of it), and a request with all its attempts may take "
                f"{_show(total)} s. One setting for all routes: the longest in this file.",
                "gateway.timeouts.first_token_s",
            )
        names = ("stream_timeout", "stream_idle_timeout")
        idle = self._collect(names, names)
        if idle.numbers:
            longest = idle.largest(_TIMEOUTS.idle_s)
            self._set("timeouts.idle_s", _show(longest), idle.items)
            self._note_all(
                idle.items,
                f"The longest silence inside an answer, {_show(longest)} s; the first event of a stream has "
                "`first_token_s`. Comments that only keep a connection open do not count. One setting for all routes.",
                "gateway.timeouts.idle_s",
            )

    def _map_ejection(self) -> None:
        fails = self._collect(("allowed_fails",), (), is_zero_fine=True)
        if fails.numbers:
            count = int(max(fails.numbers)) + 1
            self._set("ejection.consecutive_failures", str(count), fails.items)
            self._note_all(
                fails.items,
                f"LiteLLM counts failures a minute; inhouse counts failures in a row: the {_ordinal(count)} leaves an "
                "address out, one that cannot be reached is out at once, one that answers 429 rests for as long as it "
                "says.",
                "gateway.ejection.consecutive_failures",
            )
        cooldown = self._collect(("cooldown_time",), ("cooldown_time",))
        if cooldown.numbers:
            base = max(cooldown.numbers)
            self._set("ejection.base_s", _show(base), cooldown.items)
            if base > Decimal(str(_EJECTION.max_s)):
                self._set("ejection.max_s", _show(base), cooldown.items)
            self._note_all(
                cooldown.items,
                f"The first time out is {_show(base)} s, and it doubles if the single trial request after it fails. "
                "One setting for all routes.",
                "gateway.ejection.base_s",
            )
        disabled = next(
            (where["disable_cooldowns"] for where in (self._router, self._settings) if "disable_cooldowns" in where),
            None,
        )
        if disabled is not None:
            self._map_disabled_cooldowns(disabled)

    def _map_disabled_cooldowns(self, item: Item) -> None:
        if is_empty(item.value):
            self._ledger.note(item, Outcome.CARRIED, "Failing addresses are left out for a while here too.")
            return
        self._set("ejection.panic_share", "0", (item,))
        words = "With a panic share of 0, ejections are always ignored. Consider leaving it out: it protects the rest."
        self._ledger.note(item, Outcome.CHANGED, words, "gateway.ejection.panic_share")

    def _map_body_size(self) -> None:
        item = self._general.get("max_request_size_mb")
        number = read_number(item)
        if item is None or is_empty(item.value):
            return
        if number is None or number <= 0:
            words = "Its number cannot be read; set `gateway.limits.max_body_bytes` yourself (20 MiB without it)."
            self._ledger.note(item, Outcome.NEEDS_YOU, words, "gateway.limits.max_body_bytes")
            return
        self._set("limits.max_body_bytes", str(int(number * _MIB)), (item,))
        self._ledger.note(item, Outcome.CARRIED, "Larger bodies are answered 413.", "gateway.limits.max_body_bytes")

    def _collect(self, wholes: tuple[str, ...], params: tuple[str, ...], *, is_zero_fine: bool = False) -> _Numbers:
        """Every place that gives a setting: `router_settings` before `litellm_settings`, then each deployment."""
        found = [where[key] for where in (self._router, self._settings) for key in wholes if key in where]
        whole = next((item for item in found if self._is_usable(item, is_zero_fine=is_zero_fine)), None)
        items = [whole] if whole is not None else []
        for item in found:
            if item is not whole and not self._ledger.is_noted(item):
                self._ledger.note(item, Outcome.DROPPED, _WHOLE_WINS)
        for one in self._deployments:
            for key in params:
                item = one.entry.params.get(key)
                if item is not None and item not in items and self._is_usable(item, is_zero_fine=is_zero_fine):
                    items.append(item)
        return _Numbers(whole, tuple(items), tuple(read_number(item) or Decimal(0) for item in items))

    def _is_usable(self, item: Item, *, is_zero_fine: bool) -> bool:
        number = read_number(item)
        if number is not None and (number > 0 or (is_zero_fine and number == 0)):
            return True
        if self._ledger.is_noted(item):
            return False
        if item.value is None:
            self._ledger.note(item, Outcome.CARRIED, "Empty here, so nothing is lost.")
        elif is_reference(item.text):
            words = "Its number stands in the environment; write it into the file yourself, under `gateway`."
            self._ledger.note(item, Outcome.NEEDS_YOU, words, "gateway")
        else:
            words = "This is no positive number of seconds or attempts; inhouse's own setting is used. Is it meant so?"
            self._ledger.note(item, Outcome.NEEDS_YOU, words, "gateway")
        return False

    def _note_all(self, items: Iterable[Item], words: str, became: str) -> None:
        for item in items:
            if not self._ledger.is_noted(item):
                self._ledger.note(item, Outcome.CHANGED, words, became)

    def _set(self, path: str, value: str, sources: tuple[Item, ...]) -> None:
        self._values[path] = value
        self._sources[path] = sources


def _show(number: Decimal) -> str:
    """A number without needless zeros or exponents."""
    return f"{number.normalize():f}"


def _ordinal(number: int) -> str:
    """1 → 1st."""
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
