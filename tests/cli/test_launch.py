"""Ports: each process gets one of its own, keeps it over restarts, and nobody else is given it meanwhile."""

import socket
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from inhouse.cli.config import Configuration, load_config_text
from inhouse.cli.launch import choose_addresses
from inhouse.domain import ConfigError

FILE = """\
data_classes: {internal: {processors: [a, b]}}
providers:
  a: {simulated: {}, models: {m: {}}}
  b: {simulated: {}, models: {m: {}}}
routes: {r: {data_class: internal, variants: {v: {endpoint: a/m}}, use: {default: v}}}
gateway: {port: 0}
admin: {port: 0}
agent: {metrics_port: 0}
"""


def load(text: str = FILE) -> Configuration:
    return load_config_text(text, "inhouse.yaml", Path("/srv"), {})


def test_ports_are_distinct_and_the_same_the_next_time() -> None:
    with ExitStack() as held:
        first = choose_addresses(load(), None, held)
    with ExitStack() as held:
        second = choose_addresses(load(), first, held)

    ports = [first.gateway_port, first.admin_port, first.metrics_port]
    ports += [int(url.removesuffix("/v1").rpartition(":")[2]) for url in first.providers.values()]
    assert len(set(ports)) == 5
    assert second == first


def test_where_the_data_port_speaks_tls_there_is_a_local_port_that_stays_the_same() -> None:
    tls = FILE.replace("gateway: {port: 0}", "gateway: {port: 0, tls: {cert_file: c.pem, key_file: k.pem}}")
    with ExitStack() as held:
        plain = choose_addresses(load(), None, held)
    with ExitStack() as held:
        first = choose_addresses(load(tls), plain, held)
    with ExitStack() as held:
        second = choose_addresses(load(tls), first, held)

    assert (plain.local_port, plain.local_url) == (0, plain.gateway_url)
    assert first.local_port != first.gateway_port
    assert (first.gateway_url, first.local_url) == (
        f"https://127.0.0.1:{first.gateway_port}",
        f"http://127.0.0.1:{first.local_port}",
    )
    assert second == first


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse to listen on a port that is held")
def test_a_held_port_is_given_to_nobody_and_can_still_be_listened_on() -> None:
    with ExitStack() as held:
        port = choose_addresses(load(), None, held).gateway_port
        for _ in range(2):  # a process and its restart
            with closing(socket.create_server(("127.0.0.1", port))) as server:
                server.listen()
        with closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_a_port_that_somebody_listens_on_is_refused_with_its_line() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken, ExitStack() as held:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"inhouse.yaml:6: gateway.port: port {port} of 127.0.0.1 is in use"):
            choose_addresses(load(FILE.replace("gateway: {port: 0}", f"gateway: {{port: {port}}}")), None, held)
