"""Starts and stops what is measured: nginx, inhouse's gateway, and peers that are installed under .bench/."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from load import build_payload

from inhouse.domain import (
    ApiKey,
    DataClass,
    Dialect,
    EgressPolicy,
    Endpoint,
    EndpointKind,
    PriceVector,
    Replica,
    Route,
    Snapshot,
    Variant,
)
from inhouse.gateway.auth import hash_token

REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = REPOSITORY / ".bench"
PINS = {"sglang-router": "sglang-router==0.3.2", "litellm": "litellm[proxy]==1.106.2"}
_ANSWER = (
    b'{"id":"chatcmpl-7","object":"chat.completion","created":1700000000,"model":"tiny","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"The order was handed to the carrier on Monday. Please offer a refund or '
    b'a second parcel, whichever the customer likes better."},"logprobs":null,"finish_reason":"stop"}],"usage":'
    b'{"prompt_tokens":75,"completion_tokens":28,"total_tokens":103}}'
)
ANSWER = _ANSWER + b" " * (385 - len(_ANSWER))


@dataclass
class Peer:
    """A running proxy: its address, its root process, its version."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    version: str

    def stop(self) -> None:
        """End it and what it started (its own process group)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)


def read_cpu_s(pid: int) -> float:
    """CPU seconds of a process and all its living descendants: nanoseconds on CPU of each thread, from /proc.

    `schedstat` counts in nanoseconds, where utime and stime count ticks of 10 ms; both are user and system time.
    """
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    total_ns, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        for thread in Path(f"/proc/{one}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total_ns += int(thread.read_text().split()[0])
        waiting += children.get(one, [])
    return total_ns / 1e9


def find_port() -> int:
    """A port that was free a moment ago, for programs that cannot pick one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_nginx(directory: Path, name: str, locations: str, upstream: str = "", *, logs: bool = False) -> Peer:
    """Nginx with one worker and an own configuration, everything it writes in `directory`."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    home = directory / name
    home.mkdir()
    port = find_port()
    access_log = f"{home}/access.log" if logs else "off"
    (home / "nginx.conf").write_text(
        f"""
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log {access_log}; keepalive_requests 10000000; tcp_nodelay on; default_type application/json;
  client_body_temp_path {home}/a; proxy_temp_path {home}/b; fastcgi_temp_path {home}/c; uwsgi_temp_path {home}/d;
  scgi_temp_path {home}/e; client_body_buffer_size 64k;
  {upstream}
  server {{ listen 127.0.0.1:{port}; {locations} }}
}}
"""
    )
    process = _spawn([binary, "-c", str(home / "nginx.conf"), "-p", str(home)], home)
    version = subprocess.run([binary, "-v"], capture_output=True, check=True, text=True).stderr.strip()
    wait_port(port, process)
    return Peer(name, port, process, version.rpartition("/")[2])


def start_canned(directory: Path) -> Peer:
    """The upstream of the unstreamed shape: nginx answering with a fixed body."""
    body = ANSWER.decode()
    return start_nginx(directory, "canned", f"location / {{ return 200 '{body}'; }} ")


def start_streamer(directory: Path) -> Peer:
    """The upstream of the streamed shape."""
    process = _spawn([sys.executable, str(Path(__file__).with_name("streams.py"))], directory, is_piped=True)
    line = process.stdout.readline().decode() if process.stdout else ""
    return Peer("streamer", int(line), process, "raw asyncio")


def start_nginx_proxy(directory: Path, upstream_port: int, name: str, *, logs: bool = False) -> Peer:
    """Nginx as a plain kept-alive proxy, unbuffered for streams; with `logs` it writes an access log."""
    upstream = f"upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 64; keepalive_requests 10000000; }}"
    location = (
        "location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; "
        "proxy_buffering off; }"
    )
    return start_nginx(directory, name, location, upstream, logs=logs)


def start_inhouse(directory: Path, upstream_port: int, name: str) -> Peer:
    """The gateway as a user runs it: one worker, keys on, prices on, traces written to the spool."""
    home = directory / name
    (home / "run").mkdir(parents=True)
    pepper = bytes(range(32))
    endpoint = Endpoint(
        endpoint_id="tiny",
        kind=EndpointKind.OWN,
        dialect=Dialect.OPENAI,
        model="tiny",
        processor="own",
        replicas=(Replica(replica_id="tiny-0", base_url=f"http://127.0.0.1:{upstream_port}/v1"),),
        price=_price(),
        digest="sha256:bench",
    )
    snapshot = Snapshot(
        version=1,
        created_at=time.time(),
        routes={
            "chat": Route(
                name="chat", data_class="internal", variants=(Variant(name="own", endpoint_id="tiny"),), default="own"
            )
        },
        endpoints={"tiny": endpoint},
        keys=(ApiKey(key_id="bench", key_hash=hash_token(pepper, "sk-bench"), team="bench"),),
        egress=EgressPolicy((DataClass("internal", frozenset({"own"})),)),
    )
    (home / "run" / "snapshot.json").write_bytes(msgspec.json.encode(snapshot))
    process = _spawn([sys.executable, str(Path(__file__).with_name("worker.py")), str(home)], home, is_piped=True)
    line = process.stdout.readline().decode() if process.stdout else ""
    version = subprocess.run(
        ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return Peer(name, int(line.rpartition(":")[2]), process, version.stdout.strip())


def start_sglang_router(directory: Path, upstream_port: int, name: str, *, is_stream: bool) -> Peer | None:
    """SGLang's Rust router in front of one worker; None where it is not installed or does not start."""
    python = PEERS / "sglang-router" / "bin" / "python"
    if not python.exists():
        return None
    home = directory / name
    home.mkdir()
    port = find_port()
    process = _spawn(
        [
            str(python), "-m", "sglang_router.launch_router", "--host", "127.0.0.1", "--port", str(port),
            "--worker-urls", f"http://127.0.0.1:{upstream_port}", "--policy", "round_robin",
            "--prometheus-port", str(find_port()), "--disable-health-check",
        ],
        home,
    )  # fmt: skip
    return _accept(Peer(name, port, process, PINS["sglang-router"].rpartition("==")[2]), is_stream=is_stream)


def start_litellm(directory: Path, upstream_port: int, name: str, *, is_stream: bool) -> Peer | None:
    """LiteLLM's proxy with one model, no database; None where it is not installed or does not start."""
    binary = PEERS / "litellm" / "bin" / "litellm"
    if not binary.exists():
        return None
    home = directory / name
    home.mkdir()
    port = find_port()
    (home / "config.yaml").write_text(
        "model_list:\n- model_name: chat\n  litellm_params:\n    model: openai/tiny\n"
        f"    api_base: http://127.0.0.1:{upstream_port}/v1\n    api_key: none\n"
        "general_settings:\n  master_key: sk-bench\n"
    )
    command = [str(binary), "--config", str(home / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    peer = Peer(name, port, _spawn(command, home), PINS["litellm"].rpartition("==")[2])
    return _accept(peer, is_stream=is_stream, timeout_s=90)


def setup_peers() -> None:
    """Install the peers into environments of their own."""
    for name, pin in PINS.items():
        python = PEERS / name / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(PEERS / name)], check=True)
        if subprocess.run([str(python), "-m", "pip", "install", "--quiet", pin], check=False).returncode:
            print(f"{pin} cannot be installed here and is left out", file=sys.stderr)


def wait_port(port: int, process: subprocess.Popen[bytes], timeout_s: float = 20.0) -> None:
    """Wait until something accepts on `port`; RuntimeError where the process ends or the time does."""

    def is_open() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return True
        return False

    _poll(is_open, process, timeout_s)


def _accept(peer: Peer, *, is_stream: bool, timeout_s: float = 30.0) -> Peer | None:
    """A peer that answers a chat request, else None with its reason on stderr."""
    payload = build_payload(peer.port, is_stream=is_stream, model="chat")
    body = payload.partition(b"\r\n\r\n")[2]

    def answers() -> bool:
        request = urllib.request.Request(  # the address is written here
            f"http://127.0.0.1:{peer.port}/v1/chat/completions",
            data=body,
            headers={"content-type": "application/json", "authorization": "Bearer sk-bench"},
        )
        with (
            contextlib.suppress(OSError, urllib.error.HTTPError),
            urllib.request.urlopen(request, timeout=5) as reply,  # noqa: S310  # the address is written above
        ):
            return reply.status == 200
        return False

    try:
        _poll(answers, peer.process, timeout_s)
    except RuntimeError as error:
        print(f"{peer.name} left out: {error}", file=sys.stderr)
        peer.stop()
        return None
    return peer


def _poll(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], timeout_s: float) -> None:
    ends_at = time.monotonic() + timeout_s
    while not is_ready():
        if process.poll() is not None:
            raise RuntimeError(f"it ended with code {process.returncode}")
        if time.monotonic() > ends_at:
            raise RuntimeError(f"it did not answer within {timeout_s:g} s")
        time.sleep(0.1)


def _price() -> PriceVector:
    return PriceVector(
        price_id="bench",
        input_uncached=1e-6,
        cache_read=1e-6,
        cache_write=1e-6,
        output_visible=2e-6,
        output_reasoning=2e-6,
    )


def _spawn(command: list[str], home: Path, *, is_piped: bool = False) -> subprocess.Popen[bytes]:
    with (home / "log").open("wb") as log:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE if is_piped else log, stderr=log, cwd=home, start_new_session=True
        )
