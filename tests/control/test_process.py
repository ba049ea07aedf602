"""The control process as a process: it listens, compiles, and ends cleanly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from inhouse.control import ControlRun, DesiredState, check_admin_host, run_control
from inhouse.control.settings import AdminSettings
from inhouse.domain import ConfigError

_PROGRAM = """
import sys
from pathlib import Path
from inhouse.catalog import load_price_book
from inhouse.control import ControlRun, DesiredState, run_control
from inhouse.control.settings import AdminSettings
state_dir, host, store_url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
desired = DesiredState(routes={}, deployments={}, providers={}, data_classes={}, keys=(), is_open=True,
                       price_book=load_price_book(), provider_urls={})
sys.exit(run_control(ControlRun(settings=AdminSettings(host=host, port=0), desired=desired, state_dir=state_dir,
                                store_url=store_url, gateway_url="http://127.0.0.1:8080")))
"""


@pytest.fixture
def control(state_dir: Path, store_url: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-X", "dev", "-c", _PROGRAM, str(state_dir), "127.0.0.1", store_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def _read_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def _get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 - our own loopback address
        return json.load(reply)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_listens_compiles_and_ends_cleanly(
    control: subprocess.Popen[str], state_dir: Path, number: signal.Signals
) -> None:
    address = _read_line(control.stdout).removeprefix("LISTENING ")
    assert address.startswith("http://127.0.0.1:")
    deadline = time.monotonic() + 10
    while _get(f"{address}/api/healthz")["status"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (state_dir / "run" / "snapshot.json").exists()
    control.send_signal(number)
    _, errors = control.communicate(timeout=10)
    assert control.returncode == 0
    assert "snapshot 1 is in place" in errors
    assert "Traceback" not in errors
    assert "Warning" not in errors


def test_it_refuses_to_listen_where_others_can_connect(
    desired: DesiredState, state_dir: Path, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = ControlRun(
        settings=AdminSettings(host="0.0.0.0", port=0),  # noqa: S104 - refused, never bound
        desired=desired,
        state_dir=state_dir,
        store_url=store_url,
        gateway_url="http://127.0.0.1:8080",
    )
    assert run_control(run) == 2
    assert "admin.host: 127.0.0.1" in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1"])
def test_loopback_hosts_may_listen(host: str) -> None:
    check_admin_host(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "box.example", ""])  # noqa: S104 - refused
def test_other_hosts_may_not_listen(host: str) -> None:
    with pytest.raises(ConfigError, match="it has no keys yet"):
        check_admin_host(host)


def test_a_taken_port_is_a_clear_error(
    desired: DesiredState,
    state_dir: Path,
    store_url: str,
    control: subprocess.Popen[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = int(_read_line(control.stdout).rpartition(":")[2])
    run = ControlRun(
        settings=AdminSettings(port=port),
        desired=desired,
        state_dir=state_dir,
        store_url=store_url,
        gateway_url="http://127.0.0.1:8080",
    )
    assert run_control(run) == 2
    assert "admin.port" in caplog.text
