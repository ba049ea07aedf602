"""What identifies a model file, and which files a deployment may name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from serving_bench import CHAT_TEMPLATE, write_tiny_gguf

from inhouse.domain import ConfigError, SourceLocation
from inhouse.serving import (
    DeploymentSettings,
    prepare_weights,
    read_weights,
    resolve_deployment,
    validate_deployment,
)
from inhouse.serving.clerk import clerk_gguf


def test_facts_are_read_from_the_contents(tiny_gguf: Path, tmp_path: Path) -> None:
    misnamed = tmp_path / "model-Q2_K.gguf"
    misnamed.write_bytes(tiny_gguf.read_bytes())
    facts = read_weights(misnamed, tmp_path / "cache.json")
    assert facts.sha256 == hashlib.sha256(tiny_gguf.read_bytes()).hexdigest()
    assert facts.quantization == "MOSTLY_F16: F16=8 F32=3"
    assert facts.chat_template_sha256 == hashlib.sha256(CHAT_TEMPLATE.encode()).hexdigest()


def test_the_tokenizer_hash_leaves_weights_and_template_out(tiny_gguf: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    write_tiny_gguf(other, chat_template="{{ messages }}", seed=1)
    cache = tmp_path / "cache.json"
    mine, others = read_weights(tiny_gguf, cache), read_weights(other, cache)
    assert mine.tokenizer_sha256 == others.tokenizer_sha256
    assert mine.sha256 != others.sha256
    assert mine.chat_template_sha256 != others.chat_template_sha256


def test_facts_are_remembered_until_the_file_changes(tiny_gguf: Path, tmp_path: Path) -> None:
    path, cache = tmp_path / "m.gguf", tmp_path / "models" / "cache.json"
    path.write_bytes(tiny_gguf.read_bytes())
    stat = path.stat()
    first = read_weights(path, cache)
    # Same size, same time, same inode: the cache answers, without reading.
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert read_weights(path, cache) == first
    write_tiny_gguf(path, seed=2)
    assert read_weights(path, cache).sha256 != first.sha256
    cache.write_text("broken")
    assert read_weights(path, cache).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_cut_or_missing_file_is_named(tiny_gguf: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_gguf.read_bytes()[:3000])
    with pytest.raises(ConfigError, match=r"cut\.gguf: .* no whole GGUF file"):
        read_weights(cut, tmp_path / "cache.json")
    with pytest.raises(ConfigError, match=r"none\.gguf: .* No such file"):
        read_weights(tmp_path / "none.gguf", tmp_path / "cache.json")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "deployment 'd' names no model."),
        ({"model": "clerk", "quantization": "Q5_K"}, "deployment 'd' asks for clerk at 'Q5_K', which is not made."),
        (
            {"model": "x.gguf"},
            "the model of deployment 'd', {folder}/x.gguf, cannot be read: No such file or directory.",
        ),
        ({"model": "text.gguf"}, "the model of deployment 'd', {folder}/text.gguf, is no GGUF file."),
        (
            {"model": "tiny.gguf", "quantization": "Q4_0"},
            "deployment 'd' asks for quantization Q4_0, but a model file holds what it holds.",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_place_and_fix(
    given: dict[str, str], problem: str, tmp_path: Path
) -> None:
    (tmp_path / "text.gguf").write_text("text")
    location = SourceLocation("inhouse.yaml", 7, "deployments.d.model")
    with pytest.raises(ConfigError) as caught:
        validate_deployment("d", DeploymentSettings.model_validate(given), location, folder=tmp_path)
    assert caught.value.problem == problem.format(folder=tmp_path)
    assert caught.value.location is location
    assert caught.value.fix


def test_what_can_be_served_passes(tiny_gguf: Path) -> None:
    for given in (
        {"model": tiny_gguf.name},
        {"model": str(tiny_gguf)},
        {"model": "clerk"},
        {"model": "clerk", "quantization": "F16"},
        {"model": "clerk", "quantization": "Q2_K"},
        {"url": "http://box/v1"},
    ):
        settings = DeploymentSettings.model_validate(given)
        assert validate_deployment("d", settings, folder=tiny_gguf.parent) is None


def test_relative_paths_count_from_the_configuration_file() -> None:
    settings = DeploymentSettings(model="models/x.gguf")
    assert resolve_deployment(settings, Path("/etc/inhouse")).model == "/etc/inhouse/models/x.gguf"
    assert resolve_deployment(DeploymentSettings(model="clerk"), Path("/etc")).model == "clerk"


def test_clerk_is_used_in_place_or_quantized_once(tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert prepare_weights("c", DeploymentSettings(model="clerk"), models) == clerk_gguf()
    made = prepare_weights("c", DeploymentSettings(model="clerk", quantization="Q2_K"), models)
    assert made == models / "clerk-Q2_K.gguf"
    assert "Q2_K=" in read_weights(models / "clerk-Q2_K.gguf", tmp_path / "cache.json").quantization
    assert prepare_weights("c", DeploymentSettings(url="http://box/v1"), models) is None
