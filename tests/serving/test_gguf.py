"""GGUF writing: whole files with the same bytes each time, all levels readable, and refusals that name the fix."""

import hashlib
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from inhouse.serving.clerk import clerk_gguf
from inhouse.serving.gguf import (
    AlreadyQuantizedError,
    GgufError,
    NotGgufError,
    QuantLevel,
    RowSizeError,
    quantize_gguf,
    write_gguf,
)
from inhouse.serving.llama_folder import SourceFolderError

CLERK = clerk_gguf().parent
# Root mean square error over root mean square value that each level may have on a trained matrix.
ERROR_LIMIT = {
    QuantLevel.Q8_0: 0.01,
    QuantLevel.Q4_K: 0.09,
    QuantLevel.Q4_0: 0.12,
    QuantLevel.Q3_K: 0.2,
    QuantLevel.Q2_K: 0.4,
}


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def matrices(file: Path) -> dict[str, np.ndarray]:
    return {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type)
        for tensor in gguf.GGUFReader(file).tensors
        if tensor.data.ndim == 2
    }


def fields(file: Path) -> dict[str, object]:
    return {
        name: field.contents() for name, field in gguf.GGUFReader(file).fields.items() if not name.startswith("GGUF.")
    }


@pytest.mark.parametrize("level", list(QuantLevel))
def test_each_level_reads_back_with_every_matrix_at_that_level_and_close_to_f16(
    level: QuantLevel, tmp_path: Path
) -> None:
    out = tmp_path / "model.gguf"
    quantize_gguf(clerk_gguf(), out, level=level)
    kinds = {tensor.tensor_type.name for tensor in gguf.GGUFReader(out).tensors if len(tensor.shape) == 2}
    vectors = {tensor.tensor_type.name for tensor in gguf.GGUFReader(out).tensors if len(tensor.shape) == 1}
    assert (kinds, vectors) == ({level.value}, {"F32"})
    original, packed = matrices(clerk_gguf()), matrices(out)
    assert original.keys() == packed.keys()
    for name, values in original.items():
        error = np.sqrt(np.mean((packed[name] - values) ** 2) / np.mean(values**2))
        assert error < ERROR_LIMIT[level], name


@pytest.mark.parametrize("level", list(QuantLevel))
def test_the_same_source_gives_the_same_bytes_twice(level: QuantLevel, tmp_path: Path) -> None:
    for name in ("one", "two"):
        quantize_gguf(clerk_gguf(), tmp_path / name, level=level)
    assert sha256(tmp_path / "one") == sha256(tmp_path / "two")


def test_levels_go_from_large_to_small_and_keep_every_other_field(tmp_path: Path) -> None:
    sizes: list[int] = []
    for level in (QuantLevel.Q8_0, QuantLevel.Q4_K, QuantLevel.Q3_K, QuantLevel.Q2_K):
        out = tmp_path / level
        quantize_gguf(clerk_gguf(), out, level=level)
        sizes.append(out.stat().st_size)
        kept, before = fields(out), fields(clerk_gguf())
        assert kept.pop("general.file_type") != before.pop("general.file_type")
        assert kept == before
    assert sizes == sorted(sizes, reverse=True)


def test_the_folder_of_clerk_gives_the_bytes_of_its_gguf(tmp_path: Path) -> None:
    write_gguf(CLERK, tmp_path / "again.gguf")
    assert sha256(tmp_path / "again.gguf") == sha256(clerk_gguf())


def test_writing_a_level_from_the_folder_equals_quantizing_the_f16_file(tmp_path: Path) -> None:
    write_gguf(CLERK, tmp_path / "direct", level="Q4_0")
    quantize_gguf(clerk_gguf(), tmp_path / "from-f16", level=QuantLevel.Q4_0)
    direct, quantized = matrices(tmp_path / "direct"), matrices(tmp_path / "from-f16")
    assert all(np.array_equal(direct[name], quantized[name]) for name in quantized)


def test_a_file_that_is_no_gguf_is_refused_with_its_name_and_nothing_is_left(tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("hello")
    with pytest.raises(NotGgufError, match=r"notes\.txt.*Fix:"):
        quantize_gguf(wrong, tmp_path / "out.gguf", level=QuantLevel.Q4_0)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("size", [4, 20, 3000, 1_000_000])
def test_a_cut_off_gguf_is_refused(size: int, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(clerk_gguf().read_bytes()[:size])
    with pytest.raises(NotGgufError, match="cut off"):
        quantize_gguf(cut, tmp_path / "out.gguf", level=QuantLevel.Q4_0)


def test_a_quantized_source_is_refused_and_the_old_output_stays(tmp_path: Path) -> None:
    source, out = tmp_path / "q4.gguf", tmp_path / "out.gguf"
    quantize_gguf(clerk_gguf(), source, level=QuantLevel.Q4_0)
    out.write_bytes(b"before")
    with pytest.raises(AlreadyQuantizedError, match="start from the model's F16"):
        quantize_gguf(source, out, level=QuantLevel.Q2_K)
    assert out.read_bytes() == b"before"
    assert {file.name for file in tmp_path.iterdir()} == {"q4.gguf", "out.gguf"}


def test_rows_that_a_k_quant_cannot_take_are_refused_with_the_fix(tmp_path: Path) -> None:
    source = tmp_path / "narrow.gguf"
    writer = gguf.GGUFWriter(source, "llama")
    writer.add_tensor("token_embd.weight", np.ones((4, 96), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(RowSizeError, match=r"rows of 96 values and Q4_K packs blocks of 256.*Q8_0") as caught:
        quantize_gguf(source, tmp_path / "out.gguf", level=QuantLevel.Q4_K)
    assert isinstance(caught.value, (GgufError, ValueError))
    quantize_gguf(source, tmp_path / "out.gguf", level=QuantLevel.Q8_0)


def test_a_missing_source_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        quantize_gguf(tmp_path / "none.gguf", tmp_path / "out.gguf", level=QuantLevel.Q8_0)


def test_an_unknown_level_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown level 'Q5'"):
        write_gguf(CLERK, tmp_path / "out.gguf", level="Q5")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_folder_without_a_needed_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(CLERK, tmp_path / "model")
    (folder / name).unlink()
    with pytest.raises(SourceFolderError, match=name):
        write_gguf(folder, tmp_path / "out.gguf")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(CLERK, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(SourceFolderError, match="'gpt2'"):
        write_gguf(folder, tmp_path / "out.gguf")
