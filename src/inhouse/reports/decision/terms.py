"""What options, cost lines, reasons and owners are called on the decision page. No figures."""

from __future__ import annotations

from collections.abc import Iterable

from inhouse.planning.economics import Decision, Family, OptionId, Owner, Terms
from inhouse.reports.decision.report import OpenModelFacts

_TERMS = {
    Terms.ON_DEMAND: "on-demand GPUs",
    Terms.RESERVED: "reserved GPUs",
    Terms.SPOT: "spot GPUs",
    Terms.OWNED: "owned GPUs",
    Terms.ORDERED: "ordered GPUs",
}
_FAMILIES = {
    Family.STAY: "stay at the API",
    Family.CHEAPER: "stay, used more cheaply",
    Family.HOSTED_OPEN: "move to a hosted-open API",
    Family.SELF_HOST: "self-host",
}
_LINES = {
    "api": "Today's API",
    "fallback": "Today's API, for what falls back",
    "hosted_api": "Hosted-open API",
    "gpus": "GPUs",
    "power": "Power of ordered GPUs",
    "people": "People",
    "on_call": "On call",
    "setup": "Set-up, spread over the horizon",
    "evaluation": "Evaluation and labels",
    "platform": "Load balancer, storage, logs",
    "egress": "Egress",
    "inhouse_upkeep": "Upkeep of inhouse",
}
_GROUPS = {
    "api": "api",
    "fallback": "api",
    "hosted_api": "hosted",
    "gpus": "gpus",
    "power": "gpus",
    "people": "people",
    "on_call": "people",
    "setup": "setup",
}
GROUPS = {
    "api": "Today's API",
    "hosted": "Hosted-open API",
    "gpus": "GPUs and power",
    "people": "People, on call",
    "setup": "Set-up",
    "running": "Evaluation, platform, egress, upkeep",
}
"""Groups of cost lines, as the stacked bars colour them."""
_SAVINGS = {
    "cheaper_tier": "Cheaper tier where a task allows",
    "prompt_caching": "Prompt caching",
    "batch_tariff": "Batch tariff for what may wait",
}
_EXCLUSIONS = {
    "licence": "the licence does not allow it",
    "licence_unknown": "facts are missing to say whether the licence allows it",
    "no_capacity": "nothing is known about the model's throughput on the GPUs asked for",
    "no_gpu_price": "no price of such a GPU is known",
    "no_hosted_price": "no hosted-open price of the model is known",
    "own_only": "only your own machines may see this data",
    "needs_full_parity": "moving everything needs (almost) all of the traffic to pass your evaluation",
    "nothing_left_at_api": "all of the traffic moves, so nothing is left at the API",
    "spot_without_fallback": "spot GPUs can all be taken back at once, and nothing would be left to fall back to",
}
_WITHOUT_FIGURES = frozenset({"no_capacity", "no_gpu_price", "no_hosted_price"})
TWIN_CODES = frozenset({"needs_full_parity", "nothing_left_at_api"})
"""Reasons that leave the same option in its other form: all of the traffic, or the share that passes."""
_REASONS = {
    "largest_saving": "saves most",
    "one_template": "one prompt template",
    "short_prompts": "short prompts",
    "steady": "steady over the day",
    "structured": "structured answers, easy to check",
    "audio": "audio, which the open model does not take",
    "batch": "may wait for a batch",
    "long_prompts": "long prompts",
    "unpriced": "unpriced",
    "small": "small",
    "mixed_templates": "several prompt templates",
}
_ANSWERS = {
    "allowed": "allowed",
    "allowed_with_duties": "allowed, with duties",
    "blocked": "blocked",
    "unknown": "not known: facts are missing",
}
_FACTS = {
    "mau": "users a month",
    "mau_at_release_incl_affiliates": "users a month at the model's release, affiliates included",
    "revenue_year_usd": "revenue of a year",
    "revenue_month_usd": "revenue of a month",
    "group_revenue_year_usd": "the group's revenue of a year",
    "arr_usd": "annual recurring revenue",
    "eu_based": "whether the company is based in the EU",
    "country": "the company's country",
    "internal_use": "whether use is internal only",
    "commercial_use": "whether use is commercial",
    "offers_maas": "whether models are offered as a service",
    "ai_assistant_product": "whether the product is an AI assistant",
    "distributes_weights": "whether weights are passed on",
    "trains_on_outputs": "whether models are trained on the answers",
    "uses_multimodal": "whether images or audio are sent",
}
_OWNERS = {
    Owner.TYPED: "you typed it",
    Owner.IMPORTED: "from the usage export",
    Owner.MEASURED: "measured from this installation's traces",
    Owner.CATALOG: "a dated fact of the catalog",
    Owner.ASSUMED: "a reference range of inhouse; nobody of yours has confirmed it",
}


def name_option(option: OptionId, *, is_full: bool = False) -> str:
    """An option in a few words.

    Args:
        option: what to name.
        is_full: moving everything is the rule here; else moving the share that passes is, and the other one is said.
    """
    if option.family is Family.STAY:
        return "Stay at the API"
    if option.family is Family.CHEAPER:
        return "Stay, used more cheaply"
    name = "Hosted-open API" if option.terms is None else f"Self-host, {_TERMS[option.terms]}"
    if option.is_hybrid == is_full:
        return f"{name}, a share" if is_full else f"{name}, everything"
    return name


def name_terms(terms: Terms | None) -> str:
    """How GPUs are paid for: `reserved GPUs`."""
    return _TERMS[terms or Terms.ON_DEMAND]


def name_family(family: Family) -> str:
    """What there is to do, as a verb: `move to a hosted-open API`."""
    return _FAMILIES[family]


def name_line(code: str) -> str:
    """A line of an option's cost."""
    return _LINES.get(code) or _speak(code).capitalize()


def sort_lines(codes: Iterable[str]) -> list[str]:
    """Lines of a cost, each once, in the order in which they are told; new ones last."""
    order = list(_LINES)
    return sorted(dict.fromkeys(codes), key=lambda code: order.index(code) if code in order else len(order))


def group_line(code: str) -> str:
    """The group of `GROUPS` that a line belongs to."""
    return _GROUPS.get(code, "running")


def name_saving(code: str) -> str:
    """A saving at today's API."""
    return _SAVINGS.get(code) or _speak(code).capitalize()


def explain_exclusion(code: str) -> str:
    """Why an option may not be chosen."""
    return _EXCLUSIONS.get(code) or _speak(code)


def has_figures(option: OptionId, code: str | None, model: OpenModelFacts) -> bool:
    """Whether an option's figures mean something: not where what they are made of is not known."""
    if option.family is Family.HOSTED_OPEN and model.hosted_usd_per_mtok is None:
        return False
    return code not in _WITHOUT_FIGURES and not (option.is_self_host and model.gpu is None)


def moves_everything(decision: Decision) -> bool:
    """Whether an option that moves traffic moves all of it here, so that no hybrid may be chosen."""
    return any(item.excluded_because == "nothing_left_at_api" for item in decision.options)


def explain_reason(code: str) -> str:
    """What speaks for or against a use case as the first one."""
    return _REASONS.get(code) or _speak(code)


def name_answer(code: str) -> str:
    """The licence's answer."""
    return _ANSWERS.get(code) or _speak(code)


def name_fact(code: str) -> str:
    """A fact about the company that a licence asks for."""
    return _FACTS.get(code) or _speak(code)


def explain_owner(owner: Owner) -> str:
    """Who answers for an assumption."""
    return _OWNERS[owner]


def find_self_host_exclusion(decision: Decision, model: OpenModelFacts) -> str | None:
    """The code why self-hosting may not be chosen at all; None where it may."""
    if Family.SELF_HOST in decision.best_by_family:
        return None
    codes = [item.excluded_because for item in decision.options if item.option.is_self_host]
    firm = [code for code in codes if code is not None and code not in TWIN_CODES]
    if firm:
        return firm[0]
    if model.licence_answer == "blocked":
        return "licence"
    return "no_capacity" if model.gpu is None else "no_gpu_price"


def is_unknown(code: str) -> bool:
    """Whether an exclusion is for want of knowledge, not by a rule."""
    return code.startswith("no_") or code.endswith("_unknown")


def _speak(code: str) -> str:
    return code.replace("_", " ")
