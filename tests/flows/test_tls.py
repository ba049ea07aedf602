"""TLS on the data port under `inhouse up`: SDKs over https, the platform's own calls, renewal, and what is refused."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest
import trustme

from flows.installation import KEY, Running, run_up, wait_until

FILE = """\
data_classes: {internal: {processors: [paid]}}
providers:
  paid: {simulated: {first_token_ms_median: 5, token_ms_mean: 1}, models: {mid: {}}}
routes: {desk: {data_class: internal, variants: {x: {endpoint: paid/mid}}, use: {default: x}}}
keys: {flow: {key: "${FLOW_KEY}"}}
gateway: {host: 0.0.0.0, port: 0, workers: 2, drain_s: 3, tls: {cert_file: port.pem, key_file: port.key}}
admin: {port: 0}
agent: {metrics_port: 0}
"""
LOOPBACK = "0100007F"
"""127.0.0.1 as /proc/net/tcp writes it."""
LISTENING = "0A"
NUM_HANDSHAKES = 24
"""So many connections reach both workers all but certainly."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("tls")
    write_pair(folder, authority)
    with run_up(folder, FILE, {"FLOW_KEY": KEY}) as running:
        yield running


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def client(installation: Running, trust: ssl.SSLContext) -> Iterator[openai.OpenAI]:
    base_url = f"https://127.0.0.1:{installation.addresses['gateway_port']}/v1"
    with (
        httpx2.Client(verify=trust) as transport,
        openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0, timeout=20, http_client=transport) as client,
    ):
        yield client


def write_pair(folder: Path, authority: trustme.CA) -> None:
    """A new certificate and its key, each replaced whole, one after the other."""
    issued = authority.issue_cert("127.0.0.1")
    for name, content in (
        ("port.pem", b"".join(pem.bytes() for pem in issued.cert_chain_pems)),
        ("port.key", issued.private_key_pem.bytes()),
    ):
        (folder / f"{name}.new").write_bytes(content)
        (folder / f"{name}.new").chmod(0o600)
        (folder / f"{name}.new").replace(folder / name)


def ask(client: openai.OpenAI) -> str | None:
    reply = client.chat.completions.create(model="desk", messages=[{"role": "user", "content": "hi"}])
    return reply.choices[0].message.content


def run_command(installation: Running, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "inhouse.cli.app", *arguments, "-c", str(installation.folder / "inhouse.yaml")]
    environment = {**os.environ, "FLOW_KEY": KEY}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def serial_shown(port: int, trust: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        return str((secured.getpeercert() or {})["serialNumber"])


def read_health(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/healthz")
    reply = connection.getresponse()
    reply.read()
    return reply.status


def listeners_of(port: int) -> list[str]:
    """Addresses on which sockets listen at a port, as the kernel writes them."""
    rows = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    places = [row[1].split(":") for row in rows if row[3] == LISTENING]
    return [address for address, number in places if int(number, 16) == port]


def test_the_sdk_is_served_over_https_streamed_and_not(client: openai.OpenAI) -> None:
    whole = ask(client)
    stream = client.chat.completions.create(model="desk", messages=[{"role": "user", "content": "hi"}], stream=True)
    chunks = list(stream)

    assert whole
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_an_authority_that_is_not_trusted_and_an_old_protocol_are_refused(installation: Running) -> None:
    port = installation.addresses["gateway_port"]
    with pytest.raises(ssl.SSLCertVerificationError):
        serial_shown(port, ssl.create_default_context())
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        serial_shown(port, old)


def test_plain_http_is_refused_without_an_answer_and_harms_nobody(installation: Running, client: openai.OpenAI) -> None:
    for _ in range(NUM_HANDSHAKES):
        with socket.create_connection(("127.0.0.1", installation.addresses["gateway_port"]), timeout=5) as plain:
            plain.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = b""
            while piece := plain.recv(1024):
                answer += piece
        assert not answer.startswith(b"HTTP/"), answer

    assert ask(client)
    logs = "".join(path.read_text() for path in (installation.folder / ".inhouse" / "logs").glob("gateway-*.log"))
    assert "Traceback" not in logs


def test_the_platforms_own_calls_have_a_plain_port_on_this_machine_alone(installation: Running) -> None:
    local_port, port = installation.addresses["local_port"], installation.addresses["gateway_port"]
    connection = http.client.HTTPConnection("127.0.0.1", local_port, timeout=5)
    connection.request("GET", "/v1/models")
    refused = connection.getresponse()
    refused.read()
    connection.close()

    assert refused.status == 401  # it takes the same keys
    assert listeners_of(local_port) == [LOOPBACK, LOOPBACK]  # one for each worker
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", local_port), timeout=5)
    socket.create_connection(("127.0.0.2", port), timeout=5).close()


def test_status_and_evaluation_work(installation: Running) -> None:
    status = run_command(installation, "status", "--json")
    evaluation = run_command(
        installation, "eval", "run", "builtin:tickets", "--on", "paid/mid", "--per-task", "2", "--json"
    )

    assert status[0] == 0, status[1]
    shown = {"url": f"https://127.0.0.1:{installation.addresses['gateway_port']}/v1", "problem": ""}
    assert json.loads(status[1])["ports"]["data"] == shown
    assert evaluation[0] == 0, evaluation[1]
    assert json.loads(evaluation[1])["runs"][0]["summary"]["num_errors"] == 0


def test_a_renewed_certificate_is_shown_by_both_workers_and_drops_no_connection(
    installation: Running, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    port = installation.addresses["gateway_port"]
    before = serial_shown(port, trust)
    kept = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=trust)
    assert read_health(kept) == 200
    kept.auto_open = 0
    write_pair(installation.folder, authority)

    wait_until(
        lambda: before not in {serial_shown(port, trust) for _ in range(NUM_HANDSHAKES)}, 10, "the new certificate"
    )
    assert len({serial_shown(port, trust) for _ in range(NUM_HANDSHAKES)}) == 1
    assert read_health(kept) == 200  # on the connection that was made before
    kept.close()
