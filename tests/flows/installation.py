"""A whole installation as a user starts it: `inhouse up` in a process of its own, on free ports."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inhouse.domain import Trace
from inhouse.store import ReplicaRow, Store, open_store

KEY = "flow-key-0123456789abcdef"
FILE = """\
data_classes:
  internal: {processors: [own, paid, flaky]}
providers:
  paid:
    simulated: {first_token_ms_median: 20, token_ms_mean: 1}
    models: {mid: {modalities: [text, image]}}
  flaky:
    base_url: ${FLAKY_URL}
    models: {limited: {}, refused: {}, broken: {}, silent: {}, strict: {}}
deployments:
  clerk: {model: clerk, slots: 4, threads: 1}
routes:
  desk:
    data_class: internal
    variants: {in-house: {endpoint: clerk}, api: {endpoint: paid/mid}}
    use: {default: in-house, when: [{task: reasoning, use: api}, {modality: image, use: api}]}
    fallback: [api]
  only-clerk:
    data_class: internal
    variants: {in-house: {endpoint: clerk}}
    use: {default: in-house}
  limited: {data_class: internal, variants: {x: {endpoint: flaky/limited}}, use: {default: x}}
  refused: {data_class: internal, variants: {x: {endpoint: flaky/refused}}, use: {default: x}}
  broken: {data_class: internal, variants: {x: {endpoint: flaky/broken}}, use: {default: x}}
  silent: {data_class: internal, variants: {x: {endpoint: flaky/silent}}, use: {default: x}}
  strict: {data_class: internal, variants: {x: {endpoint: flaky/strict}}, use: {default: x}}
keys:
  flow: {key: "${FLOW_KEY}"}
  other: {key: "other-key-0123456789abcdef", routes: [limited]}
gateway: {port: 0, drain_s: 3, limits: {max_body_bytes: 65536}, timeouts: {first_token_s: 1.0, connect_s: 1.0}}
admin: {port: 0}
agent: {metrics_port: 0}
"""


@dataclass
class Running:
    """An installation that `inhouse up` runs."""

    folder: Path
    process: subprocess.Popen[bytes]
    store: Store
    addresses: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.addresses['gateway_port']}/v1"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.addresses['admin_port']}"

    def replicas(self) -> list[ReplicaRow]:
        return self.store.replicas.list()

    def has_engine(self) -> bool:
        """Whether an engine process runs now (a killed one comes back after a growing pause)."""
        return any("inhouse.serving.embedded_engine" in line for line in list_processes(self.process.pid).values())

    def find_pid(self, name: str) -> int:
        """Process id of one of our processes below `up`: gateway, agent, control, provider or engine."""
        module = "inhouse.serving.embedded_engine" if name == "engine" else f"inhouse.cli.{name}_process"
        return next(pid for pid, line in list_processes(self.process.pid).items() if module in line)


def list_processes(root: int) -> dict[int, str]:
    """Every process below `root`, itself included, with its command line."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if stat[0] != "Z":
                    parents[int(entry.name)] = int(stat[1])
                    lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return {pid: lines[pid] for pid in below if pid in lines}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], timeout_s: float = 20.0, what: str = "the condition") -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in {timeout_s} s"
        time.sleep(0.02)


def wait_for_trace(store: Store, trace_id: str, timeout_s: float = 5.0) -> Trace:
    """The whole trace: its open record may be shipped before its close is written."""
    found: list[Trace] = []

    def is_closed() -> bool:
        trace = store.traces.get(trace_id)
        if trace is not None and trace.close is not None:
            found.append(trace)
        return bool(found)

    wait_until(is_closed, timeout_s, "the closed trace")
    return found[0]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 -- our own loopback address
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


@contextlib.contextmanager
def run_up(folder: Path, text: str, environment: dict[str, str], store_url: str | None = None) -> Generator[Running]:
    """Start `inhouse up` on `text`, wait until everything is ready, stop it with SIGTERM at the end."""
    (folder / "inhouse.yaml").write_text(text)
    url = store_url or f"sqlite:///{folder / '.inhouse' / 'inhouse.db'}"
    command = [sys.executable, "-m", "inhouse.cli.app", "up", "-c", str(folder / "inhouse.yaml")]
    with (
        (folder / "up.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment}) as process,
    ):
        try:
            wait_until(lambda: b"Ctrl-C" in (folder / "up.log").read_bytes() or process.poll() is not None, 60, "up")
            assert process.poll() is None, (folder / "up.log").read_text()
            addresses = json.loads((folder / ".inhouse" / "run" / "addresses.json").read_text())
            with contextlib.closing(open_store(url)) as store:
                yield Running(folder, process, store, addresses)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
