"""A tiny GGUF with random weights that the real engine loads, an agent in a real process, and a scripted engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import gguf
import numpy as np

from inhouse.domain import ReplicaState
from inhouse.store import ReplicaRow, Store, open_store

T = TypeVar("T")
Deployments = Mapping[str, Mapping[str, Any]]

TRAINED_CONTEXT = 2048
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_AGENT_CODE = textwrap.dedent("""
    import json, sys
    from pathlib import Path
    from inhouse.serving import AgentRun, DeploymentSettings, bind_to_parent, run_agent
    bind_to_parent()
    given = json.loads(sys.argv[1])
    sys.exit(run_agent(AgentRun(
        deployments={name: DeploymentSettings(**value) for name, value in given["deployments"].items()},
        state_dir=Path(given["state_dir"]), store_url=given["store_url"], host_id="test-host",
        metrics_port=given["metrics_port"])))
""")


def wait_for(look: Callable[[], T | None], what: str, timeout_s: float = 20.0) -> T:
    """Poll until `look` gives something."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {timeout_s:g} s")


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def write_tiny_gguf(path: Path, *, chat_template: str = CHAT_TEMPLATE, seed: int = 0) -> None:
    """A one-layer llama of 45,504 random weights with a byte vocabulary."""
    random, hidden, vocabulary = np.random.default_rng(seed), 64, 260
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(TRAINED_CONTEXT)
    writer.add_embedding_length(hidden)
    writer.add_block_count(1)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(32)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_F16))
    letters = _byte_letters()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(["<|end|>", "<|im_start|>", "<|im_end|>", *letters, "hi"])
    writer.add_token_types([3, 3, 3, *[1] * 257])
    writer.add_token_merges(["h i"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(chat_template)
    shapes = {f"blk.0.{name}.weight": (hidden, hidden) for name in (
        "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}  # fmt: skip
    for name, shape in {"token_embd.weight": (vocabulary, hidden), **shapes}.items():
        writer.add_tensor(name, (random.standard_normal(shape) * 0.1).astype(np.float16))
    for name in ("output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"):
        writer.add_tensor(name, np.ones(hidden, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _byte_letters() -> list[str]:
    """GPT-2's visible letter for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    others = [byte for byte in range(256) if byte not in letters]
    return [letters.get(byte) or chr(256 + others.index(byte)) for byte in range(256)]


class AgentProcess:
    """The host agent as `inhouse up` starts it."""

    def __init__(self, state_dir: Path, deployments: Deployments) -> None:
        self._given = {
            "deployments": deployments,
            "state_dir": str(state_dir),
            "store_url": f"sqlite:///{state_dir / 'inhouse.db'}",
            "metrics_port": 0,
        }
        self.log_file = state_dir / "agent.log"
        self.store: Store = open_store(f"sqlite:///{state_dir / 'inhouse.db'}")
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _AGENT_CODE, json.dumps(self._given)], stdout=log, stderr=log
            )
        return self.process

    def rows(self) -> dict[str, ReplicaRow]:
        return {row.replica_id.partition("@")[0]: row for row in self.store.replicas.list()}

    def wait_for(self, replica: str, fits: Callable[[ReplicaRow], bool]) -> ReplicaRow:
        def look() -> ReplicaRow | None:
            row = self.rows().get(replica)
            return row if row is not None and fits(row) else None

        try:
            return wait_for(look, f"fitting row of {replica}")
        except AssertionError as error:
            raise AssertionError(f"{error}; rows: {self.rows()}; log: {self.log_file.read_text()}") from None

    def wait_ready(self, replica: str) -> ReplicaRow:
        return self.wait_for(replica, lambda row: row.state is ReplicaState.READY)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(15)


StartAgent = Callable[[Deployments], AgentProcess]
Script = Mapping[str, tuple[int, object]]
"""Path → status and JSON body."""


@asynccontextmanager
async def scripted_engine(script: Script) -> AsyncGenerator[str]:
    """An HTTP server on loopback that answers as the script says, else 404; gives its `…/v1`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:")), 0)
        await reader.readexactly(length)
        status, body = script.get(head.split()[1], (404, {}))
        content = json.dumps(body).encode()
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
