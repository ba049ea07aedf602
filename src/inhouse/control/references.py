"""Checks that everything a configuration names exists and may be used. Pure: finds problems, raises nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from inhouse.backends.settings import ProviderSettings
from inhouse.catalog import PriceBook
from inhouse.control.outbound_checks import check_deployment, check_provider
from inhouse.control.pricing import price_deployment, price_provider_model
from inhouse.control.problems import KeyPath, ReferenceProblem, suggest_name
from inhouse.domain import OWN_PROCESSOR, Modality
from inhouse.routing.settings import RouteSettings
from inhouse.serving.settings import DeploymentSettings


def check_references(
    *,
    routes: Mapping[str, RouteSettings],
    deployments: Mapping[str, DeploymentSettings],
    providers: Mapping[str, ProviderSettings],
    data_classes: Mapping[str, frozenset[str]],
    price_book: PriceBook,
    at: date = date.max,
) -> list[ReferenceProblem]:
    """Find every reference that leads nowhere and every choice that could never be used.

    Args:
        routes: by name.
        deployments: by name.
        providers: by name.
        data_classes: name → processors that may see the class.
        price_book: says whose list prices are known, and which endpoints would be unpriced.
        at: the day whose prices apply; the newest rows of the book where not given.

    Returns:
        Errors first, then warnings, each group in the order of the file's sections.
    """
    inputs = _Inputs(routes, deployments, providers, data_classes)
    found = [
        *_check_data_classes(inputs),
        *_check_endpoints(inputs),
        *_check_price_books(inputs, price_book),
        *(problem for name in routes for problem in _check_route(name, inputs)),
        *_warn_unpriced(inputs, price_book, at),
    ]
    return sorted(found, key=lambda problem: problem.is_warning)


def list_endpoint_ids(
    deployments: Mapping[str, DeploymentSettings], providers: Mapping[str, ProviderSettings]
) -> dict[str, str]:
    """Every endpoint that a variant may name, with its processor: `clerk` → `own`, `openai/gpt-mid` → `openai`."""
    own = dict.fromkeys(deployments, OWN_PROCESSOR)
    return own | {f"{name}/{model}": name for name, provider in providers.items() for model in provider.models}


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The parts of a configuration that name each other."""

    routes: Mapping[str, RouteSettings]
    deployments: Mapping[str, DeploymentSettings]
    providers: Mapping[str, ProviderSettings]
    data_classes: Mapping[str, frozenset[str]]


def _check_data_classes(inputs: _Inputs) -> Iterator[ReferenceProblem]:
    known = {OWN_PROCESSOR, *inputs.providers}
    for name, processors in inputs.data_classes.items():
        for processor in sorted(processors - known):
            yield ReferenceProblem(
                ("data_classes", name, "processors"),
                f"data class {name!r} names the processor {processor!r}, which is neither {OWN_PROCESSOR!r} nor a "
                "provider.",
                suggest_name(processor, known, kind="provider"),
            )


def _check_endpoints(inputs: _Inputs) -> Iterator[ReferenceProblem]:
    for name, provider in inputs.providers.items():
        yield from check_provider(name, provider)
    for name, deployment in inputs.deployments.items():
        if "/" in name:
            yield ReferenceProblem(
                ("deployments", name),
                f"the deployment {name!r} has a slash in its name, which only `PROVIDER/MODEL` may have.",
                f"Call it {name.replace('/', '-')!r}.",
            )
        yield from check_deployment(name, deployment)


def _check_price_books(inputs: _Inputs, book: PriceBook) -> Iterator[ReferenceProblem]:
    for name, provider in inputs.providers.items():
        place, company = ("providers", name, "price_book"), provider.price_book
        if company is not None and provider.simulated is not None:
            yield ReferenceProblem(
                place,
                f"provider {name!r} is simulated, and so is its price: `price_book` would do nothing.",
                "Remove `price_book:`, or give `price:` below the model.",
            )
        elif company is not None and company not in book.companies:
            yield ReferenceProblem(
                place,
                f"the price book knows no company {company!r}.",
                f"Use one of: {', '.join(book.companies)}; or remove it and give `price:` below the model.",
            )


def _check_route(name: str, inputs: _Inputs) -> Iterator[ReferenceProblem]:
    route = inputs.routes[name]
    has_class = route.data_class in inputs.data_classes
    if not has_class:
        yield ReferenceProblem(
            ("routes", name, "data_class"),
            f"the data class {route.data_class!r} is not declared.",
            suggest_name(route.data_class, inputs.data_classes, kind="data class under `data_classes`"),
        )
    for variant, settings in route.variants.items():
        yield from _check_endpoint(name, variant, settings.endpoint, inputs)
    yield from _check_use(name, route)
    yield from _check_modalities(name, route, inputs)


def _check_endpoint(route: str, variant: str, endpoint: str, inputs: _Inputs) -> Iterator[ReferenceProblem]:
    path = ("routes", route, "variants", variant, "endpoint")
    processors = list_endpoint_ids(inputs.deployments, inputs.providers)
    if endpoint not in processors:
        yield ReferenceProblem(
            path,
            f"the endpoint {endpoint!r} is neither a deployment nor a PROVIDER/MODEL.",
            suggest_name(endpoint, processors, kind="deployment or provider"),
        )
        return
    data_class = inputs.routes[route].data_class
    allowed = inputs.data_classes.get(data_class)
    if allowed is not None and processors[endpoint] not in allowed:
        yield ReferenceProblem(
            path,
            f"data class {data_class!r} may not go to {processors[endpoint]!r}, so variant {variant!r} could never "
            "be used.",
            f"Add {processors[endpoint]!r} to data_classes.{data_class}.processors if it may see this content, or "
            "remove the variant.",
        )


def _check_use(name: str, route: RouteSettings) -> Iterator[ReferenceProblem]:
    places: list[tuple[KeyPath, str]] = [(("use", "default"), route.use.default)]
    places += [(("use", "when", index, "use"), rule.use) for index, rule in enumerate(route.use.when)]
    places += [(("fallback", index), fallback) for index, fallback in enumerate(route.fallback)]
    for place, variant in places:
        if variant not in route.variants:
            yield ReferenceProblem(
                ("routes", name, *place),
                f"route {name!r} has no variant {variant!r}.",
                suggest_name(variant, route.variants, kind="variant"),
            )
    for index, rule in enumerate(route.use.when):
        if rule.task is None and rule.modality is None and rule.header is None:
            yield ReferenceProblem(
                ("routes", name, "use", "when", index),
                "the rule has no condition, so that every request would match it.",
                "Give `task`, `modality` or `header`, or make its variant the default.",
            )
    yield from _warn_unused(name, route)


def _warn_unused(name: str, route: RouteSettings) -> Iterator[ReferenceProblem]:
    used = {route.use.default, *(rule.use for rule in route.use.when), *route.fallback}
    for variant in route.variants:
        if variant not in used:
            yield ReferenceProblem(
                ("routes", name, "variants", variant),
                f"variant {variant!r} takes no traffic: it is not the default, no rule uses it, and it is no fallback.",
                "Use it under `use` or `fallback`, or keep it for evaluations only.",
                is_warning=True,
            )


def _check_modalities(name: str, route: RouteSettings, inputs: _Inputs) -> Iterator[ReferenceProblem]:
    for index, rule in enumerate(route.use.when):
        settings = route.variants.get(rule.use)
        if rule.modality is None or settings is None:
            continue
        accepted = _accepted_modalities(settings.endpoint, inputs)
        if accepted is not None and rule.modality not in accepted:
            yield ReferenceProblem(
                ("routes", name, "use", "when", index, "use"),
                f"the rule sends {rule.modality.value} to {settings.endpoint!r}, which accepts only "
                f"{', '.join(sorted(accepted))}.",
                "Use a variant whose model accepts it, or add the modality to the model's `modalities`.",
            )


def _accepted_modalities(endpoint: str, inputs: _Inputs) -> frozenset[Modality] | None:
    if endpoint in inputs.deployments:
        return frozenset({Modality.TEXT})
    provider, _, model = endpoint.partition("/")
    settings = inputs.providers.get(provider)
    found = settings.models.get(model) if settings else None
    return found.modalities if found else None


def _warn_unpriced(inputs: _Inputs, book: PriceBook, at: date) -> Iterator[ReferenceProblem]:
    unpriced = "is unpriced: its traffic will show no cost."
    for name, deployment in inputs.deployments.items():
        if price_deployment(name, deployment, book, at) is None:
            model, machine = deployment.model or deployment.served_model or name, deployment.hardware.machine
            has_rate = book.engine_rate(model, machine, at, quantization=deployment.quantization) is not None
            yield ReferenceProblem(
                ("deployments", name),
                f"{name!r} {unpriced}",
                f"Give `hardware: {{usd_per_hour: …}}`: the price book has no machine {machine!r}."
                if has_rate
                else f"Leave it unpriced: the price book has no rate of {model!r} on {machine!r}.",
                is_warning=True,
            )
    for name, provider in inputs.providers.items():
        for model in provider.models:
            if price_provider_model(name, model, provider, book, at) is None:
                yield ReferenceProblem(
                    ("providers", name, "models", model),
                    f"'{name}/{model}' {unpriced}",
                    _advise_price(provider.models[model].upstream_model or model, provider, book, at),
                    is_warning=True,
                )


def _advise_price(model: str, provider: ProviderSettings, book: PriceBook, at: date) -> str:
    """The fix for an unpriced model: own rates, or the company in the book that has a model of this name."""
    own_rates = "`price: {input_usd_per_mtok: …, output_usd_per_mtok: …}`"
    companies = [name for name in book.companies if book.token_price(name, model, at) is not None]
    if companies and provider.simulated is None:
        return f"Give `price_book: {companies[0]}` if its list prices apply, else {own_rates}."
    return f"Give {own_rates}."
