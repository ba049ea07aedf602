"""Finds or makes the weights that a deployment asks for. Checks that they are there; starts nothing."""

from __future__ import annotations

from pathlib import Path

from inhouse.domain import ConfigError, SourceLocation
from inhouse.serving.clerk import clerk_gguf
from inhouse.serving.gguf import QuantLevel, quantize_gguf
from inhouse.serving.settings import DeploymentSettings, EngineName

CLERK = "clerk"
"""The demonstration model that comes with the package."""
_CLERK_PRECISION = "F16"
_GGUF_MAGIC = b"GGUF"


def validate_deployment(
    name: str, settings: DeploymentSettings, location: SourceLocation | None = None, *, folder: Path | None = None
) -> None:
    """Check that a deployment's weights can be served, without reading more than their first bytes.

    Args:
        name: the deployment's name.
        settings: what the file says of it.
        location: where that stands, for the error.
        folder: what a relative model path counts from; the working directory where not given.

    Raises:
        ConfigError: no model named, no such file, no GGUF, or a quantization that does not fit the model.
    """
    if settings.url is not None or settings.engine is EngineName.EXTERNAL:
        return
    if settings.model is None:
        raise ConfigError(
            f"deployment {name!r} names no model.",
            fix="Add `model:`, `clerk` or the path of a GGUF file; or `url:` of an engine that runs already.",
            location=location,
        )
    if settings.model == CLERK:
        _check_clerk_level(name, settings.quantization, location)
        return
    if settings.quantization is not None:
        raise ConfigError(
            f"deployment {name!r} asks for quantization {settings.quantization}, but a model file holds what it holds.",
            fix="Remove `quantization:`, and name the file of the precision that you want.",
            location=location,
        )
    _check_file(name, resolve_model(settings, folder or Path()), location)


def resolve_model(settings: DeploymentSettings, folder: Path) -> Path:
    """Absolute path of a deployment's model file; a relative one counts from `folder`."""
    return (folder / Path(settings.model or "").expanduser()).resolve()


def resolve_deployment(settings: DeploymentSettings, folder: Path) -> DeploymentSettings:
    """The same deployment with its model's path made absolute, so that it means the same in every process."""
    if settings.model in (None, CLERK) or settings.url is not None:
        return settings
    return settings.model_copy(update={"model": str(resolve_model(settings, folder))})


def prepare_weights(name: str, settings: DeploymentSettings, models_dir: Path) -> Path | None:
    """The file that the engine loads; clerk at a lower precision is written to `models_dir` (milliseconds) first.

    Returns:
        None where somebody else runs the engine.

    Raises:
        ConfigError: as `validate_deployment`.
    """
    validate_deployment(name, settings)
    if settings.url is not None:
        return None
    if settings.model != CLERK:
        return resolve_model(settings, Path())
    if settings.quantization in (None, _CLERK_PRECISION):
        return clerk_gguf()
    models_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    out = models_dir / f"clerk-{settings.quantization}.gguf"
    quantize_gguf(clerk_gguf(), out, level=QuantLevel(str(settings.quantization)))
    return out


def _check_clerk_level(name: str, level: str | None, location: SourceLocation | None) -> None:
    levels = (_CLERK_PRECISION, *QuantLevel)
    if level is not None and level not in levels:
        raise ConfigError(
            f"deployment {name!r} asks for clerk at {level!r}, which is not made.",
            fix=f"Use one of {', '.join(levels)}.",
            location=location,
        )


def _check_file(name: str, path: Path, location: SourceLocation | None) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except OSError as error:
        raise ConfigError(
            f"the model of deployment {name!r}, {path}, cannot be read: {error.strerror}.",
            fix="Give the path of a GGUF file (relative paths count from the configuration file), or `clerk`.",
            location=location,
        ) from error
    if magic != _GGUF_MAGIC:
        raise ConfigError(
            f"the model of deployment {name!r}, {path}, is no GGUF file.",
            fix="Convert it with llama.cpp's convert_hf_to_gguf.py, or give a GGUF file.",
            location=location,
        )
