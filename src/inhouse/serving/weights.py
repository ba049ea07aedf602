"""Reads what identifies a model file: hash, precision, tokenizer and chat template. Loads and changes nothing."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import gguf
import msgspec
from msgspec import Struct

from inhouse.domain import ConfigError, SourceLocation

_HASH_BLOCK_BYTES = 4 * 1024 * 1024
_CHAT_TEMPLATE = "tokenizer.chat_template"
_MAX_CACHED = 64


class WeightsFacts(Struct, frozen=True, kw_only=True):
    """What a GGUF file holds.

    Args:
        sha256: hex hash of the whole file.
        quantization: the file's type and how many tensors have which type, e.g. `MOSTLY_Q2_K: F32=7 Q2_K=22`; read
            from the file's contents, never from its name.
        tokenizer_sha256: hex hash over every `tokenizer.*` field but the chat template, as stored.
        chat_template_sha256: hex hash of the chat template's text; None where the file has none.
    """

    sha256: str
    quantization: str
    tokenizer_sha256: str
    chat_template_sha256: str | None


def read_weights(path: Path, cache_file: Path) -> WeightsFacts:
    """Facts of a GGUF file, remembered in `cache_file` as long as path, size, modification time and inode stay.

    Raises:
        ConfigError: the file is missing, no GGUF, cut off, or one part of a split model.
    """
    try:
        key = _cache_key(path)
    except OSError as error:
        raise _problem(path, f"it cannot be read: {error.strerror}.", "give the path of a GGUF file.") from error
    cache = _read_cache(cache_file)
    found = cache.get(key)
    if found is None:
        found = _read_facts(path)
        kept = dict(list(cache.items())[-(_MAX_CACHED - 1) :])
        _write_cache(cache_file, {**kept, key: found})
    return found


def hash_text(text: str) -> str:
    """Hex SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def _cache_key(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"


def _read_facts(path: Path) -> WeightsFacts:
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, OverflowError) as error:
        raise _problem(path, "it is no whole GGUF file.", "fetch or write it again.") from error
    parts = reader.get_field("split.count")
    if parts is not None and int(parts.contents()) > 1:
        raise _problem(path, "it is one part of a split model.", "join the parts with llama-gguf-split --merge.")
    template = reader.get_field(_CHAT_TEMPLATE)
    return WeightsFacts(
        sha256=_hash_file(path),
        quantization=_describe_precision(reader),
        tokenizer_sha256=_hash_tokenizer(reader),
        chat_template_sha256=None if template is None else hash_text(str(template.contents())),
    )


def _describe_precision(reader: gguf.GGUFReader) -> str:
    field = reader.get_field("general.file_type")
    counts = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    held = " ".join(f"{name}={count}" for name, count in sorted(counts.items()))
    return f"{'unknown' if field is None else _name_file_type(int(field.contents()))}: {held}"


def _name_file_type(number: int) -> str:
    try:
        return gguf.LlamaFileType(number).name
    except ValueError:
        return f"file type {number}"


def _hash_tokenizer(reader: gguf.GGUFReader) -> str:
    digest = hashlib.sha256()
    for name in sorted(reader.fields):
        if name.startswith("tokenizer.") and name != _CHAT_TEMPLATE:
            for part in reader.fields[name].parts:
                digest.update(part.tobytes())
    return digest.hexdigest()


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _read_cache(cache_file: Path) -> dict[str, WeightsFacts]:
    try:
        return msgspec.json.decode(cache_file.read_bytes(), type=dict[str, WeightsFacts])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _write_cache(cache_file: Path, cache: dict[str, WeightsFacts]) -> None:
    cache_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = cache_file.with_name(f".{cache_file.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.encode(cache))
    temporary.replace(cache_file)


def _problem(path: Path, problem: str, fix: str) -> ConfigError:
    return ConfigError(f"the model file cannot be used: {problem}", fix=fix, location=SourceLocation(str(path)))
