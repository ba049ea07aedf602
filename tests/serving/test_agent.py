"""The host agent as a real process with real engines: kills, crashes, read-back, shipping."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest
from serving_bench import StartAgent, is_alive, wait_for

from inhouse.domain import DigestBasis, ReplicaState, TraceOpen, TraceStatus
from inhouse.store import ReplicaRow
from inhouse.telemetry import SpoolWriter

pytestmark = pytest.mark.engine


def tiny(model: Path, **changes: object) -> dict[str, object]:
    return {"model": str(model), "context_tokens": 256, "slots": 2, **changes}


def test_a_killed_engine_is_restarted_at_the_same_address(start_agent: StartAgent, tiny_gguf: Path) -> None:
    agent = start_agent({"tiny": tiny(tiny_gguf, replicas={"min": 2})})
    first, second = agent.wait_ready("tiny-0"), agent.wait_ready("tiny-1")
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    again = agent.wait_for("tiny-0", lambda row: row.state is ReplicaState.READY and row.pid != first.pid)
    assert time.monotonic() - killed_at < 10
    assert (again.base_url, again.digest, again.num_restarts) == (first.base_url, first.digest, 1)
    assert agent.rows()["tiny-1"].pid == second.pid
    assert second.digest == first.digest
    assert "ended by SIGKILL" in agent.log_file.read_text()


def test_the_digest_says_what_was_measured(start_agent: StartAgent, tiny_gguf: Path) -> None:
    row = start_agent({"tiny": tiny(tiny_gguf)}).wait_ready("tiny-0")
    fields = {field.name: (field.value, field.basis) for field in row.digest_fields}
    assert fields["quantization"] == ("MOSTLY_F16: F16=8 F32=3", DigestBasis.MEASURED)
    assert fields["context_tokens"] == ("256", DigestBasis.MEASURED)
    assert re.fullmatch(r"llamacpp xllamacpp==[\d.]+", fields["engine"][0])
    assert "temperature=0.8" in fields["sampling_defaults"][0]
    assert fields["gpu"] == ("cpu", DigestBasis.DECLARED)
    assert set(fields) == {
        "adapter", "chat_template_sha256", "context_tokens", "engine", "gpu", "kv_cache", "parallelism",
        "quantization", "sampling_defaults", "tokenizer_sha256", "weights_sha256",
    }  # fmt: skip


def test_engines_die_with_a_killed_agent_and_the_next_takes_over_their_addresses(
    start_agent: StartAgent, tiny_gguf: Path
) -> None:
    agent = start_agent({"tiny": tiny(tiny_gguf)})
    before = agent.wait_ready("tiny-0")
    stale = ReplicaRow(
        replica_id="old-0@test-host", deployment="old", host_id="test-host", base_url="", updated_at=1.0,
        state=ReplicaState.READY,
    )  # fmt: skip
    foreign = ReplicaRow(
        replica_id="old-0@other", deployment="old", host_id="other", base_url="", updated_at=1.0,
        state=ReplicaState.READY,
    )  # fmt: skip
    agent.store.replicas.put(stale)
    agent.store.replicas.put(foreign)
    assert before.pid is not None
    agent.kill()
    wait_for(lambda: not is_alive(before.pid or 0), "end of the engine", 5)
    agent.start()
    after = agent.wait_for("tiny-0", lambda row: row.state is ReplicaState.READY and row.pid != before.pid)
    assert (after.base_url, after.digest) == (before.base_url, before.digest)
    assert {row.replica_id for row in agent.store.replicas.list()} == {"tiny-0@test-host", "old-0@other"}
    assert agent.stop() == 0
    assert [row.replica_id for row in agent.store.replicas.list()] == ["old-0@other"]
    assert not is_alive(after.pid or 0)


def test_faults_of_one_deployment_are_told_and_leave_the_others_alone(
    start_agent: StartAgent, tiny_gguf: Path, tmp_path: Path
) -> None:
    crashing = tmp_path / "crashing.gguf"
    crashing.write_bytes(tiny_gguf.read_bytes().replace(b"tokenizer.ggml.merges", b"tokenizer.ggml.nerges"))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        agent = start_agent(
            {
                "crashing": tiny(crashing),
                "missing": tiny(tmp_path / "nowhere.gguf"),
                "short": tiny(tiny_gguf, context_tokens=4096),
                "elsewhere": {"url": url, "engine": "external"},
                "good": tiny(tiny_gguf),
            }
        )
        crashed = agent.wait_for("crashing-0", lambda row: row.num_restarts >= 2 and "exited" in row.detail)
        assert "exited with code 4: inhouse engine: llama.cpp cannot load" in crashed.detail
        missing = agent.wait_for("missing-0", lambda row: row.state is ReplicaState.DOWN)
        assert missing.detail.startswith(
            f"the model of deployment 'missing', {tmp_path / 'nowhere.gguf'}, cannot be read"
        )
        assert missing.num_restarts == 0
        short = agent.wait_for("short-0", lambda row: row.state is ReplicaState.DOWN)
        assert short.detail == "runs other than asked: context_tokens: asked 4096, runs 2048"
        assert (short.digest, short.num_restarts) == (None, 0)
        elsewhere = agent.wait_for("elsewhere-0", lambda row: row.state is ReplicaState.DOWN)
        assert (elsewhere.base_url, elsewhere.pid) == (url, None)
        assert "/models: no connection" in elsewhere.detail
        assert agent.wait_ready("good-0").detail == ""


def test_traces_are_shipped_within_a_second_and_metrics_show_them(
    start_agent: StartAgent, tiny_gguf: Path, tmp_path: Path
) -> None:
    agent = start_agent({"tiny": tiny(tiny_gguf)})
    agent.wait_ready("tiny-0")
    opened = TraceOpen(
        trace_id="a" * 32, writer="gw0-1-1", started_at=1.0, route="r", variant="v", endpoint_id="tiny",
        replica_id="tiny-0", key_id="k",
    )  # fmt: skip
    with SpoolWriter(tmp_path / "spool", "gw0-1-1") as writer:
        writer.write(opened)
        written_at = time.monotonic()
        wait_for(lambda: agent.store.traces.get("a" * 32), "shipped trace", 5)
        assert time.monotonic() - written_at < 1
    lost = wait_for(lambda: (trace := agent.store.traces.get("a" * 32)) and trace.close, "close of the lost gateway", 5)
    assert (lost.status, lost.error_code) == (TraceStatus.ABORTED, "gateway_lost")
    found = re.search(r"metrics on (http://[^ \n]+)", agent.log_file.read_text())
    assert found is not None
    with urllib.request.urlopen(found[1], timeout=5) as reply:  # noqa: S310 -- our own loopback address
        text = reply.read().decode()
    assert 'inhouse_replica_ready{deployment="tiny",replica="tiny-0@test-host"} 1.0' in text
    assert 'status="aborted"' in text
