"""clerk, the small model that ships with inhouse: where its files are. It loads nothing; MODEL_CARD.md describes it."""

from importlib.resources import files
from pathlib import Path

CLERK_NAME = "clerk"


def clerk_gguf() -> Path:
    """The F16 GGUF of clerk, from which `inhouse.serving.gguf.quantize_gguf` writes the other precisions."""
    return clerk_path("clerk-f16.gguf")


def clerk_path(name: str) -> Path:
    """The path of one file of the package, such as "tokenizer.json". Raises FileNotFoundError for an unknown name."""
    path = Path(str(files(__name__) / name))
    if not path.is_file():
        raise FileNotFoundError(f"clerk has no file {name!r}: its files are listed in {path.parent / 'MODEL_CARD.md'}")
    return path


__all__ = ["CLERK_NAME", "clerk_gguf", "clerk_path"]
