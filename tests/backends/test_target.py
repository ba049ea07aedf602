from __future__ import annotations

import pytest

from inhouse.backends import Target, parse_target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8000/v1/x", Target("127.0.0.1", 8000, False, "/v1/x", "127.0.0.1:8000")),
        ("https://api.example/v1?a=b", Target("api.example", 443, True, "/v1?a=b", "api.example")),
        ("http://[::1]:81", Target("::1", 81, False, "/", "[::1]:81")),
    ],
)
def test_a_url_is_split_into_what_a_connection_needs(url: str, target: Target) -> None:
    assert parse_target(url) == target


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http:///v1", "http://a b/", "http://a/\r\nx: y", "http://u:p@host/", "host/v1"]
)
def test_an_address_that_could_mislead_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        parse_target(url)
