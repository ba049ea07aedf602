"""Capture settings in both spellings, and what is no capture setting at all."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from inhouse.domain import CaptureMode
from inhouse.routing.settings import CaptureSettings


@pytest.mark.parametrize(
    ("given", "mode", "share"),
    [
        ({}, CaptureMode.NONE, None),
        ({"content": "full"}, CaptureMode.FULL, None),
        ({"content": "sampled 2%"}, CaptureMode.SAMPLED, Decimal("0.02")),
        ({"content": "sampled", "share": 0.5}, CaptureMode.SAMPLED, Decimal("0.5")),
    ],
)
def test_capture_may_be_written_in_one_word_or_two(
    given: dict[str, object], mode: CaptureMode, share: Decimal | None
) -> None:
    settings = CaptureSettings.model_validate(given)

    assert (settings.content, settings.share) == (mode, share)


@pytest.mark.parametrize("given", ["full", 3, {"content": "sampled"}, {"content": "full", "share": 0.5}])
def test_anything_else_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        CaptureSettings.model_validate(given)
