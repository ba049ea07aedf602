"""How many bytes a model takes: parameters, weights by format, keys and values, and whether it fits. Pure arithmetic.

Formulas are the usual ones of decoder transformers; where the factors of the formats and of the reserve come from
stands beside them. docs/design/catalog.md tells what they leave out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from inhouse.catalog import Architecture, Attention, GpuRow, ModelRow

_BILLION = Decimal(10**9)


class WeightFormat(StrEnum):
    """Format that weights are stored in."""

    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"
    NVFP4 = "nvfp4"
    MXFP4 = "mxfp4"
    """As OpenAI released gpt-oss: experts in MXFP4, everything else in BF16."""


BYTES_PER_PARAMETER: Mapping[WeightFormat, Decimal] = MappingProxyType(
    {
        WeightFormat.BF16: Decimal(2),
        WeightFormat.FP8: Decimal(1),
        WeightFormat.INT8: Decimal(1),
        WeightFormat.INT4: Decimal("0.56"),  # 4 bits, a scale and a zero for each group of 128: 0.52 to 0.56
        WeightFormat.NVFP4: Decimal("0.5625"),  # 4 bits, and an FP8 scale for each 16
        WeightFormat.MXFP4: Decimal("0.53125"),  # 4 bits, and an 8-bit scale for each 32
    }
)
"""b(q): bytes of one quantized parameter, its share of the scales included."""
UNQUANTIZED_BYTES = Decimal(2)
"""Embeddings and the output layer stay in 16 bits unless a checkpoint says otherwise."""


class KvFormat(StrEnum):
    """Format that keys and values are kept in."""

    BF16 = "bf16"
    FP8 = "fp8"


BYTES_PER_KV_ELEMENT: Mapping[KvFormat, int] = MappingProxyType({KvFormat.BF16: 2, KvFormat.FP8: 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCount:
    """Parameters of a model by part, as counts. Norms, biases and routing corrections (below 0.1 %) are left out."""

    embeddings: int
    """Token embeddings and the output layer; one matrix where they are tied."""
    attention: int
    dense: int
    """Feed-forward blocks of layers without experts."""
    experts: int
    """All routed experts."""
    shared_experts: int
    routers: int
    other: int
    active_experts: int
    """The part of `experts` that one token uses."""
    output_layer: int
    """The part of `embeddings` that every token is multiplied with."""

    @property
    def total(self) -> int:
        """All parameters."""
        return self.embeddings + self.attention + self.dense + self.experts + self.shared_experts + self._rest

    @property
    def active(self) -> int:
        """Parameters that one token is multiplied with: looking up an embedding multiplies nothing."""
        always = self.attention + self.dense + self.shared_experts + self.routers
        return always + self.active_experts + self.output_layer

    @property
    def _rest(self) -> int:
        return self.routers + self.other


def count_parameters(shape: Architecture) -> ParameterCount | None:
    """Parameters from a model's shape; None where it has linear layers, whose inner sizes the shape does not hold.

    Attention: `h·d·(2n + 2n_kv)` for each layer, and for latent attention its five matrices (query down and up, key and
    value down and up, output). Feed-forward, gated: `3·h·f` for each layer or expert. Source: the papers of Llama
    (arXiv 2302.13971), Mixtral (2401.04088) and DeepSeek-V2 (2405.04434).
    """
    if shape.num_linear_layers:
        return None
    matrix = shape.vocabulary * shape.hidden
    expert = 3 * shape.hidden * (shape.expert_intermediate or 0)
    num_layers, num_expert_layers = shape.num_layers, shape.num_expert_layers
    return ParameterCount(
        embeddings=matrix if shape.has_tied_embeddings else 2 * matrix,
        attention=num_layers * _attention_parameters(shape),
        dense=(num_layers - num_expert_layers) * 3 * shape.hidden * (shape.intermediate or 0),
        experts=num_expert_layers * shape.num_experts * expert,
        shared_experts=num_expert_layers * shape.num_shared_experts * expert,
        routers=num_expert_layers * shape.num_experts * shape.hidden,
        other=int(shape.other_parameters_b * _BILLION),
        active_experts=num_expert_layers * shape.num_active_experts * expert,
        output_layer=matrix,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightBytes:
    """What the weights take, in bytes of all GPUs together."""

    num_bytes: int
    is_from_shape: bool
    """False: from the stated total alone, as if everything were quantized alike."""


def weigh_model(model: ModelRow, weights: WeightFormat) -> WeightBytes:
    """`W = Σ n·b(q)`: embeddings, output layer and what is beside the decoder at 16 bits, the rest at b(q).

    MXFP4 quantizes the experts alone. Where the parameters do not follow from the shape, the stated total is multiplied
    with b(q). A checkpoint's own tensor headers are exact; this is for models that are not there yet.
    """
    factor = BYTES_PER_PARAMETER[weights]
    count = None if model.architecture is None else count_parameters(model.architecture)
    if count is None:
        return WeightBytes(num_bytes=int(model.parameters_b * _BILLION * factor), is_from_shape=False)
    kept = count.embeddings + count.other
    if weights is WeightFormat.MXFP4:
        kept = count.total - count.experts
    num_bytes = int(kept * UNQUANTIZED_BYTES + (count.total - kept) * factor)
    return WeightBytes(num_bytes=num_bytes, is_from_shape=True)


def kv_bytes_per_token(shape: Architecture, kv: KvFormat = KvFormat.BF16) -> int:
    """Bytes that a token adds to a sequence's keys and values while it is shorter than every window.

    Grouped attention: `2·L·n_kv·d·b`; latent attention: `L·(d_c + d_rope)·b`, L without linear layers.
    """
    return (shape.num_layers - shape.num_linear_layers) * _kv_elements(shape) * BYTES_PER_KV_ELEMENT[kv]


def kv_bytes_of_sequence(shape: Architecture, num_tokens: int, kv: KvFormat = KvFormat.BF16) -> int:
    """Bytes of the keys and values of one sequence of `num_tokens`: layers with a window keep no more than it."""
    element_bytes = _kv_elements(shape) * BYTES_PER_KV_ELEMENT[kv]
    num_full = shape.num_layers - shape.num_linear_layers - shape.num_window_layers
    in_window = min(num_tokens, shape.window_tokens or 0)
    return (num_full * num_tokens + shape.num_window_layers * in_window) * element_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTerms:
    """What an engine leaves to weights, keys and values.

    Defaults: engines take 90 % of a GPU; 3 GB a GPU for activations, graphs and the runtime (2 to 3.5 GB are seen); 0.4
    GB a GPU for collective communication (0.34 to 0.41 GB in AIConfigurator's constants, ai-dynamo/aiconfigurator).
    """

    usable_share: Decimal = Decimal("0.90")
    reserve_bytes: int = 3 * 10**9
    communication_bytes: int = 4 * 10**8
    """Where there is more than one GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingShape:
    """How one replica of a model is to be served, tensor-parallel over its GPUs, and how long its requests are."""

    num_gpus: int
    weights: WeightFormat
    kv: KvFormat = KvFormat.BF16
    input_tokens: int
    output_tokens: int

    def __post_init__(self) -> None:
        if self.num_gpus < 1 or self.input_tokens < 0 or self.output_tokens < 0:
            raise ValueError("a replica has at least one GPU, and no negative number of tokens")
        if self.input_tokens + self.output_tokens == 0:
            raise ValueError("a request has at least one token")


class FitState(StrEnum):
    """Whether a replica can serve at all."""

    FITS = "fits"
    DOES_NOT_FIT = "does_not_fit"
    UNKNOWN = "unknown"
    """The weights fit; how much a sequence takes is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFit:
    """What is left beside the weights, in bytes of all GPUs together, and how many sequences that holds."""

    state: FitState
    weights: WeightBytes
    free_bytes: int
    """Negative where not even the weights fit."""
    sequence_bytes: int | None
    """One whole request, as it stands at its end; None where the model's shape is not known."""
    max_sequences: int | None
    """Requests under way at once, were all at their end. None where the shape is not known."""
    max_sequences_steady: int | None
    """The same for requests that are, on average, in the middle of their answer."""


def fits(model: ModelRow, gpu: GpuRow, shape: ServingShape, terms: MemoryTerms | None = None) -> MemoryFit:
    """Whether one replica fits: `t·M·u ≥ W + B·S·kv + t·(reserve + communication)`.

    Keys and values are divided by at most the number of KV heads; latent ones are whole on every GPU. With less free
    than one whole request takes, it does not fit.
    """
    terms = terms or MemoryTerms()
    weights = weigh_model(model, shape.weights)
    overhead = terms.reserve_bytes + (terms.communication_bytes if shape.num_gpus > 1 else 0)
    usable = int(gpu.memory_bytes * terms.usable_share) - overhead
    free = shape.num_gpus * usable - weights.num_bytes
    if model.architecture is None:
        state = FitState.UNKNOWN if free > 0 else FitState.DOES_NOT_FIT
        return MemoryFit(
            state=state, weights=weights, free_bytes=free,
            sequence_bytes=None, max_sequences=None, max_sequences_steady=None,
        )  # fmt: skip
    whole = _replica_kv_bytes(model.architecture, shape, shape.input_tokens + shape.output_tokens)
    halfway = _replica_kv_bytes(model.architecture, shape, shape.input_tokens + max(1, shape.output_tokens // 2))
    return MemoryFit(
        state=FitState.FITS if free >= whole else FitState.DOES_NOT_FIT,
        weights=weights,
        free_bytes=free,
        sequence_bytes=whole,
        max_sequences=max(0, free // whole),
        max_sequences_steady=max(0, free // halfway) if free >= whole else 0,
    )


def _attention_parameters(shape: Architecture) -> int:
    if shape.attention is Attention.GROUPED:
        return shape.hidden * shape.head_dim * 2 * (shape.num_heads + shape.num_kv_heads)
    kv_rank, rope_dim, value_dim = shape.kv_rank or 0, shape.rope_dim or 0, shape.value_dim or 0
    query_out = shape.num_heads * (shape.head_dim + rope_dim)
    query = shape.hidden * query_out
    if shape.query_rank is not None:
        query = shape.query_rank * (shape.hidden + query_out)
    down = shape.hidden * (kv_rank + rope_dim)
    up = kv_rank * shape.num_heads * (shape.head_dim + value_dim)
    return query + down + up + shape.num_heads * value_dim * shape.hidden


def _kv_elements(shape: Architecture) -> int:
    """Elements that one token leaves in one layer."""
    if shape.attention is Attention.LATENT:
        return (shape.kv_rank or 0) + (shape.rope_dim or 0)
    return 2 * shape.num_kv_heads * shape.head_dim


def _replica_kv_bytes(shape: Architecture, serving: ServingShape, num_tokens: int) -> int:
    """Bytes of one sequence on all GPUs of a replica, copies included."""
    num_shards = 1 if shape.attention is Attention.LATENT else min(serving.num_gpus, shape.num_kv_heads)
    num_bytes = kv_bytes_of_sequence(shape, num_tokens, serving.kv)
    return -(-num_bytes * serving.num_gpus // num_shards)
