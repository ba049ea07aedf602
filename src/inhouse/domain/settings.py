"""The base of every room's settings model: frozen, unknown keys refused. Reading files is the door's work."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen settings model; an unknown key is an error, so that a typo never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
