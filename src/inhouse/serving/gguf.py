"""Writes GGUF files: from a Hugging Face folder of a Llama model, and at lower precision from an existing GGUF.

Every matrix gets the same type, the embedding included; norms stay F32. It loads no model and runs nothing.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
import numpy.typing as npt

from inhouse.domain.errors import ConfigError, SourceLocation
from inhouse.serving.llama_folder import LlamaFolder, read_llama_folder


class QuantLevel(StrEnum):
    """Precisions that `quantize_gguf` writes, from the finest to the coarsest."""

    Q8_0 = "Q8_0"
    Q4_K = "Q4_K"
    Q4_0 = "Q4_0"
    Q3_K = "Q3_K"
    Q2_K = "Q2_K"


class GgufError(ConfigError, ValueError):
    """A model file cannot be read, or not be written at the wanted precision; the text names the file and the fix."""

    def __init__(self, file: Path, problem: str, fix: str) -> None:
        super().__init__(problem, fix=fix, location=SourceLocation(str(file)))


class NotGgufError(GgufError):
    """The file is not a GGUF, or it is cut off."""


class AlreadyQuantizedError(GgufError):
    """The source is quantized: quantizing it again would lose precision twice."""


class RowSizeError(GgufError):
    """A matrix has rows that do not divide into the blocks of the wanted precision."""


def write_gguf(source_dir: Path, out: Path, *, level: str = "F16") -> None:
    """Write a Hugging Face Llama folder (config.json, tokenizer, model.safetensors) as a GGUF at `out`.

    `level` is "F32", "F16" or a `QuantLevel`. The file appears whole or not at all, with the same bytes each time.
    Layout and names follow llama.cpp's `convert_hf_to_gguf.py`. Raises SourceFolderError for a folder that is not
    such a model, RowSizeError for a precision its matrices cannot take, ValueError for an unknown level.
    """
    if level not in _FILE_TYPES:
        raise ValueError(f"unknown level {level!r}: use one of {', '.join(_FILE_TYPES)}")
    folder = read_llama_folder(source_dir)
    with _atomic(out) as temporary:
        writer = gguf.GGUFWriter(temporary, "llama")
        _add_model_fields(writer, folder)
        writer.add_file_type(int(_FILE_TYPES[level]))
        for name, array in folder.tensors():
            _add_tensor(writer, name, array, level, source_dir)
        _finish(writer)


def quantize_gguf(source: Path, out: Path, *, level: QuantLevel) -> None:
    """Write the F16, BF16 or F32 GGUF `source` at `out` with every matrix at `level`; all other fields are kept.

    The file appears whole or not at all, with the same bytes each time. Raises NotGgufError, AlreadyQuantizedError
    or RowSizeError (all ValueErrors), FileNotFoundError where `source` is missing.
    """
    reader = _open(source)
    with _atomic(out) as temporary:
        writer = gguf.GGUFWriter(temporary, _architecture(reader, source))
        _copy_fields(reader, writer)
        writer.add_file_type(int(_FILE_TYPES[level]))
        for tensor in reader.tensors:
            if tensor.tensor_type not in _PLAIN_TYPES:
                raise AlreadyQuantizedError(
                    source,
                    f"tensor {tensor.name} is {tensor.tensor_type.name} already.",
                    "start from the model's F16 GGUF.",
                )
            array = cast("npt.NDArray[np.float32]", gguf.dequantize(tensor.data, tensor.tensor_type))
            _add_tensor(writer, tensor.name, array, level, source)
        _finish(writer)


_FILE_TYPES: Mapping[str, gguf.LlamaFileType] = {
    "F32": gguf.LlamaFileType.ALL_F32,
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_K": gguf.LlamaFileType.MOSTLY_Q4_K_S,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
    "Q3_K": gguf.LlamaFileType.MOSTLY_Q3_K_S,
    "Q2_K": gguf.LlamaFileType.MOSTLY_Q2_K,
}
_PLAIN_TYPES = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.BF16)
_MAGIC = b"GGUF"
_Chunk = Callable[[int, int, int, int, int, int, None], int]


def _open(source: Path) -> gguf.GGUFReader:
    with source.open("rb") as file:
        magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        raise NotGgufError(source, "the file does not begin with 'GGUF'.", "give the path of a GGUF model file.")
    try:
        return gguf.GGUFReader(source)
    except (ValueError, IndexError, OverflowError) as error:
        raise NotGgufError(source, f"the file is cut off or damaged ({error}).", "fetch or write it again.") from error


def _architecture(reader: gguf.GGUFReader, source: Path) -> str:
    field = reader.get_field("general.architecture")
    if field is None:
        raise NotGgufError(source, "general.architecture is missing.", "give a whole model, not a shard or a part.")
    return str(field.contents())


def _copy_fields(reader: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        is_array = field.types[0] == gguf.GGUFValueType.ARRAY
        writer.add_key_value(field.name, field.contents(), field.types[0], field.types[-1] if is_array else None)


def _add_tensor(writer: gguf.GGUFWriter, name: str, array: npt.NDArray[Any], level: str, file: Path) -> None:
    """Add one tensor: vectors stay F32, matrices get the level."""
    if array.ndim == 1 or level == "F32":
        writer.add_tensor(name, array.astype(np.float32))
    elif level == "F16":
        writer.add_tensor(name, array.astype(np.float16))
    else:
        kind = gguf.GGMLQuantizationType[level]
        block = gguf.GGML_QUANT_SIZES[kind][0]
        if array.shape[-1] % block:
            raise RowSizeError(
                file,
                f"{name} has rows of {array.shape[-1]} values and {level} packs blocks of {block}.",
                f"choose {QuantLevel.Q8_0} or {QuantLevel.Q4_0} (blocks of 32), or F16.",
            )
        writer.add_tensor(name, _quantize(array, kind), raw_dtype=kind)


def _quantize(array: npt.NDArray[Any], kind: gguf.GGMLQuantizationType) -> npt.NDArray[np.uint8]:
    """Pack a matrix (rows, columns) into (rows, bytes per row) with ggml's own code."""
    values = np.ascontiguousarray(array.reshape(-1, array.shape[-1]), dtype=np.float32)
    rows, columns = values.shape
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    packed = np.empty((rows, columns // block * block_bytes), dtype=np.uint8)
    written = _quantize_chunk()(int(kind), values.ctypes.data, packed.ctypes.data, 0, rows, columns, None)
    if written != packed.nbytes:
        raise RuntimeError(f"ggml wrote {written} bytes of {kind.name} where {packed.nbytes} were due")
    return packed.reshape(*array.shape[:-1], packed.shape[-1])


@cache
def _quantize_chunk() -> _Chunk:
    """`ggml_quantize_chunk` of the llama.cpp in the xllamacpp wheel: gguf itself writes no K-quants.

    Arguments: type, source (float32), destination, first row, rows, columns, importance matrix (none).
    """
    spec = importlib.util.find_spec("xllamacpp")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    libraries = [path for folder in folders for path in sorted(Path(folder).glob("xllamacpp*.so"))]
    if not libraries:
        raise RuntimeError("xllamacpp's library is not installed. Fix: pip install xllamacpp")
    function = ctypes.CDLL(str(libraries[0])).ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, size, size, size, pointer]
    return cast("_Chunk", function)


def _add_model_fields(writer: gguf.GGUFWriter, folder: LlamaFolder) -> None:
    shape = folder.shape
    writer.add_name(folder.name)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_vocab_size(shape.vocabulary)
    words = folder.vocabulary
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(list(words.tokens))
    writer.add_token_types([int(gguf.TokenType[name]) for name in words.types])
    writer.add_token_merges(list(words.merges))
    writer.add_bos_token_id(words.bos)
    writer.add_eos_token_id(words.eos)
    writer.add_pad_token_id(words.pad)
    writer.add_add_bos_token(False)
    writer.add_chat_template(words.chat_template)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@contextmanager
def _atomic(out: Path) -> Generator[Path]:
    """A temporary file beside `out` that takes its place when the block ends well, and is removed when it fails."""
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
