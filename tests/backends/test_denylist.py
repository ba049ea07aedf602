"""Which addresses are never connected to, and which only where the endpoint is declared private."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.backends.denylist import is_plainly_private, judge_address, read_literal

NEVER = [
    ("169.254.169.254", "a cloud's metadata address"),
    ("168.63.129.16", "a cloud's metadata address"),
    ("100.100.100.200", "a cloud's metadata address"),
    ("fd00:ec2::254", "a cloud's metadata address"),
    ("169.254.7.7", "a link-local address"),
    ("fe80::1", "a link-local address"),
    ("fe80::1%eth0", "a link-local address"),
    ("100.64.0.1", "an address of a carrier's shared range (CGNAT)"),
    ("100.127.255.255", "an address of a carrier's shared range (CGNAT)"),
    ("2002:7f00:1::", "a 6to4 address"),
    ("192.88.99.1", "a 6to4 relay"),
    ("64:ff9b::7f00:1", "a NAT64 address"),
    ("64:ff9b:1::a00:1", "a NAT64 address"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "a Teredo address"),
    ("224.0.0.1", "a multicast address"),
    ("ff02::1", "a multicast address"),
    ("0.0.0.0", "an unspecified address"),  # noqa: S104  # nothing is bound
    ("0.1.2.3", "an unspecified address"),
    ("::", "an unspecified address"),
    ("255.255.255.255", "the broadcast address"),
    ("192.0.2.1", "an address reserved for documentation"),
    ("203.0.113.9", "an address reserved for documentation"),
    ("2001:db8::1", "an address reserved for documentation"),
    ("198.18.0.1", "an address reserved for benchmarks"),
    ("240.0.0.1", "a reserved address"),
    ("::ffff:169.254.169.254", "a cloud's metadata address"),
    ("::ffff:100.64.0.1", "an address of a carrier's shared range (CGNAT)"),
    ("::7f00:1", "a reserved address"),
    ("::ffff:0:7f00:1", "a reserved address"),
    ("fec0::1", "a reserved address"),
    ("100::1", "a reserved address"),
]
PRIVATE = ["127.0.0.1", "127.8.8.8", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd12::1"]
PUBLIC = ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "192.167.255.255"]


def judge(text: str, *, is_declared_private: bool) -> str | None:
    return judge_address(ipaddress.ip_address(text), is_declared_private=is_declared_private)


@pytest.mark.parametrize(("text", "words"), NEVER)
def test_what_is_never_connected_to_is_named_even_where_declared_private(text: str, words: str) -> None:
    shown = text.removeprefix("::ffff:") if "." in text else text
    expected = f"{shown} is {words}, which nothing may use"

    assert judge(text, is_declared_private=True) == expected
    assert judge(text, is_declared_private=False) == expected


@pytest.mark.parametrize("text", [*PRIVATE, "::ffff:10.0.0.1"])
def test_loopback_and_private_need_the_declaration_and_the_reason_names_it(text: str) -> None:
    assert judge(text, is_declared_private=True) is None
    assert (judge(text, is_declared_private=False) or "").endswith(
        "which only an endpoint declared private may use (`network: {private: true}`)"
    )


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_free(text: str) -> None:
    assert judge(text, is_declared_private=False) is None


@given(st.ip_addresses())
def test_nothing_that_is_not_global_is_reached_undeclared(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """The standard library's own view of the registries is the oracle: our list may be longer, never shorter."""
    if not ip.is_global or ip.is_multicast:
        assert judge_address(ip, is_declared_private=False) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_one_is_judged_as_itself(ip: ipaddress.IPv4Address) -> None:
    inside = ipaddress.IPv6Address(f"::ffff:{ip}")
    for is_declared in (True, False):
        outer = judge_address(inside, is_declared_private=is_declared)
        plain = judge_address(ip, is_declared_private=is_declared)

        assert (outer is None) == (plain is None)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0251.0376.0251.0376", "169.254.169.254"),
        ("127.0.0.1.", "127.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_every_spelling_of_an_address_is_read(host: str, address: str) -> None:
    assert read_literal(host) == ipaddress.ip_address(address)


@pytest.mark.parametrize("host", ["api.example", "1password.example", "", ".", "0x", "300.1.1.1", "fe80"])
def test_names_are_no_addresses(host: str) -> None:
    assert read_literal(host) is None


@pytest.mark.parametrize(
    ("host", "is_private"),
    [
        ("localhost", True),
        ("models.localhost.", True),
        ("10.1.2.3", True),
        ("::1", True),
        ("8.8.8.8", False),
        ("169.254.169.254", False),
        ("localhost.example", False),
        ("gpu-box", False),
    ],
)
def test_an_address_that_says_itself_that_it_is_private_is_known_without_a_resolver(
    host: str, is_private: bool
) -> None:
    assert is_plainly_private(host) is is_private
