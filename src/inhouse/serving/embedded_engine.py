"""The embedded engine: llama.cpp's HTTP server, from the xllamacpp wheel, alone in this process.

A crash in its C++ code takes the process along, so it runs as a child of the host agent and never inside it. It writes
no prompt to its log, and knows nothing of replicas.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import xllamacpp  # pyright: ignore[reportMissingTypeStubs] -- the wheel has no stubs; cast below

from inhouse.serving.process import bind_to_parent

EXIT_MODEL = 4
"""Exit code where the model file is missing or broken."""
EXIT_ADDRESS = 5
"""Exit code where the port is taken."""

_HOST = "127.0.0.1"
_PROMPT_CACHE_MIB = 16  # llama.cpp's own default is 8192, which grows until the machine swaps
_LOG_ERRORS = 1  # at 2 (warnings) llama.cpp quotes what it cannot parse of a request
_GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the engine runs. `context_tokens` is per slot; `port` 0 picks a free one."""

    model: Path
    alias: str
    port: int
    context_tokens: int
    slots: int
    threads: int
    parent_pid: int | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal ends the process; an exit code comes back only where it cannot start."""
    options = _parse(argv)
    bind_to_parent(options.parent_pid)
    # llama.cpp cannot drain: the default action ends the process at once, also while it loads the model.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    problem = _find_problem(options.model)
    if problem:
        return _refuse(EXIT_MODEL, f"the model {options.model} {problem}.", "give the path of a whole GGUF file.")
    try:
        server = _start(options)
    except RuntimeError:
        return _explain_failure(options)
    sys.stdout.write(f"LISTENING {server.listening_address}\n")
    sys.stdout.flush()
    threading.Event().wait()
    return 0


def _parse(argv: Sequence[str] | None) -> EngineOptions:
    parser = argparse.ArgumentParser(prog="inhouse.serving.embedded_engine", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--context-tokens", type=int, default=1024)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parent-pid", type=int, default=None)
    return EngineOptions(**vars(parser.parse_args(argv)))


def _find_problem(model: Path) -> str | None:
    try:
        with model.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if magic == _GGUF_MAGIC else "is no GGUF file"


def _start(options: EngineOptions) -> Any:
    """Load the model and listen. Raises RuntimeError, without a reason, where llama.cpp cannot."""
    library = cast("Any", xllamacpp)
    params = library.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.alias}
    params.hostnames = [_HOST]
    params.port = options.port
    params.n_parallel = options.slots
    params.n_ctx = options.context_tokens * options.slots  # the slots share this pool
    params.kv_unified = False  # each slot has its share for itself
    params.fit_params = False  # never less than asked in silence
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.endpoint_metrics = True
    params.endpoint_slots = True
    params.endpoint_props = True
    params.use_jinja = True
    params.ui = False
    params.cors_origins = ""  # llama.cpp's default lets any web page read answers
    params.verbosity = _LOG_ERRORS
    return library.Server(params)


def _explain_failure(options: EngineOptions) -> int:
    if options.port and _is_taken(options.port):
        return _refuse(EXIT_ADDRESS, f"port {options.port} is taken.", "give another port.")
    return _refuse(
        EXIT_MODEL,
        f"llama.cpp cannot load {options.model} (its reason stands above).",
        "give a whole GGUF file of an architecture that this llama.cpp knows.",
    )


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return True
    return False


def _refuse(code: int, problem: str, fix: str) -> int:
    sys.stderr.write(f"inhouse engine: {problem} Fix: {fix}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
