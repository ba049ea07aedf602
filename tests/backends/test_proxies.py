"""Which proxy a connection goes through."""

from __future__ import annotations

import pytest

from inhouse.backends.proxies import (
    BadProxyError,
    Proxy,
    choose_proxy,
    is_excepted,
    parse_proxy,
    read_proxy_environment,
    split_login,
)
from inhouse.backends.target import parse_target
from inhouse.domain import Network

API = parse_target("https://api.example/v1")
PLAIN = parse_target("http://api.example/v1")


def place(url: str, environment: dict[str, str], network: Network | None = None) -> str | None:
    proxy = choose_proxy(parse_target(url), network or Network(), read_proxy_environment(environment))
    return None if proxy is None else proxy.place


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("https://api.example/v1", {"HTTPS_PROXY": "http://proxy:3128"}, "proxy:3128"),
        ("https://api.example/v1", {"HTTPS_PROXY": "proxy:3128"}, "proxy:3128"),
        ("https://api.example/v1", {"HTTP_PROXY": "http://proxy:3128"}, None),
        ("http://api.example/v1", {"HTTP_PROXY": "http://proxy:3128"}, "proxy:3128"),
        ("http://api.example/v1", {"ALL_PROXY": "http://proxy"}, "proxy:80"),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "lower:1"),
        ("https://api.example/v1", {"HTTPS_PROXY": " "}, None),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://[::1]:3128"}, "[::1]:3128"),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "example"}, None),
        ("https://127.0.0.1:8000/v1", {"HTTPS_PROXY": "http://proxy:1"}, None),
        ("https://localhost:8000/v1", {"HTTPS_PROXY": "http://proxy:1"}, None),
    ],
)
def test_the_environment_chooses_by_scheme(url: str, environment: dict[str, str], expected: str | None) -> None:
    assert place(url, environment) == expected


def test_the_setting_wins_over_the_environment() -> None:
    environment = {"HTTPS_PROXY": "http://env:1", "NO_PROXY": "*"}

    assert place("https://api.example/v1", environment, Network(proxy="http://mine:3128")) == "mine:3128"
    assert place("https://api.example/v1", {"HTTPS_PROXY": "http://env:1"}, Network(proxy="none")) is None


def test_an_endpoint_declared_private_is_reached_directly_unless_it_names_a_proxy() -> None:
    environment = {"HTTP_PROXY": "http://env:1"}

    assert place("http://gpu-box:8000/v1", environment, Network(is_declared_private=True)) is None
    own = Network(is_declared_private=True, proxy="http://mine:3128")
    assert place("http://gpu-box:8000/v1", environment, own) == "mine:3128"


@pytest.mark.parametrize(
    ("word", "host", "expected"),
    [
        ("*", "api.example", True),
        ("example", "api.example", True),
        (".example", "api.example", True),
        ("*.example", "api.example", True),
        ("api.example", "api.example", True),
        ("API.example", "api.Example.", True),
        ("pi.example", "api.example", False),
        ("api.example:8443", "api.example", False),
        ("api.example:443", "api.example", True),
        ("10.0.0.0/8", "10.2.3.4", True),
        ("10.0.0.0/8", "11.2.3.4", False),
        ("11.2.3.4", "11.2.3.4", True),
        ("example", "11.2.3.4", False),
        ("[2606::1]:443", "[2606::1]", True),
        ("2606::/16", "[2606::1]", True),
        ("2607::/16", "[2606::1]", False),
        (".", "api.example", False),
    ],
)
def test_no_proxy_takes_names_suffixes_addresses_ranges_and_ports(word: str, host: str, expected: bool) -> None:
    exceptions = read_proxy_environment({"NO_PROXY": f"other.test, {word}"}).exceptions

    assert is_excepted(parse_target(f"https://{host}/v1"), exceptions) is expected


def test_a_login_becomes_a_header_and_shows_nowhere_else() -> None:
    proxy = parse_proxy("http://me:s3cret%40word@proxy:3128", "HTTPS_PROXY")

    assert proxy == Proxy("proxy", 3128, "me:s3cret@word", "HTTPS_PROXY")
    assert proxy.authorization == "Basic bWU6czNjcmV0QHdvcmQ="
    assert "s3cret" not in repr(proxy)
    assert "s3cret" not in repr(read_proxy_environment({"HTTPS_PROXY": "http://me:s3cret@proxy:3128"}))


def test_a_setting_is_split_into_what_may_be_shown_and_a_printable_login() -> None:
    assert split_login("http://me:s3 cret%40wörd@proxy:3128") == ("http://proxy:3128", "me:s3%20cret%40w%C3%B6rd")
    assert Proxy("proxy", 3128).with_login("me:s3%20cret%40w%C3%B6rd").login == "me:s3 cret@wörd"
    assert split_login("http://proxy") == ("http://proxy:80", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("socks5://me:s3cret@proxy:1080", "HTTPS_PROXY names a proxy of the kind socks5://, which is not supported"),
        ("https://me:s3cret@proxy:1080", "of the kind https://"),
        ("http://me:s3cret@proxy:99999", "HTTPS_PROXY is no address of a proxy"),
        ("http://", "HTTPS_PROXY is no address of a proxy"),
    ],
)
def test_an_address_of_no_http_proxy_is_refused_without_showing_it(text: str, words: str) -> None:
    with pytest.raises(BadProxyError) as caught:
        choose_proxy(API, Network(), read_proxy_environment({"HTTPS_PROXY": text}))

    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert choose_proxy(PLAIN, Network(), read_proxy_environment({"HTTPS_PROXY": text})) is None
