"""Labels as they may be kept: no secret in them, and providers and models named as the price book names them."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from inhouse.cli.litellm.providers import find_target
from inhouse.domain import ServiceTier

OWN_PROVIDER = "own"
"""Provider of models that run on machines of one's own."""
_MAX_CHARS = 200
_NUM_REMEMBERED = 65_536
_FINGERPRINT_CHARS = 8
_SECRET = re.compile(
    r"\bsk-[A-Za-z0-9_-]{4,}"
    r"|\b(?:sk|rk|pk|ak)[-_](?:[a-z]+[-_]){0,3}[A-Za-z0-9_-]{8,}"  # Stripe-like, Langfuse
    r"|\bAIza[\w-]{20,}|\bgsk_\w{16,}|\bAKIA[A-Z0-9]{12,}|\bgh[pousr]_\w{16,}|\bhf_\w{16,}|\bxox[abp]-[\w-]{10,}"
    r"|\beyJ[\w-]{8,}\.[\w-]+|\b[Bb]earer\s+\S+|\bglpat-\S{10,}",
)
_SIGN = re.compile(r"[srpa]k[-_]|earer|eyJ|AIza|hf_|gh[pousr]_|AKIA|xox|glpat|\x00")
_LONG_TOKEN = re.compile(r"^[A-Za-z0-9+]{32,}={0,2}$")
"""A key without any prefix, as Azure and others have them; no name is so long without a space, dash or slash."""
_LONG_DIGEST = re.compile(r"^[0-9a-f]{40,128}$", re.IGNORECASE)
_PRICE_BOOK_NAMES = {"gemini": "google", "google_ai_studio": "google", "palm": "google", "mistralai": "mistral"}
_TIERS = {
    "batch": ServiceTier.BATCH,
    "true": ServiceTier.BATCH,
    "flex": ServiceTier.FLEX,
    "flex_discount": ServiceTier.FLEX,
    "priority": ServiceTier.PRIORITY,
    "priority_on_demand": ServiceTier.PRIORITY,
    "fast": ServiceTier.PRIORITY,
}
_STANDARD_TIERS = frozenset({"", "standard", "default", "auto", "scale", "on_demand", "none", "false"})


@lru_cache(_NUM_REMEMBERED)
def clean_label(text: str | None) -> str | None:
    """A label that may be stored and shown; None where it is empty.

    What looks like a key becomes `key:` and eight digits of its SHA-256, wherever it stands in the text.
    """
    if text is None:
        return None
    words = " ".join(text.replace("\x00", " ").split())
    if not words:
        return None
    if _LONG_DIGEST.match(words):
        return f"key:{words[:_FINGERPRINT_CHARS].lower()}"
    if _LONG_TOKEN.match(words):
        return fingerprint(words)
    return _SECRET.sub(lambda found: fingerprint(found.group()), words)[:_MAX_CHARS]


def clean_id(text: str) -> str:
    """A record's id as it may be stored. Runs for every record, so it only looks closer where there is a reason to."""
    if _SIGN.search(text):
        return _SECRET.sub(lambda found: fingerprint(found.group()), text.replace("\x00", " "))
    return text


def fingerprint(secret: str) -> str:
    """What stands in place of a secret: tells two apart, gives neither away."""
    return f"key:{hashlib.sha256(secret.encode()).hexdigest()[:_FINGERPRINT_CHARS]}"


def quote(value: object) -> str:
    """A value for an error message: short, and never a secret."""
    text = clean_label(str(value)) or ""
    return f"`{text[:60]}…`" if len(text) > 60 else f"`{text}`"


@lru_cache(_NUM_REMEMBERED)
def name_model(provider: str | None, model: str | None) -> tuple[str | None, str | None]:
    """Provider and model as the price book names them.

    `openai/gpt-4o` loses its prefix; a model without a stated provider gets the one that its name belongs to, if that
    is known. Azure stays `azure`: its list prices are its own. Servers that people run themselves are `own`.
    """
    model = clean_label(model)
    provider = clean_label(provider.strip().lower()) if provider else None
    if model is None:
        return _PRICE_BOOK_NAMES.get(provider or "", provider), None
    target = find_target(model, provider)
    if target is None:
        return _PRICE_BOOK_NAMES.get(provider or "", provider), model
    if target.row.own:
        return OWN_PROVIDER, target.model
    prefix = target.prefix
    if prefix in {"vertex_ai", "vertex_ai_beta", "gemini"} and target.model.startswith("gemini"):
        return "google", target.model
    return _PRICE_BOOK_NAMES.get(prefix, target.name), target.model


@lru_cache(_NUM_REMEMBERED)
def find_tier(text: str | None) -> ServiceTier | None:
    """The tariff that a source's word for it means; None for a word that is not known."""
    word = (text or "").strip().lower().replace("-", "_").replace(" ", "_")
    return ServiceTier.STANDARD if word in _STANDARD_TIERS else _TIERS.get(word)
