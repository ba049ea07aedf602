"""The dated rows about models: who made them, under which licence, and the shape that memory and speed follow from."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from inhouse.catalog.rows import Amount, DatedRow
from inhouse.domain.settings import Settings


class Attention(StrEnum):
    """How a layer keeps what it has read."""

    GROUPED = "grouped"
    """Keys and values of each KV head (multi-head and multi-query are its ends)."""
    LATENT = "latent"
    """Multi-head latent attention: one compressed vector and one rotary key a token."""


class ModelFormat(StrEnum):
    """Format of the weights as released."""

    BF16 = "bf16"
    FP8 = "fp8"
    MXFP4 = "mxfp4"
    INT4 = "int4"
    FP4_FP8 = "fp4+fp8"
    """Experts in 4 bits, the rest in 8."""


class Architecture(Settings):
    """The shape of a decoder, as its published configuration file states it. All sizes are counts of elements."""

    num_layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    has_tied_embeddings: bool = False
    """One matrix for reading and for writing tokens."""
    attention: Attention = Attention.GROUPED
    num_heads: int = Field(ge=1)
    num_kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    """Of a query head; of latent attention, its part without rotation."""
    intermediate: int | None = Field(default=None, ge=1)
    """Width of the gated feed-forward block in layers without experts; None where every layer has experts."""
    num_experts: int = Field(default=0, ge=0)
    """Routed experts in a layer that has them."""
    num_active_experts: int = Field(default=0, ge=0)
    """Routed experts that one token uses in a layer."""
    num_shared_experts: int = Field(default=0, ge=0)
    """Experts that every token uses."""
    expert_intermediate: int | None = Field(default=None, ge=1)
    num_dense_layers: int | None = Field(default=None, ge=0)
    """Layers without experts; None where the model has no experts."""
    kv_rank: int | None = Field(default=None, ge=1)
    """Latent attention: length of the compressed vector."""
    rope_dim: int | None = Field(default=None, ge=1)
    """Latent attention: length of the rotary key."""
    query_rank: int | None = Field(default=None, ge=1)
    """Latent attention: length of the compressed query; None where queries are not compressed."""
    value_dim: int | None = Field(default=None, ge=1)
    """Latent attention: length of a head's value."""
    window_tokens: int | None = Field(default=None, ge=1)
    """Layers with a window (or chunk) see at most so many tokens back."""
    num_window_layers: int = Field(default=0, ge=0)
    num_linear_layers: int = Field(default=0, ge=0)
    """Layers that keep a state of constant size and no keys and values."""
    other_parameters_b: Amount = Decimal(0)
    """Parameters beside the decoder (a vision tower), in billions."""

    @property
    def num_expert_layers(self) -> int:
        """Layers with routed experts."""
        return 0 if self.num_dense_layers is None else self.num_layers - self.num_dense_layers

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        has_experts = self.num_experts > 0
        if has_experts != (self.num_dense_layers is not None) or has_experts != (self.expert_intermediate is not None):
            raise ValueError("num_experts, num_dense_layers and expert_intermediate are given together")
        if not self.num_experts >= self.num_active_experts >= int(has_experts):
            raise ValueError("num_active_experts must be between 1 and num_experts")
        if self.num_layers > self.num_expert_layers and self.intermediate is None:
            raise ValueError("intermediate is missing, and there are layers without experts")
        is_latent = self.attention is Attention.LATENT
        if is_latent != all((self.kv_rank, self.rope_dim, self.value_dim)):
            raise ValueError("latent attention, and only it, needs kv_rank, rope_dim and value_dim")
        if (self.num_window_layers > 0) != (self.window_tokens is not None):
            raise ValueError("window_tokens and num_window_layers are given together")
        if self.num_window_layers + self.num_linear_layers > self.num_layers:
            raise ValueError("there are fewer layers than window and linear layers together")
        return self


class ModelRow(DatedRow):
    """One model with open weights."""

    model: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """Name in the catalog, lower case."""
    title: str
    """The name as its makers write it."""
    hub: str = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    """Repository on the Hugging Face hub."""
    also: tuple[str, ...] = ()
    """Other repositories of the same shape and licence: base models, quantized releases."""
    family: str
    released: str = Field(pattern=r"^20[0-9]{2}-[01][0-9](-[0-3][0-9])?$")
    """Day or month of the release."""
    licence: str
    """Licence of the catalog."""
    base_licence: str | None = None
    """Licence of the model that it was made from, whose terms stay with it."""
    context_tokens: int = Field(ge=1)
    modalities: tuple[str, ...]
    """What it reads: `text`, `image`, `audio`, `video`. All write text."""
    parameters_b: Amount
    """All parameters as its makers state them, in billions."""
    active_parameters_b: Amount
    """Parameters that one token uses, as its makers state them, in billions."""
    native_format: ModelFormat
    """Format of the released weights."""
    architecture: Architecture | None = None
    """None where it could not be confirmed, or is of a kind that the arithmetic does not know; the note says which."""

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if self.architecture is None and "architecture" not in self.note.lower():
            raise ValueError("a row without an architecture says in its note why")
        if self.active_parameters_b > self.parameters_b:
            raise ValueError("active_parameters_b is more than parameters_b")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """The model's name."""
        return (self.model,)

    @property
    def names(self) -> frozenset[str]:
        """Every name that stands for it."""
        return frozenset({self.model, self.hub, *self.also})

    @property
    def licences(self) -> tuple[str, ...]:
        """Every licence whose terms hold: its own, and that of the model it was made from."""
        return (self.licence,) if self.base_licence is None else (self.licence, self.base_licence)

    @property
    def is_multimodal(self) -> bool:
        """Whether it reads more than text."""
        return any(modality != "text" for modality in self.modalities)
