"""A bound process does not outlive its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

from serving_bench import is_alive, wait_for

PARENT = textwrap.dedent("""
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c",
        "import time; from inhouse.serving import bind_to_parent; bind_to_parent(); print('bound', flush=True); "
        "time.sleep(60)"], stdout=subprocess.PIPE)
    child.stdout.readline()
    print(child.pid, flush=True)
    time.sleep(60)
""")


def test_a_bound_child_dies_with_its_parent_on_kill_9() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        assert is_alive(child_pid)
        parent.kill()
    wait_for(lambda: not is_alive(child_pid), "end of the child", 5)


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    code = f"from inhouse.serving import bind_to_parent; bind_to_parent({os.getpid() + 1_000_000}); print('lives')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=20)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")
