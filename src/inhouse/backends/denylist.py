"""Which addresses a connection may be made to. Pure: names are resolved elsewhere, and what was judged is connected to.

Ranges as the IANA special-purpose registries have them (checked on 2026-11-24), and where clouds keep credentials.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

NEEDS_DECLARATION: Final = "which only an endpoint declared private may use (`network: {private: true}`)"
"""How every reason ends that a declaration would lift."""


def _rows(*rows: tuple[str, str]) -> tuple[tuple[IpNetwork, str], ...]:
    return tuple((ipaddress.ip_network(network), words) for network, words in rows)


_NEVER = _rows(
    # Clouds serve credentials of the machine at these; first, so that the reason says so.
    ("169.254.169.254/32", "a cloud's metadata address"),
    ("168.63.129.16/32", "a cloud's metadata address"),
    ("100.100.100.200/32", "a cloud's metadata address"),
    ("192.0.0.192/32", "a cloud's metadata address"),
    ("fd00:ec2::/32", "a cloud's metadata address"),
    ("fd20:ce::254/128", "a cloud's metadata address"),
    ("fd00:c1::a9fe:a9fe/128", "a cloud's metadata address"),
    ("255.255.255.255/32", "the broadcast address"),
    ("0.0.0.0/8", "an unspecified address"),
    ("::/128", "an unspecified address"),
    ("169.254.0.0/16", "a link-local address"),
    ("fe80::/10", "a link-local address"),
    ("100.64.0.0/10", "an address of a carrier's shared range (CGNAT)"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("2002::/16", "a 6to4 address"),
    ("64:ff9b::/96", "a NAT64 address"),
    ("64:ff9b:1::/48", "a NAT64 address"),
    ("2001::/32", "a Teredo address"),
    ("224.0.0.0/4", "a multicast address"),
    ("ff00::/8", "a multicast address"),
    ("192.0.2.0/24", "an address reserved for documentation"),
    ("198.51.100.0/24", "an address reserved for documentation"),
    ("203.0.113.0/24", "an address reserved for documentation"),
    ("2001:db8::/32", "an address reserved for documentation"),
    ("3fff::/20", "an address reserved for documentation"),
    ("198.18.0.0/15", "an address reserved for benchmarks"),
    ("2001:2::/48", "an address reserved for benchmarks"),
    ("192.0.0.0/24", "an address reserved for protocols"),
    ("2001::/23", "an address reserved for protocols"),
    ("240.0.0.0/4", "a reserved address"),
)
_PRIVATE = _rows(
    ("127.0.0.0/8", "a loopback address"),
    ("::1/128", "a loopback address"),
    ("10.0.0.0/8", "a private address"),
    ("172.16.0.0/12", "a private address"),
    ("192.168.0.0/16", "a private address"),
    ("fc00::/7", "a private address"),
)
_DIGITS = frozenset("0123456789")
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")


def judge_address(ip: IpAddress, *, is_declared_private: bool) -> str | None:
    """Why no connection may be made to an address; None where it may.

    An IPv4 address inside an IPv6 one (`::ffff:a.b.c.d`) is judged as the IPv4 address that it stands for.

    Args:
        ip: the address itself, never a name.
        is_declared_private: the configuration says that the endpoint is on the user's own network; it lifts the ban on
            loopback and private ranges, and no other.

    Returns:
        A reason that begins with the address: `10.0.0.7 is a private address, which only …`.
    """
    plain = ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip
    words = _find(plain, _NEVER)
    if words is not None:
        return f"{plain} is {words}, which nothing may use"
    words = _find(plain, _PRIVATE)
    if words is not None:
        return None if is_declared_private else f"{plain} is {words}, {NEEDS_DECLARATION}"
    if isinstance(plain, ipaddress.IPv6Address) and plain not in _GLOBAL_V6:
        return f"{plain} is a reserved address, which nothing may use"
    return None


def read_literal(host: str) -> IpAddress | None:
    """The address that a host is written as; None for a name.

    Takes every spelling that a system's resolver takes for an address (`127.1`, `0x7f000001`, `2130706433`), because
    what stands behind a proxy may take them too.
    """
    name = host.rstrip(".")
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        if name[:1] not in _DIGITS:
            return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, UnicodeError):
        return None


def is_local_name(host: str) -> bool:
    """Whether a host is `localhost` or below it: by definition this machine, whatever a resolver says."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def is_plainly_private(host: str) -> bool:
    """Whether a host needs no resolver to be known as loopback or private: an address of those ranges, or `localhost`.

    Who writes such an address into the configuration means it; a public name that resolves there does not.
    """
    literal = read_literal(host)
    if literal is None:
        return is_local_name(host)
    return judge_address(literal, is_declared_private=False) is not None and (
        judge_address(literal, is_declared_private=True) is None
    )


def _find(ip: IpAddress, rows: tuple[tuple[IpNetwork, str], ...]) -> str | None:
    return next((words for network, words in rows if ip in network), None)
