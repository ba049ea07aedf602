"""Observe mode's upstream in the snapshot: where it is, whose prices apply, and which addresses it may have."""

from datetime import date

import pytest

from inhouse.backends.settings import ObserveSettings
from inhouse.catalog import load_price_book
from inhouse.control.observe import compile_observed
from inhouse.domain import Dialect, Observed, Usage

TODAY = date(2026, 11, 24)
BOOK = load_price_book()


def compile_url(url: str, provider: str | None = None) -> Observed:
    return compile_observed(ObserveSettings(base_url=url, provider=provider), BOOK, TODAY)


@pytest.mark.parametrize(
    ("url", "root_url", "name", "dialect", "is_private"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com", "openai", Dialect.OPENAI, False),
        ("https://API.openai.com/v1/", "https://API.openai.com", "openai", Dialect.OPENAI, False),
        ("https://api.anthropic.com", "https://api.anthropic.com", "anthropic", Dialect.ANTHROPIC, False),
        ("https://x.example/api/v1", "https://x.example/api", "x.example", Dialect.OPENAI, True),
        ("http://litellm:4000", "http://litellm:4000", "litellm:4000", Dialect.OPENAI, True),
        ("http://[::1]:8000/v1", "http://[::1]:8000", "[::1]:8000", Dialect.OPENAI, True),
    ],
)
def test_the_upstream_is_named_and_may_be_the_users_own(
    url: str, root_url: str, name: str, dialect: Dialect, is_private: bool
) -> None:
    """A company's name that resolves to a private address is refused; an address that is the user's own is not."""
    observed = compile_url(url)

    assert (observed.root_url, observed.endpoint_id, observed.dialect) == (root_url, name, dialect)
    assert observed.network.is_declared_private == is_private


def test_list_prices_are_those_of_the_company_or_of_the_provider_named() -> None:
    usage = Usage(input_uncached=1_000_000, output_visible=1_000_000)
    known = compile_url("https://api.openai.com/v1").prices

    assert known["gpt-4o-mini"].price(usage) == pytest.approx(0.15 + 0.60)
    assert known["gpt-4o-mini-2024-07-18"] == known["gpt-4o-mini"]
    assert compile_url("http://litellm:4000").prices == {}
    assert compile_url("http://litellm:4000", "openai").prices == known
    assert compile_url("http://litellm:4000", "openai").endpoint_id == "litellm:4000"
    assert set(compile_url("https://api.openai.com/v1", "anthropic").prices).isdisjoint(known)
