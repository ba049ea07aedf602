"""The dated rows about GPUs: memory, bandwidth, peak rates, links, power, each as its maker states it."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from inhouse.catalog.rows import Amount, DatedRow

Rate = Annotated[Amount, Field(gt=0)]
"""A rate or size of more than zero, read exactly."""


class LinkKind(StrEnum):
    """What joins the GPUs of one machine."""

    NVLINK = "nvlink"
    INFINITY_FABRIC = "infinity_fabric"
    PCIE = "pcie"


class GpuRow(DatedRow):
    """One kind of GPU. Peak rates are dense (without structured sparsity); None is "not supported, or not known".

    Makers write memory as GB and mean partly 2^30, partly 10^9 bytes, before or after error correction, so that both
    the printed figure and what software finds are here.
    """

    gpu: str
    """Name in the catalog."""
    also: tuple[str, ...] = ()
    """Other names of it, as price lists write them."""
    maker: str
    memory_gib: Rate
    """Memory that the driver reports, in GiB (2^30 bytes); arithmetic uses this one."""
    printed_memory_gb: Rate
    """The datasheet's figure, in the datasheet's GB."""
    bandwidth_gb_per_s: Rate
    """Memory bandwidth, in 10^9 bytes a second."""
    bf16_tflops: Rate | None = None
    fp8_tflops: Rate | None = None
    fp4_tflops: Rate | None = None
    int8_tops: Rate | None = None
    link: LinkKind
    link_gb_per_s: Rate
    """What one GPU sends to its peers, one way, all links together, in 10^9 bytes a second."""
    power_w: Rate
    """Board power at most, in watts."""

    @property
    def key(self) -> tuple[str, ...]:
        """The GPU's name."""
        return (self.gpu,)

    @property
    def memory_bytes(self) -> int:
        """Memory that the driver reports, in bytes."""
        return int(self.memory_gib * 2**30)

    def peak_flops(self, compute_format: str) -> Decimal | None:
        """Dense operations a second in `bf16`, `fp8`, `fp4` or `int8`; None where the format is not supported.

        Raises:
            KeyError: there is no such format.
        """
        rates = {"bf16": self.bf16_tflops, "fp8": self.fp8_tflops, "fp4": self.fp4_tflops, "int8": self.int8_tops}
        rate = rates[compute_format]
        return None if rate is None else rate * 10**12
