"""`inhouse init`: three questions, one commented file. It starts nothing and sends nothing."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Annotated

import typer

from inhouse.cli.config import load_config_text
from inhouse.cli.terminal import out
from inhouse.domain import ConfigError

_IN_HOUSE_HELP = "`clerk` (the demonstration model in the package), a path to a .gguf file, or the URL of a server"
_PROVIDER_HELP = "`simulated`, or the root of an OpenAI-compatible API (https://…/v1)"
_DATA_HELP = "who may see what clients send: `own` (own machines only) or `both` (own machines and the provider)"

_FILE = Template("""\
# inhouse: one file for the whole platform. `inhouse check $name` says what is wrong with it, `inhouse up -c $name`
# starts it. Every setting: docs/reference/configuration.md. $${NAME} is read from the environment.

# Who may see what. A route's data class is a hard limit: no retry, fallback or evaluation sends content elsewhere.
data_classes:
  $data_class: {processors: [$processors]}

# Paid APIs. The hard part of the traffic goes there, if the data class allows it.
providers:
  paid:
$provider
# Models on your own machines.
deployments:
  in-house:
$deployment
# What clients call: the `model` of their request.
routes:
  assistant:
    data_class: $data_class
    variants:
      in-house: {endpoint: in-house}
$paid_variant    use:
      default: in-house
$rules$fallback$suite
# Clients' keys. Without any, only this machine may call the data port.
# keys:
#   my-app: {key: "$${MY_APP_KEY}", team: my-team}

gateway: {host: 127.0.0.1, port: 8080}     # the data port: OPENAI_BASE_URL=http://127.0.0.1:8080/v1
admin: {host: 127.0.0.1, port: 8081}       # status page and admin API
""")

_SIMULATED_PROVIDER = """\
    simulated: {error_rate: 2%, first_token_ms_median: 180}    # stands in for a real API; everything it says is tagged
    models:
      mid: {modalities: [text, image]}
"""

_REAL_PROVIDER = Template("""\
    base_url: $url
    api_key: $${PROVIDER_API_KEY}
    models:
      $model:
        modalities: [text, image]
        # Your contract's rates win over the built-in price book:
        # price: {input_usd_per_mtok: 2.00, cache_read_usd_per_mtok: 0.50, output_usd_per_mtok: 10.00}
""")


def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("inhouse.yaml"),
    in_house: Annotated[str | None, typer.Option(help=f"What serves in-house: {_IN_HOUSE_HELP}.")] = None,
    provider: Annotated[str | None, typer.Option(help=f"The paid side: {_PROVIDER_HELP}.")] = None,
    provider_model: Annotated[str, typer.Option(help="The provider's model, for a real API.")] = "gpt-mid",
    data: Annotated[str | None, typer.Option(help=f"Data class: {_DATA_HELP}.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
) -> None:
    """Write a commented configuration file after three questions (or from the options, asking nothing)."""
    if file.exists() and not force:
        raise ConfigError(f"{file} exists already.", fix="Name another file, or write over it with --force.")
    in_house = in_house or _ask(f"1/3  What serves in-house? {_IN_HOUSE_HELP}", default="clerk")
    provider = provider or _ask(f"2/3  What is the paid side? {_PROVIDER_HELP}", default="simulated")
    data = data or _ask(f"3/3  Data: {_DATA_HELP}", default="both")
    if data not in {"own", "both"}:
        raise ConfigError(f"{data!r} is no answer to the third question.", fix="Answer `own` or `both`.")
    text = render_file(file.name, in_house, provider, provider_model, is_shared=data == "both")
    load_config_text(text, str(file), file.resolve().parent, {"PROVIDER_API_KEY": "not-read-here"})
    file.write_text(text, encoding="utf-8")
    out.print(f"wrote [bold]{file}[/bold]")
    if provider != "simulated":
        out.print("next: export PROVIDER_API_KEY=…")
    out.print(f"next: inhouse check {file}")
    out.print(f"next: inhouse up -c {file}")


def _ask(question: str, *, default: str) -> str:
    return str(typer.prompt(question, default=default))


def render_file(name: str, in_house: str, provider: str, provider_model: str, *, is_shared: bool) -> str:
    """The file's text for three answers."""
    model = "mid" if provider == "simulated" else provider_model
    paid = f"      paid: {{endpoint: paid/{model}}}\n" if is_shared else ""
    rules = (
        "      when:\n"
        "        - {task: reasoning, use: paid}      # clients say `x-inhouse-task: reasoning`\n"
        "        - {modality: image, use: paid}\n"
        if is_shared
        else ""
    )
    return _FILE.substitute(
        name=name,
        data_class="internal" if is_shared else "personal",
        processors="own, paid" if is_shared else "own",
        provider=_SIMULATED_PROVIDER
        if provider == "simulated"
        else _REAL_PROVIDER.substitute(url=provider.rstrip("/"), model=model),
        deployment=_render_deployment(in_house),
        paid_variant=paid,
        rules=rules,
        suite=_render_suite(in_house),
        fallback="    fallback: [paid]                        # when in-house fails before its first byte\n"
        if is_shared
        else "",
    )


def _render_suite(in_house: str) -> str:
    loss = "    allowed_loss: {worse_answers: 5%, confidence: 95%}\n"
    if in_house == "clerk":
        return f"    suite: builtin:tickets                  # your own: docs/guides/suites.md\n{loss}"
    return f"    # suite: suites/assistant.yaml           # your own test set: docs/guides/suites.md\n{loss}"


def _render_deployment(in_house: str) -> str:
    if in_house.startswith(("http://", "https://")):
        return (
            "    engine: external\n"
            f"    url: {in_house.rstrip('/')}\n"
            "    # served_model: NAME                   # the model name that this server expects\n"
        )
    if in_house == "clerk":
        return (
            "    model: clerk                          # 2 M parameters, knows support tickets only\n"
            "    engine: llamacpp\n"
            "    quantization: F16                     # F16, Q8_0, Q4_0, Q4_K, Q3_K, Q2_K\n"
        )
    return (
        f"    model: {in_house}\n"
        "    engine: llamacpp\n"
        "    context_tokens: 4096                  # of one slot\n"
        "    slots: 4                              # requests at once\n"
        "    threads: 2\n"
    )
