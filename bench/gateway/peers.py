"""Starts what is measured: nginx, inhouse's gateway, and the peers that are installed under .bench/."""

from __future__ import annotations

import contextlib
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from payloads import ANSWER, Ask, build_payload
from processes import (
    Peer,
    Place,
    find_port,
    poll,
    spawn,
    wait_port,
)
from state import TOKEN, write_state

REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = REPOSITORY / ".bench"
PINS = {"sglang-router": "sglang-router==0.3.2", "litellm": "litellm[proxy]==1.106.2"}
_HELPERS = Path(__file__).parent
_PEER_TIMEOUT_S = 90.0


def start_canned(directory: Path, place: Place) -> Peer:
    """The endpoint of unstreamed shapes: nginx answering with a fixed body."""
    locations = f"location / {{ return 200 '{ANSWER.decode()}'; }} "
    return _start_nginx(directory, "direct", locations, place.load)


def start_streamer(directory: Path, place: Place) -> Peer:
    """The endpoint of streamed shapes."""
    command = [sys.executable, str(_HELPERS / "streams.py")]
    process = spawn(command, _make_home(directory, "streamer"), place.load, is_piped=True)
    return Peer("direct", int(_read_line(process)), [process], "raw uvloop protocol")


def start_nginx_proxy(directory: Path, upstream_port: int, place: Place, *, logs: bool = False) -> Peer:
    """Nginx as a kept-alive proxy with one worker, unbuffered for streams; with `logs` it writes an access log."""
    upstream = f"upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 64; keepalive_requests 10000000; }}"
    location = (
        "location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; "
        "proxy_buffering off; }"
    )
    name = "nginx-log" if logs else "nginx"
    return _start_nginx(directory, name, location, place.proxy, upstream=upstream, logs=logs)


def start_inhouse(
    directory: Path,
    upstream_port: int,
    name: str,
    place: Place,
    *,
    signals: bool = True,
    num_workers: int = 1,
) -> Peer:
    """The gateway as a user runs it: keys on, prices on, traces written to the spool."""
    home = _make_home(directory, name)
    write_state(home / "state", upstream_port)
    port = find_port() if num_workers > 1 else 0
    peer = Peer(name, port, [], _read_own_version(), home)
    for index in range(num_workers):
        command = [
            sys.executable, str(_HELPERS / "worker.py"), str(home / "state"), "--port", str(port),
            "--index", str(index), "--workers", str(num_workers), "--signals", "on" if signals else "off",
        ]  # fmt: skip
        process = spawn(command, home, place.proxy, is_piped=True)
        peer.processes.append(process)
        line = _read_line(process)
        if not line.startswith("LISTENING"):
            peer.stop()
            raise RuntimeError(f"{name} did not start: {(home / 'log').read_text()[-500:]}")
        peer.port = int(line.rpartition(":")[2])
    return peer


def start_sglang_router(directory: Path, upstream_port: int, place: Place, *, is_stream: bool) -> Peer | None:
    """SGLang's Rust router in front of one worker; None where it is not installed or does not start."""
    python = PEERS / "sglang-router" / "bin" / "python"
    if not python.exists():
        return None
    home = _make_home(directory, "sglang-router")
    port = find_port()
    command = [
        str(python), "-m", "sglang_router.launch_router", "--host", "127.0.0.1", "--port", str(port),
        "--worker-urls", f"http://127.0.0.1:{upstream_port}", "--policy", "round_robin",
        "--prometheus-port", str(find_port()), "--disable-health-check",
    ]  # fmt: skip
    process = spawn(command, home, place.proxy)
    return _accept(Peer("sglang-router", port, [process], _read_version(python, "sglang-router")), is_stream=is_stream)


def start_litellm(directory: Path, upstream_port: int, place: Place, *, is_stream: bool) -> Peer | None:
    """LiteLLM's proxy with one model, no database; None where it is not installed or does not start."""
    binary = PEERS / "litellm" / "bin" / "litellm"
    if not binary.exists():
        return None
    home = _make_home(directory, "litellm")
    port = find_port()
    (home / "config.yaml").write_text(
        "model_list:\n- model_name: chat\n  litellm_params:\n    model: openai/tiny\n"
        f"    api_base: http://127.0.0.1:{upstream_port}/v1\n    api_key: none\n"
        f"general_settings:\n  master_key: {TOKEN}\n"
    )
    command = [
        str(binary), "--config", str(home / "config.yaml"), "--host", "127.0.0.1", "--port", str(port),
        "--keepalive_timeout", "600",
    ]  # fmt: skip
    process = spawn(command, home, place.proxy)
    version = _read_version(binary.with_name("python"), "litellm")
    return _accept(Peer("litellm", port, [process], version), is_stream=is_stream)


def setup_peers() -> None:
    """Install the peers into environments of their own."""
    for name, pin in PINS.items():
        python = PEERS / name / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(PEERS / name)], check=True)
        if subprocess.run([str(python), "-m", "pip", "install", "--quiet", pin], check=False).returncode:
            print(f"{pin} cannot be installed here and is left out", file=sys.stderr)


def _start_nginx(
    directory: Path,
    name: str,
    locations: str,
    cpus: frozenset[int],
    *,
    upstream: str = "",
    logs: bool = False,
) -> Peer:
    """Nginx with one worker and a configuration of its own, everything it writes in its folder."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    home = _make_home(directory, name)
    port = find_port()
    access_log = f"{home}/access.log" if logs else "off"
    (home / "nginx.conf").write_text(
        f"""
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log {access_log}; keepalive_requests 10000000; keepalive_timeout 600s; tcp_nodelay on;
  default_type application/json; client_body_temp_path {home}/a; proxy_temp_path {home}/b;
  fastcgi_temp_path {home}/c; uwsgi_temp_path {home}/d; scgi_temp_path {home}/e; client_body_buffer_size 64k;
  {upstream}
  server {{ listen 127.0.0.1:{port}; {locations} }}
}}
"""
    )
    process = spawn([binary, "-c", str(home / "nginx.conf"), "-p", str(home)], home, cpus)
    version = subprocess.run([binary, "-v"], capture_output=True, check=True, text=True).stderr.strip()
    wait_port(port, process)
    return Peer(name, port, [process], version.rpartition(": ")[2], home)


def _accept(peer: Peer, *, is_stream: bool) -> Peer | None:
    """A peer that answers a chat request, else None with its reason on stderr."""
    body = build_payload(peer.port, is_stream=is_stream).partition(b"\r\n\r\n")[2]

    def answers() -> bool:
        request = urllib.request.Request(
            f"http://127.0.0.1:{peer.port}{Ask.CHAT}",
            data=body,
            headers={"content-type": "application/json", "authorization": f"Bearer {TOKEN}"},
        )
        with (
            contextlib.suppress(OSError, urllib.error.HTTPError),
            urllib.request.urlopen(request, timeout=5) as reply,  # noqa: S310  # the address is written above
        ):
            return reply.status == 200
        return False

    try:
        poll(answers, peer.processes[0], _PEER_TIMEOUT_S)
    except RuntimeError as error:
        print(f"{peer.name} left out: {error}", file=sys.stderr)
        peer.stop()
        return None
    return peer


def _make_home(directory: Path, name: str) -> Path:
    home = directory / name
    home.mkdir(parents=True)
    return home


def _read_line(process: subprocess.Popen[bytes]) -> str:
    return process.stdout.readline().decode().strip() if process.stdout else ""


def _read_own_version() -> str:
    """The commit, `+` where the tree differs from it, and the Python that runs it."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(REPOSITORY), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = "+" if git("status", "--porcelain", "--", "src") else ""
    return f"{git('rev-parse', '--short', 'HEAD')}{changed} on Python {platform.python_version()}"


def _read_version(python: Path, package: str) -> str:
    """What is really installed there."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False).stdout.strip()
