"""Solves capacity rows from a table of measurements, and prints them for `capacity.yaml`; read before adding them.

`python scripts/solve_capacity.py TABLE.csv`. Two forms of table are told apart by their columns:

- Saturated points (model, gpu, num_gpus, engine, precision, input_tokens, output_tokens, output_tokens_per_second,
  source): everything was queued at once, and the whole replica's output was counted.
- AIConfigurator's table (ai-dynamo): so many requests at once, TTFT and TPOT. Of each configuration and shape of
  request the point with the most requests at once is taken, if they are 32 or more. The input rate is held at what the
  GPUs can compute. A configuration is left out where it has fewer than two shapes or none with a long prompt, where the
  output rate would be zero, where a point lies more than 40 % off or the loads of its points differ more than
  eightfold, where attention is split over requests, for engines built at night, and beyond eight GPUs.

Models and GPUs that the catalog has no row for are left out.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from inhouse.catalog import Catalog, GpuRow, ModelFormat, ModelRow, load_catalog
from inhouse.planning import SaturatedPoint, TwoRates, make_saturated_point, solve_two_rates

AICONFIGURATOR = "https://github.com/ai-dynamo/aiconfigurator (measured serving table, Apache-2.0)"
SATURATED_AT = 64
"""Requests at once from which a point counts as saturated."""
LEAST_CONCURRENCY = 32
"""Points with fewer requests at once say nothing about what a replica can do."""
COMPUTE_SHARE = 0.48
"""Share of the peak rate that prompts reach at best (fitted over AIConfigurator's table)."""
MAX_ERROR = 0.40
LONG_PROMPT = 2
"""A shape with at least so many prompt tokens for each answer token tells the input rate."""
MAX_LOAD_RATIO = 8
MAX_GPUS = 8
COMPUTE_FORMATS = {"fp8": "fp8", "nvfp4": "fp4", "mxfp4": "fp4", "bf16": "bf16", "int4": "bf16"}
ERRORS = {True: "0.32", False: "0.54"}
"""P90 of the relative error: with measured points of the configuration, and where they are not of saturation."""
ENGINES = {"vllm": "vLLM", "sglang": "SGLang", "trtllm": "TensorRT-LLM"}

Shape = tuple[int, int]


@dataclass(slots=True)
class Configuration:
    """One model on one set of GPUs, with its points by shape of request."""

    model: ModelRow
    gpu: GpuRow
    num_gpus: int
    engine: str
    precision: str
    source: str
    loads: dict[Shape, int | None] = field(default_factory=dict[Shape, int | None])
    """Requests at once by shape; None: everything was queued at once."""
    points: dict[Shape, SaturatedPoint] = field(default_factory=dict[Shape, SaturatedPoint])

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        """What the row will stand for."""
        return (self.model.model, self.gpu.gpu, self.num_gpus, self.engine, self.precision)

    @property
    def is_usable(self) -> bool:
        """Whether its points can tell the two rates apart."""
        loads = [load for load in self.loads.values() if load is not None]
        has_long_prompt = any(inputs >= LONG_PROMPT * outputs for inputs, outputs in self.points)
        is_even = not loads or max(loads) <= MAX_LOAD_RATIO * min(loads)
        return len(self.points) > 1 and has_long_prompt and is_even

    @property
    def is_saturated(self) -> bool:
        """Whether every point is of saturation."""
        return all(load is None or load >= SATURATED_AT for load in self.loads.values())

    @property
    def least_input_s(self) -> float:
        """Seconds for an input token at the rate that the GPUs compute: two operations for each active parameter."""
        peak = self.gpu.peak_flops(COMPUTE_FORMATS[self.precision]) or self.gpu.peak_flops("bf16")
        if peak is None:
            return 0.0
        operations = 2 * float(self.model.active_parameters_b) * 1e9
        return operations / (COMPUTE_SHARE * self.num_gpus * float(peak))

    def add(self, load: int | None, point: SaturatedPoint) -> None:
        """Keep the point of its shape that has the most requests at once."""
        shape = (point.input_tokens, point.output_tokens)
        if load is None or load > (self.loads.get(shape) or 0):
            self.loads[shape], self.points[shape] = load, point


def main(table: Path, checked_on: date) -> None:
    """Print a row for each configuration that can be solved."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    read = read_saturated if "output_tokens_per_second" in rows[0] else read_aiconfigurator
    solved: dict[tuple[str, str, int, str, str], tuple[float, str]] = {}
    for configuration in read(rows, load_catalog()):
        if not configuration.is_usable:
            continue
        rates = solve_two_rates(list(configuration.points.values()), least_input_s=configuration.least_input_s)
        error, best = rates.worst_relative_error, solved.get(configuration.key, (MAX_ERROR, ""))[0]
        if rates.seconds_per_output_token > 0 and error < best:
            solved[configuration.key] = (error, render(configuration, rates, checked_on))
    sys.stdout.writelines(text for _, (_, text) in sorted(solved.items()))


def read_saturated(rows: Iterable[dict[str, str]], catalog: Catalog) -> Iterator[Configuration]:
    """The configurations of a table of saturated points."""
    found: dict[tuple[str, ...], Configuration] = {}
    for row in rows:
        model, gpu = catalog.model(row["model"]), catalog.gpu(row["gpu"])
        if model is None or gpu is None:
            continue
        key = tuple(row[name] for name in ("model", "gpu", "num_gpus", "engine", "precision"))
        blank = Configuration(model, gpu, int(row["num_gpus"]), row["engine"], row["precision"], row["source"])
        inputs, outputs = int(row["input_tokens"]), int(row["output_tokens"])
        seconds = outputs / float(row["output_tokens_per_second"])
        found.setdefault(key, blank).add(None, SaturatedPoint(inputs, outputs, seconds))
    yield from found.values()


def read_aiconfigurator(rows: Iterable[dict[str, str]], catalog: Catalog) -> Iterator[Configuration]:
    """The configurations of AIConfigurator's table that are no wide or experimental systems."""
    found: dict[tuple[str, ...], Configuration] = {}
    for row in rows:
        model, gpu = catalog.model(row["model_path"]), catalog.gpu(row["system"])
        num_gpus, load = int(row["tp_size"]) * int(row["pp_size"]), int(row["batch_size"])
        is_split = row["attention_dp_size"] not in {"", "0", "1"}
        is_nightly = row["backend_version"].startswith(("nightly", "glm5"))
        if model is None or gpu is None or is_split or is_nightly or num_gpus > MAX_GPUS or load < LEAST_CONCURRENCY:
            continue
        engine = f"{ENGINES[row['backend']]} {row['backend_version'] or '(version not given)'}"
        blank = Configuration(model, gpu, num_gpus, engine, find_format(row["precision"], model), AICONFIGURATOR)
        point = make_saturated_point(
            int(row["isl"]),
            int(row["osl"]),
            ttft_ms=float(row["silicon_ttft_ms"]),
            tpot_ms=float(row["silicon_tpot_ms"]),
            concurrency=load,
        )
        found.setdefault((*map(str, blank.key), row["moe_ep_size"]), blank).add(load, point)
    yield from found.values()


def find_format(precision: str, model: ModelRow) -> str:
    """The format of the weights: four bits are MXFP4 where the model was released so, else NVFP4."""
    if precision == "fp4":
        return "mxfp4" if model.native_format is ModelFormat.MXFP4 else "nvfp4"
    return precision or "bf16"


def render(configuration: Configuration, rates: TwoRates, checked_on: date) -> str:
    """The row as YAML."""
    model, gpu, num_gpus, engine, precision = configuration.key
    lines = [
        f"model: {model}",
        f"gpu: {gpu}",
        f"num_gpus: {num_gpus}",
        f'engine: "{engine}"',
        f"precision: {precision}",
        f'seconds_per_input_token: "{rates.seconds_per_input_token:.4g}"',
        f'seconds_per_output_token: "{rates.seconds_per_output_token:.4g}"',
        f'relative_error: "{ERRORS[configuration.is_saturated]}"',
        f"num_points: {rates.num_points}",
        "basis: measured",
        f'method: "{describe(configuration, rates)}"',
        f"effective_from: {checked_on}",
        f"checked_on: {checked_on}",
        f'source: "{configuration.source}"',
    ]
    return "  - " + "\n    ".join(lines) + "\n"


def describe(configuration: Configuration, rates: TwoRates) -> str:
    """Which points, how far off, and what to doubt."""
    shapes = ", ".join(
        f"{shape[0]}/{shape[1]}" + (f" at {load}" if load else "")
        for shape, load in sorted(configuration.loads.items())
    )
    how = "everything queued at once" if None in configuration.loads.values() else "requests at once"
    words = f"input/output tokens ({how}): {shapes}; the worst point lies {rates.worst_relative_error:.0%} off"
    if not configuration.is_saturated:
        words += "; not all of them saturated, so that it may serve more than this"
    if rates.seconds_per_input_token <= configuration.least_input_s * 1.0001:
        words += "; the input rate is held at what the GPUs can compute"
    return words


if __name__ == "__main__":
    main(Path(sys.argv[1]), datetime.now(UTC).date())
