"""`inhouse check`: everything that can be said about a file without starting anything."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from inhouse.catalog import load_price_book
from inhouse.cli.config import ConfigFileError, Configuration, load_config
from inhouse.cli.outbound_check import check_outbound
from inhouse.cli.terminal import err, out, print_json
from inhouse.control import check_admin_host, check_references
from inhouse.domain import ConfigError
from inhouse.serving import validate_deployment


def check(
    file: Annotated[Path, typer.Argument(help="The file to check.")] = Path("inhouse.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check a configuration file: form, names, weights, data classes. Exit code 2 where something must be mended."""
    configuration = load_config(file)
    warnings = check_configuration(configuration)
    settings = configuration.settings
    counts = {
        "routes": len(settings.routes),
        "deployments": len(settings.deployments),
        "providers": len(settings.providers),
        "keys": len(settings.keys),
    }
    if as_json:
        print_json({"file": str(file), "is_valid": True, **counts, "warnings": warnings})
        return
    print_warnings(warnings)
    out.print(f"[bold green]ok[/]  {file}: " + ", ".join(_count(name, count) for name, count in counts.items()))


def _count(name: str, count: int) -> str:
    return f"{count} {name.removesuffix('s') if count == 1 else name}"


def check_configuration(configuration: Configuration) -> list[str]:
    """Check what the form alone does not show.

    Returns:
        Warnings, each with its place.

    Raises:
        ConfigFileError: names that nothing has, weights, keys or certificates that are not there, a port open to others
            without keys.
    """
    settings = configuration.settings
    findings = check_references(
        routes=settings.routes,
        deployments=settings.deployments,
        providers=settings.providers,
        data_classes={name: data_class.processors for name, data_class in settings.data_classes.items()},
        price_book=load_price_book(),
    )
    errors: list[ConfigError] = []
    warnings: list[str] = []
    for finding in findings:
        location = configuration.locate(finding.keys)
        if finding.is_warning:
            warnings.append(f"{location}: {finding.problem} {finding.fix}")
        else:
            errors.append(ConfigError(finding.problem, fix=finding.fix, location=location))
    errors.extend(_check_weights(configuration))
    errors.extend(_check_exposure(configuration))
    errors.extend(_check_key_routes(configuration))
    errors.extend(_check_admin(configuration))
    if not errors:  # files are looked at where the file itself makes sense
        outbound = check_outbound(configuration)
        errors.extend(outbound.errors)
        warnings.extend(outbound.warnings)
    if errors:
        raise ConfigFileError(errors)
    return warnings


def print_warnings(warnings: list[str]) -> None:
    """Show each warning on standard error."""
    for warning in warnings:
        err.print(Text("warning: ", style="bold yellow") + Text(warning))


def _check_weights(configuration: Configuration) -> list[ConfigError]:
    errors: list[ConfigError] = []
    for name, deployment in configuration.settings.deployments.items():
        location = configuration.locate(("deployments", name, "model"))
        try:
            validate_deployment(name, deployment, location, folder=configuration.folder)
        except ConfigError as error:
            errors.append(error)
    return errors


def _check_exposure(configuration: Configuration) -> list[ConfigError]:
    settings = configuration.settings
    if settings.keys or _is_loopback(settings.gateway.host):
        return []
    return [
        ConfigError(
            f"the data port listens on {settings.gateway.host}, and no keys are declared: anybody could use it.",
            fix="Declare at least one key under `keys`, or listen on 127.0.0.1.",
            location=configuration.locate(("gateway", "host")),
        )
    ]


def _check_key_routes(configuration: Configuration) -> list[ConfigError]:
    settings = configuration.settings
    known: Mapping[str, object] = settings.routes
    return [
        ConfigError(
            f"the key {name!r} names the route {route!r}, which is not declared.",
            fix=f"Use one of: {', '.join(sorted(known))}.",
            location=configuration.locate(("keys", name, "routes")),
        )
        for name, key in settings.keys.items()
        for route in sorted(key.routes or ())
        if route not in known
    ]


def _check_admin(configuration: Configuration) -> list[ConfigError]:
    try:
        check_admin_host(configuration.settings.admin.host)
    except ConfigError as error:
        return [ConfigError(error.problem, fix=error.fix, location=configuration.locate(("admin", "host")))]
    return []


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
