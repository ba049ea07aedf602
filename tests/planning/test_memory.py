"""Bytes of models: parameters against stated totals, keys and values, whether a replica fits."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.catalog import Architecture, Catalog, GpuRow, ModelRow, load_catalog
from inhouse.planning import (
    FitState,
    KvFormat,
    MemoryTerms,
    ServingShape,
    WeightFormat,
    count_parameters,
    fits,
    kv_bytes_of_sequence,
    kv_bytes_per_token,
    weigh_model,
)

CATALOG = load_catalog()
COUNTED = [model for model in CATALOG.models if model.architecture is not None]


def get_model(name: str, catalog: Catalog = CATALOG) -> ModelRow:
    row = catalog.model(name)
    assert row is not None
    return row


def get_shape(name: str) -> Architecture:
    shape = get_model(name).architecture
    assert shape is not None
    return shape


def get_gpu(name: str) -> GpuRow:
    row = CATALOG.gpu(name)
    assert row is not None
    return row


def serve(num_gpus: int, weights: WeightFormat, inputs: int = 2000, outputs: int = 400) -> ServingShape:
    return ServingShape(num_gpus=num_gpus, weights=weights, input_tokens=inputs, output_tokens=outputs)


@pytest.mark.parametrize(
    "model",
    [row for row in COUNTED if row.architecture and not row.architecture.num_linear_layers],
    ids=lambda row: row.model,
)
def test_the_parameters_of_a_shape_agree_with_the_stated_total_within_3_percent(model: ModelRow) -> None:
    assert model.architecture is not None
    count = count_parameters(model.architecture)
    assert count is not None
    assert count.total == pytest.approx(float(model.parameters_b) * 1e9, rel=0.03)


@pytest.mark.parametrize(
    "model", [row for row in COUNTED if row.active_parameters_b < row.parameters_b], ids=lambda row: row.model
)
def test_the_active_parameters_of_a_shape_agree_with_the_stated_ones_within_8_percent(model: ModelRow) -> None:
    """Makers count embeddings, vision towers and rounded figures differently; wrong facts are off by far more."""
    assert model.architecture is not None
    count = count_parameters(model.architecture)
    if count is not None:
        assert count.active == pytest.approx(float(model.active_parameters_b) * 1e9, rel=0.08)


def test_parameters_that_the_shape_does_not_tell_are_unknown() -> None:
    assert count_parameters(get_shape("qwen3.5-397b-a17b")) is None


def test_without_a_compressed_query_it_is_one_matrix() -> None:
    shape = get_shape("deepseek-v3")
    whole = shape.model_copy(update={"query_rank": None})
    first, second = count_parameters(shape), count_parameters(whole)
    assert first is not None
    assert second is not None
    heads = 128 * (128 + 64)
    assert second.attention - first.attention == 61 * (7168 * heads - 1536 * (7168 + heads))


@pytest.mark.parametrize(("name", "gib"), [("gpt-oss-20b", 12.8), ("gpt-oss-120b", 60.8)])
def test_mxfp4_weights_are_as_large_as_the_released_checkpoints(name: str, gib: float) -> None:
    weights = weigh_model(get_model(name), WeightFormat.MXFP4)
    assert weights.is_from_shape
    assert weights.num_bytes / 2**30 == pytest.approx(gib, rel=0.005)


def test_embeddings_stay_in_16_bits() -> None:
    count = count_parameters(get_shape("llama-3.3-70b"))
    assert count is not None
    weights = weigh_model(get_model("llama-3.3-70b"), WeightFormat.NVFP4)
    assert weights.num_bytes == int(2 * 128256 * 8192 * 2 + (count.total - 2 * 128256 * 8192) * Decimal("0.5625"))
    assert weigh_model(get_model("llama-3.3-70b"), WeightFormat.BF16).num_bytes == 2 * count.total


def test_where_the_shape_is_unknown_the_stated_total_is_weighed_and_said_so() -> None:
    weights = weigh_model(get_model("deepseek-v4-flash"), WeightFormat.FP8)
    assert (weights.num_bytes, weights.is_from_shape) == (284 * 10**9, False)
    assert not weigh_model(get_model("qwen3.5-397b-a17b"), WeightFormat.FP8).is_from_shape


def test_keys_and_values_of_a_token() -> None:
    assert kv_bytes_per_token(get_shape("llama-3.1-70b")) == 320 * 1024
    assert kv_bytes_per_token(get_shape("llama-3.1-70b"), KvFormat.FP8) == 160 * 1024
    assert kv_bytes_per_token(get_shape("deepseek-v3")) == 61 * 576 * 2
    assert kv_bytes_per_token(get_shape("qwen3.5-397b-a17b")) == 15 * 2 * 2 * 256 * 2


def test_layers_with_a_window_keep_no_more_than_it() -> None:
    shape = get_shape("gpt-oss-120b")
    layer = 2 * 8 * 64 * 2
    assert kv_bytes_of_sequence(shape, 100) == 100 * kv_bytes_per_token(shape)
    assert kv_bytes_of_sequence(shape, 10_000) == (18 * 10_000 + 18 * 128) * layer


@given(st.sampled_from(COUNTED), st.integers(0, 200_000), st.integers(0, 200_000))
def test_a_longer_sequence_never_takes_less(model: ModelRow, first: int, second: int) -> None:
    assert model.architecture is not None
    short, long = sorted((first, second))
    bytes_short = kv_bytes_of_sequence(model.architecture, short)
    assert bytes_short <= kv_bytes_of_sequence(model.architecture, long)
    assert bytes_short <= short * kv_bytes_per_token(model.architecture)


def test_what_fits_and_what_does_not() -> None:
    llama, oss = get_model("llama-3.3-70b"), get_model("gpt-oss-120b")
    two = fits(llama, get_gpu("H100"), serve(2, WeightFormat.FP8))
    assert two.state is FitState.FITS
    assert two.sequence_bytes == 2400 * 320 * 1024
    assert two.max_sequences == two.free_bytes // two.sequence_bytes
    assert two.max_sequences_steady is not None
    assert two.max_sequences is not None
    assert two.max_sequences_steady > two.max_sequences > 50
    one = fits(llama, get_gpu("H100"), serve(1, WeightFormat.BF16))
    assert (one.state, one.max_sequences, one.max_sequences_steady) == (FitState.DOES_NOT_FIT, 0, 0)
    assert one.free_bytes < 0
    assert fits(oss, get_gpu("H100"), serve(1, WeightFormat.MXFP4)).state is FitState.FITS
    assert fits(oss, get_gpu("L40S"), serve(1, WeightFormat.MXFP4)).state is FitState.DOES_NOT_FIT


def test_weights_alone_are_not_enough_where_one_request_does_not_fit() -> None:
    found = fits(get_model("qwen3-32b"), get_gpu("H100"), serve(1, WeightFormat.BF16, 40_000, 0))
    assert found.free_bytes > 0
    assert (found.state, found.max_sequences) == (FitState.DOES_NOT_FIT, 0)


def test_latent_keys_and_values_are_whole_on_every_gpu_others_are_divided() -> None:
    deepseek = fits(get_model("deepseek-v3"), get_gpu("H200"), serve(8, WeightFormat.FP8, 1000, 0))
    assert deepseek.sequence_bytes == 8 * 1000 * 61 * 576 * 2
    qwen = fits(get_model("qwen3-235b-a22b"), get_gpu("H200"), serve(8, WeightFormat.FP8, 1000, 0))
    assert qwen.sequence_bytes == 2 * 1000 * 94 * 2 * 4 * 128 * 2
    assert qwen.max_sequences_steady == qwen.free_bytes // (qwen.sequence_bytes + 2 * 94 * 2 * 4 * 128 * 2)


def test_where_the_shape_is_unknown_fitting_is_unknown_unless_the_weights_are_too_large() -> None:
    flash = get_model("deepseek-v4-flash")
    assert fits(flash, get_gpu("H200"), serve(4, WeightFormat.FP8)).state is FitState.UNKNOWN
    small = fits(flash, get_gpu("L4"), serve(4, WeightFormat.FP8))
    assert (small.state, small.sequence_bytes, small.max_sequences) == (FitState.DOES_NOT_FIT, None, None)


def test_terms_are_the_callers_to_change() -> None:
    terms = MemoryTerms(usable_share=Decimal(1), reserve_bytes=0, communication_bytes=0)
    gpu = get_gpu("H100")
    found = fits(get_model("llama-3.1-8b"), gpu, serve(1, WeightFormat.BF16), terms)
    assert found.free_bytes == gpu.memory_bytes - found.weights.num_bytes


@pytest.mark.parametrize(("num_gpus", "inputs", "outputs"), [(0, 1, 1), (1, -1, 2), (1, 2, -1), (1, 0, 0)])
def test_a_replica_without_gpus_or_tokens_is_refused(num_gpus: int, inputs: int, outputs: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        serve(num_gpus, WeightFormat.BF16, inputs, outputs)


def test_every_measured_configuration_fits_its_gpus() -> None:
    """Whoever measured it had it running: model, GPU and precision of the row must agree with the arithmetic."""
    for row in CATALOG.capacity:
        shape = serve(row.num_gpus, WeightFormat(row.precision), 1024, 1024)
        found = fits(get_model(row.model), get_gpu(row.gpu), shape)
        assert found.state is FitState.FITS, row.key
        assert (found.max_sequences or 0) >= 8, row.key
