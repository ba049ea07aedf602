"""Reads a Hugging Face folder of a Llama model: sizes, vocabulary and tensors in llama.cpp's names and row order.

It reads one safetensors file with numpy alone and writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from inhouse.domain.errors import ConfigError, SourceLocation


class SourceFolderError(ConfigError, ValueError):
    """The folder lacks a file, or holds a model that is not a plain Llama; the text names the file and the fix."""

    def __init__(self, file: Path, problem: str, fix: str) -> None:
        super().__init__(problem, fix=fix, location=SourceLocation(str(file)))


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model, in values (not bytes)."""

    context: int
    hidden: int
    layers: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    rms_norm_eps: float
    rope_theta: float


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokenizer as llama.cpp wants it: `types` holds names of `gguf.TokenType`, merges are "left right"."""

    tokens: tuple[str, ...]
    types: tuple[str, ...]
    merges: tuple[str, ...]
    bos: int
    eos: int
    pad: int
    chat_template: str


@dataclass(frozen=True, slots=True)
class LlamaFolder:
    """A model folder, read but for its weights."""

    path: Path
    name: str
    shape: Shape
    vocabulary: Vocabulary

    def tensors(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Each tensor under its llama.cpp name, float16 or float32, q and k rows in interleaved RoPE order."""
        file = self.path / "model.safetensors"
        for name, array in _read_safetensors(file):
            if name.endswith("q_proj.weight"):
                yield _gguf_name(name, file), _interleave(array, self.shape.heads)
            elif name.endswith("k_proj.weight"):
                yield _gguf_name(name, file), _interleave(array, self.shape.kv_heads)
            else:
                yield _gguf_name(name, file), array


def read_llama_folder(path: Path) -> LlamaFolder:
    """Read config.json, tokenizer.json, tokenizer_config.json and the chat template of a Llama folder.

    Raises SourceFolderError where one is missing, is not JSON, or names another architecture.
    """
    config = _read_json(path / "config.json")
    if config.get("model_type") != "llama":
        raise SourceFolderError(
            path / "config.json",
            f"the model type is {config.get('model_type')!r}.",
            "convert other architectures with llama.cpp's convert_hf_to_gguf.py.",
        )
    if not (path / "model.safetensors").is_file():
        raise SourceFolderError(
            path / "model.safetensors", "the file is missing.", "save the model as one safetensors file."
        )
    try:
        return LlamaFolder(path, path.name, _shape(config), _vocabulary(path, int(config["vocab_size"])))
    except KeyError as error:
        raise SourceFolderError(path, f"the field {error} is missing.", "save the model with transformers.") from error


_FLOAT_TYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_LAYER_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_TOP_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def _shape(config: dict[str, Any]) -> Shape:
    rope = cast("dict[str, Any]", config.get("rope_parameters") or config)
    heads = int(config["num_attention_heads"])
    return Shape(
        context=int(config["max_position_embeddings"]),
        hidden=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        feed_forward=int(config["intermediate_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_size=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
        vocabulary=int(config["vocab_size"]),
        rms_norm_eps=float(config["rms_norm_eps"]),
        rope_theta=float(rope.get("rope_theta", 10_000.0)),
    )


def _vocabulary(path: Path, size: int) -> Vocabulary:
    tokenizer = _read_json(path / "tokenizer.json")
    settings = _read_json(path / "tokenizer_config.json")
    model = cast("dict[str, Any]", tokenizer["model"])
    ids = {int(number): token for token, number in cast("dict[str, int]", model["vocab"]).items()}
    added = {
        int(entry["id"]): str(entry["content"]) for entry in cast("list[dict[str, Any]]", tokenizer["added_tokens"])
    }
    tokens = tuple(added.get(number) or ids.get(number) or f"<unused{number}>" for number in range(size))
    types = tuple("CONTROL" if number in added else "NORMAL" if number in ids else "UNUSED" for number in range(size))
    merges = cast("list[str | list[str]]", model["merges"])
    number_of = {token: number for number, token in enumerate(tokens)}
    return Vocabulary(
        tokens=tokens,
        types=types,
        merges=tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in merges),
        bos=number_of[settings["bos_token"]],
        eos=number_of[settings["eos_token"]],
        pad=number_of[settings["pad_token"]],
        chat_template=_chat_template(path, settings),
    )


def _chat_template(path: Path, settings: dict[str, Any]) -> str:
    file = path / "chat_template.jinja"
    return file.read_text(encoding="utf-8") if file.is_file() else str(settings["chat_template"])


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise SourceFolderError(file, "the file is missing.", "give a whole Hugging Face model folder.") from error
    except ValueError as error:
        raise SourceFolderError(file, f"the file is not JSON ({error}).", "fetch or write it again.") from error


def _read_safetensors(file: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Tensors in the order of the file. Format: 8-byte length, JSON header, then the raw values, little endian."""
    content = np.memmap(file, mode="r")
    start = 8 + int(content[:8].view("<u8")[0])
    header = cast("dict[str, dict[str, Any]]", json.loads(content[8:start].tobytes()))
    header.pop("__metadata__", None)
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"][0]):
        if entry["dtype"] not in _FLOAT_TYPES:
            raise SourceFolderError(file, f"{name} has type {entry['dtype']}.", "save the weights as F32, F16 or BF16.")
        first, last = cast("list[int]", entry["data_offsets"])
        values = content[start + first : start + last].view(_FLOAT_TYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        yield name, np.asarray(values).reshape(entry["shape"])


def _gguf_name(name: str, file: Path) -> str:
    stem = name.removesuffix(".weight")
    if stem in _TOP_NAMES:
        return f"{_TOP_NAMES[stem]}.weight"
    parts = stem.split(".", 3)
    if len(parts) == 4 and parts[:2] == ["model", "layers"] and parts[3] in _LAYER_NAMES:
        return f"blk.{parts[2]}.{_LAYER_NAMES[parts[3]]}.weight"
    raise SourceFolderError(file, f"a Llama model has no tensor {name!r}.", "merge adapters before converting.")


def _interleave(weights: npt.NDArray[Any], heads: int) -> npt.NDArray[Any]:
    """Reorder the rows of each head from halves (Hugging Face) to pairs (llama.cpp)."""
    half = weights.shape[0] // heads // 2
    return weights.reshape(heads, 2, half, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)
