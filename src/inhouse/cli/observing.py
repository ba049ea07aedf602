"""`inhouse up --observe`: the configuration that needs no file, and what is printed of it. Starts nothing."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from rich.markup import escape

from inhouse.backends.denylist import is_plainly_private
from inhouse.backends.target import Target, parse_target
from inhouse.catalog import load_price_book
from inhouse.cli.config import Configuration, load_config_text
from inhouse.cli.platform import Platform
from inhouse.cli.terminal import out
from inhouse.control import KNOWN_COMPANIES
from inhouse.domain import ConfigError, SourceLocation

FOLDER = ".inhouse-observe"
"""State folder of observe mode, below the folder that it is started in."""
DEFAULT_PORT = 8080
_VERSION = "/v1"
_OPENAI = ("OpenAI SDK", "OPENAI_BASE_URL")
_ANTHROPIC = ("Anthropic SDK", "ANTHROPIC_BASE_URL")
_FILE = """\
# Written by `inhouse up --observe`; `inhouse traces -c` and `inhouse status -c` read it.
observe: {observe}
state_dir: {folder}
gateway:
  port: {port}
  signals: false
  timeouts: {{connect_s: 30, first_token_s: 3600, idle_s: 3600, total_s: 86400}}
  limits:
    max_header_bytes: 262144
    max_headers: 1000
    max_body_bytes: 1073741824
    body_timeout_s: 3600
    max_connections: 100000
admin: {{port: 0}}
agent: {{metrics_port: 0}}
"""


def build_observing(url: str, folder: Path, *, port: int | None = None, prices_of: str | None = None) -> Configuration:
    """The configuration of observe mode: one upstream, no limits, no content kept.

    Args:
        url: the API's address, as clients had it.
        folder: where the state folder goes.
        port: of the data port; 0 picks a free one.
        prices_of: the provider whose list prices apply where the address does not say it.

    Raises:
        ConfigError: `url` is no address of an API, or nobody's prices are known by that name.
    """
    chosen = DEFAULT_PORT if port is None else port
    target = _check_url(url)
    if target.port == chosen and is_plainly_private(target.host):
        raise _refuse(
            f"{url} is where inhouse itself would listen: requests would go round in circles.",
            "Give the address of the API that your clients call today, or another --port.",
        )
    observe = {"base_url": url}
    if prices_of is not None:
        _check_prices(prices_of)
        observe["provider"] = prices_of
    text = _FILE.format(observe=_quote(observe), folder=_quote(str(folder / FOLDER)), port=chosen)
    return load_config_text(text, "--observe", folder, {})


def print_observing(platform: Platform, start_s: float) -> None:
    """How to put it in front of an application, how to take it away again, and where to look."""
    observe = platform.configuration.settings.observe
    if observe is None:
        raise AssertionError("only observe mode is shown so")
    root = platform.addresses.gateway_url
    file = shlex.quote(str(platform.state.config))
    _print(f"[bold green]ready[/] in {start_s:.1f} s: observing [bold]{escape(observe.base_url)}[/]")
    _print("Requests pass as they are; each leaves a trace with its cost, not its content.")
    _print("")
    for (name, variable), path in _list_clients(observe.base_url):
        _print(f"{name:<14} [bold]export {variable}={root}{path}[/]")
        _print(f"{'  undo':<14} unset {variable}")
    _print("")
    _print(f"what passed    inhouse traces -c {escape(file)}")
    _print(f"               inhouse status -c {escape(file)}")
    _print(f"status page    {platform.addresses.admin_url}/")
    _print(f"metrics        {platform.addresses.metrics_url}")
    _print(f"kept in        {escape(str(platform.state.root))}   (delete the folder to forget it all)")
    if observe.provider is None and _host_of(observe.base_url) not in KNOWN_COMPANIES:
        _print("prices         not known for this address, so calls show as unpriced: see --prices-of")
    _print("[dim]Ctrl-C stops it[/]")


def print_undo(url: str) -> None:
    """What is left to do when it has stopped: clients that still point here find nobody."""
    variables = " ".join(variable for (_, variable), _ in _list_clients(url))
    _print(f"stopped; applications that still point here fail now: [bold]unset {variables}[/]")


def _print(line: str) -> None:
    """A line that the terminal may wrap, so that what is copied from it is whole."""
    out.print(line, soft_wrap=True)


def _list_clients(url: str) -> list[tuple[tuple[str, str], str]]:
    """The SDKs that may speak to such an API, each with the path that its base URL has at the gateway."""
    parts = urlsplit(url.rstrip("/"))
    path = _VERSION if parts.path in ("", _VERSION) or parts.path.endswith(_VERSION) else ""
    openai, anthropic = (_OPENAI, path), (_ANTHROPIC, "")
    company = KNOWN_COMPANIES.get(parts.hostname or "")
    if company is None:
        return [openai, anthropic]
    return [anthropic, openai] if company == "anthropic" else [openai]


def _check_url(url: str) -> Target:
    fix = "Give what your clients have as their base URL, such as https://api.openai.com/v1."
    if "://" not in url and "." in url.partition("/")[0]:
        fix = f"Did you mean https://{url}?"
    problem = "the URL must end with its path, without `?`, `#` or `$`"
    try:
        target = parse_target(url)
    except ValueError as error:
        problem = str(error)
    else:
        if not any(letter in url for letter in "?#$"):
            return target
    raise _refuse(f"{_shorten(url)!r} is no address of an API: {problem}.", fix)


def _check_prices(name: str) -> None:
    known = load_price_book().companies
    if name not in known:
        raise ConfigError(
            f"the price book knows no provider {name!r}.",
            fix=f"Choose one of: {', '.join(known)}.",
            location=SourceLocation("--prices-of"),
        )


def _refuse(problem: str, fix: str) -> ConfigError:
    return ConfigError(problem, fix=fix, location=SourceLocation("--observe"))


def _shorten(url: str) -> str:
    """The URL without what may be a password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def _quote(value: object) -> str:
    """As YAML reads it: JSON, in the characters themselves."""
    return json.dumps(value, ensure_ascii=False)
