"""Resolve requirements/*.txt again with uv: every platform at once, with hashes, without index addresses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {"core": [], "dev": ["dev"], "postgres": ["postgres"], "redis": ["redis"], "finetune": ["finetune"]}
# torch stays out: its CPU and CUDA builds are one version with different hashes, and the index decides which.
TORCH = re.compile(r"^((?:torch|triton|nvidia-|cuda-)[\w.-]*)==", re.MULTILINE)


def main() -> None:
    """Write one file per extra that needs one, and the build tools'."""
    for name, extras in TARGETS.items():
        compile_requirements("pyproject.toml", name, [f"--extra={extra}" for extra in extras])
    torch = TORCH.findall((ROOT / "requirements" / "finetune.txt").read_text())
    compile_requirements(
        "pyproject.toml", "finetune", ["--extra=finetune", *(f"--no-emit-package={name}" for name in torch)]
    )
    compile_requirements("requirements/build.in", "build", [])


def compile_requirements(source: str, name: str, arguments: list[str]) -> None:
    """Resolve one file; a resolver error ends the script."""
    target = f"requirements/{name}.txt"
    command = [
        sys.executable, "-m", "uv", "pip", "compile", source, *arguments, "--universal", "--python-version=3.11",
        "--no-strip-extras", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header",
        "--quiet",
        f"--output-file={target}",
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 -- our own arguments
    print(f"{target}: {(ROOT / target).read_text().count(' --hash=')} hashes")  # noqa: T201 -- a script's output


if __name__ == "__main__":
    main()
