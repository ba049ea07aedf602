"""Settings of routes: the public model names, their variants, rules, fallback and data class."""

from __future__ import annotations

from decimal import Decimal
from typing import Self, cast

from pydantic import Field, model_validator

from inhouse.domain.settings import Settings, Share
from inhouse.domain.snapshot import CaptureMode, FallbackCause, Modality


class VariantSettings(Settings):
    """One concrete choice on a route."""

    endpoint: str
    """A deployment's name, or `PROVIDER/MODEL`."""


class RuleSettings(Settings):
    """A `when` line; every condition given must hold."""

    use: str
    """Variant to use."""
    task: str | None = None
    """Task type from the header `x-inhouse-task` or `metadata`."""
    modality: Modality | None = None
    """The request carries this modality."""
    header: dict[str, str] | None = Field(default=None, min_length=1, max_length=1)
    """One header name and the value that it must have."""


class UseSettings(Settings):
    """Which variant serves: the first matching rule, else the default."""

    default: str
    """Variant for requests that no rule matches."""
    when: tuple[RuleSettings, ...] = ()
    """Rules in order; the first whose every given condition holds decides."""


class AllowedLossSettings(Settings):
    """How much worse a candidate may be, and how sure that must be."""

    worse_answers: Share = Field(gt=0, lt=1)
    """Share of answers that may get worse (`5%`)."""
    confidence: Share = Field(default=Decimal("0.95"), gt=0, lt=1)
    """How sure the judgement must be."""


class CaptureSettings(Settings):
    """Content capture; off unless asked for."""

    content: CaptureMode = CaptureMode.NONE
    """`none`, `hash` (SHA-256 of request and reply), `sampled 2%`, or `full`."""
    share: Share | None = Field(default=None, gt=0, le=1)
    """With `sampled`: the share of requests whose content is kept; may stand in `content` (`sampled 2%`)."""

    @model_validator(mode="before")
    @classmethod
    def _split_sampled(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        settings = cast("dict[str, object]", value)
        words = str(settings.get("content", "")).split()
        if len(words) == 2 and words[0] == CaptureMode.SAMPLED:
            return {**settings, "content": words[0], "share": words[1]}
        return settings

    @model_validator(mode="after")
    def _check_share(self) -> Self:
        if (self.content is CaptureMode.SAMPLED) != (self.share is not None):
            raise ValueError("`sampled` needs a share (`content: sampled 2%`), and no other mode takes one")
        return self


class RouteSettings(Settings):
    """The public model name that a client sends."""

    data_class: str
    """One of `data_classes`; there is no default, because it decides who may see the content."""
    variants: dict[str, VariantSettings] = Field(min_length=1)
    """Choices of this route by name."""
    use: UseSettings
    """Which variant serves."""
    fallback: tuple[str, ...] = ()
    """Variants tried in order when the chosen one fails before its first byte."""
    suite: str | None = None
    """Suite file that judges this route; `builtin:tickets` is the demonstration suite."""
    allowed_loss: AllowedLossSettings | None = None
    """How much worse a candidate may be, for `inhouse eval run ROUTE`."""
    fallback_on: frozenset[FallbackCause] = frozenset()
    """Answers that fall back too: `content_filter`, `refusal`. Without it they are final, as the provider gave them."""
    buffered: bool = False
    """Hold each answer until it is complete: fallback works up to the last byte, and streams come in one go."""
    capture: CaptureSettings = CaptureSettings()
    """What content of this route is kept in its traces."""
