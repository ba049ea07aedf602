"""The one configuration file: composes every room's settings, and turns each problem into file, line, path and fix."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from pydantic import BaseModel, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from inhouse.backends.settings import ObserveSettings, ProviderSettings
from inhouse.cli.yamlfile import KeyPath, YamlFile, format_path, parse_yaml, read_yaml
from inhouse.control.settings import AdminSettings
from inhouse.domain import OWN_PROCESSOR, ConfigError, SourceLocation
from inhouse.domain.settings import Settings
from inhouse.gateway.settings import GatewaySettings
from inhouse.planning import CompanyFacts
from inhouse.reports.settings import CostsSettings, TeamSettings
from inhouse.routing.settings import RouteSettings
from inhouse.serving.settings import DeploymentSettings

_NO_EFFECT = "no_effect"


class DataClassSettings(Settings):
    """Who may see content of this class."""

    processors: frozenset[str] = Field(min_length=1)
    """`own` for the user's own machines, and names of providers."""


class KeySettings(Settings):
    """A client key of the data port."""

    key: SecretStr = Field(min_length=16)
    """The token, given as `${VARIABLE}`; at least 16 characters."""
    team: str | None = None
    """Whom its traffic is counted for."""
    routes: frozenset[str] | None = None
    """Routes that it may use; all where not given."""


class AgentSettings(Settings):
    """The host agent of this machine."""

    metrics_port: int = Field(default=8082, ge=0, le=65_535)
    """Prometheus metrics on loopback; 0 picks a free port."""


class CompanySettings(CompanyFacts):
    """What the company says of itself, for the licences of models. What is left out is not known, never assumed."""


class InhouseFile(Settings):
    """The whole file."""

    store: str | None = Field(default=None, pattern=r"^(sqlite:///|postgresql://)")
    """`sqlite:///PATH` or `postgresql://…`; SQLite in the state folder where not given."""
    state_dir: str = ".inhouse"
    """Folder of snapshots, spools, logs and the embedded store, relative to the file."""
    gateway: GatewaySettings = GatewaySettings()
    """The data port."""
    admin: AdminSettings = AdminSettings()
    """The admin port."""
    agent: AgentSettings = AgentSettings()
    """The host agent of this machine."""
    keys: dict[str, KeySettings] = Field(default_factory=dict[str, KeySettings])
    """Clients' keys by name. Without any, the data port serves this machine only, and asks for none."""
    costs: CostsSettings = CostsSettings()
    """The currency of `inhouse costs`."""
    data_classes: dict[str, DataClassSettings] = Field(min_length=1)
    """Who may see what, by name of the data class."""
    providers: dict[str, ProviderSettings] = Field(default_factory=dict[str, ProviderSettings])
    """Companies' APIs by name; their endpoints are `NAME/MODEL`."""
    deployments: dict[str, DeploymentSettings] = Field(default_factory=dict[str, DeploymentSettings])
    """Models on own machines by name; each is an endpoint."""
    routes: dict[str, RouteSettings] = Field(min_length=1)
    """Public model names that clients send."""
    team: TeamSettings = TeamSettings()
    """The people who would run the platform; decisions and reports count their time."""
    observe: ObserveSettings | None = None
    """Observe mode, see `inhouse up --observe`: in place of routes."""
    company: CompanySettings | None = None
    """Facts about the company that licences of models ask for, see `inhouse catalog licenses check`."""

    @model_validator(mode="after")
    def _check_provider_names(self) -> InhouseFile:
        if OWN_PROCESSOR in self.providers:
            raise ValueError(f"a provider cannot be called {OWN_PROCESSOR!r}: that name is the user's own machines")
        return self


class ObserveFile(InhouseFile):
    """A file of observe mode: there are no routes, and so nothing that only routes give a meaning."""

    observe: ObserveSettings | None = None
    """Where everything passes to."""
    data_classes: dict[str, DataClassSettings] = Field(default_factory=dict[str, DataClassSettings])
    """None in observe mode."""
    routes: dict[str, RouteSettings] = Field(default_factory=dict[str, RouteSettings])
    """None in observe mode."""

    @field_validator("data_classes", "routes", "providers", "deployments", "keys")
    @classmethod
    def _check_empty(cls, given: dict[str, object], info: ValidationInfo) -> dict[str, object]:
        if given:
            words = f"observe mode passes everything to one API, so that `{info.field_name}` would do nothing"
            raise PydanticCustomError(_NO_EFFECT, "{words}", {"words": words})
        return given


@dataclass(frozen=True, slots=True)
class Configuration:
    """A valid file together with where everything in it stands."""

    settings: InhouseFile
    source: YamlFile
    folder: Path

    @property
    def state_dir(self) -> Path:
        """Absolute path of the state folder."""
        return (self.folder / self.settings.state_dir).resolve()

    @property
    def store_url(self) -> str:
        """The store's URL, the embedded one where the file names none; relative SQLite paths count from the file."""
        url = self.settings.store
        if url is None:
            return f"sqlite:///{self.state_dir / 'inhouse.db'}"
        if url.startswith("sqlite:///"):
            return f"sqlite:///{(self.folder / url.removeprefix('sqlite:///')).resolve()}"
        return url

    def locate(self, path: KeyPath) -> SourceLocation:
        """Where a value stands."""
        return self.source.locate(path)


class ConfigFileError(ConfigError):
    """Every problem found in one file, in the order of its lines."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(sorted(errors, key=_line_of))
        first = self.errors[0]
        super().__init__(first.problem, fix=first.fix, location=first.location)


def load_config(path: Path, environment: Mapping[str, str] | None = None) -> Configuration:
    """Read and check a file's form (its references are checked by `check_configuration`).

    Raises:
        ConfigFileError: one or more problems of form.
        ConfigError: the file cannot be read as YAML at all, or an environment variable is missing.
    """
    return _validate(read_yaml(path, environment), path.resolve().parent)


def load_config_text(text: str, name: str, folder: Path, environment: Mapping[str, str]) -> Configuration:
    """The same for text in memory, e.g. the demonstration's built-in file."""
    return _validate(parse_yaml(text, name, environment), folder)


def _validate(source: YamlFile, folder: Path) -> Configuration:
    data = source.data
    if not _is_mapping(data):
        raise ConfigError(
            "the file does not hold a mapping of settings.",
            fix="Start from `inhouse init`.",
            location=SourceLocation(source.name, 1),
        )
    try:
        kind = ObserveFile if cast("dict[str, object]", data).get("observe") is not None else InhouseFile
        settings = kind.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=True)
        raise ConfigFileError([_explain(detail, source) for detail in details]) from None
    return Configuration(settings, source, folder)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _explain(detail: ErrorDetails, source: YamlFile) -> ConfigError:
    path = tuple(part for part in detail["loc"] if part != "[key]" and not str(part).startswith("("))  # tags of unions
    kind, context = detail["type"], detail.get("ctx", {})
    location = source.locate(path)
    if kind == "extra_forbidden":
        return ConfigError(f"there is no setting {path[-1]!r} here.", fix=_suggest_key(path), location=location)
    if kind == "missing":
        parent = format_path(path[:-1]) or "the file"
        return ConfigError(
            f"`{path[-1]}` is missing in {parent}.", fix=_missing_fix(str(path[-1]), source), location=location
        )
    if kind == "enum":
        given = str(detail["input"])
        expected = str(context.get("expected", ""))
        choices = [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]
        close = difflib.get_close_matches(given, choices, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        return ConfigError(f"{given!r} is not known here.", fix=f"{hint}Choose one of {expected}.", location=location)
    if kind == _NO_EFFECT:
        return ConfigError(f"{detail['msg']}.", fix="Remove it, or `observe:`.", location=location)
    message = detail["msg"].removeprefix("Value error, ").rstrip(".")
    shown = _show_input(detail["input"], path)
    return ConfigError(f"{message}{shown}.", fix=f"Give {_expectation(path)}.", location=location)


def _show_input(value: object, path: KeyPath) -> str:
    is_secret = any(str(part) in {"api_key", "key", "proxy", "store"} for part in path)
    if is_secret or not isinstance(value, str | int | float | bool):
        return ""
    return f" (found {value!r})"


def _missing_fix(name: str, source: YamlFile) -> str:
    if name == "data_class":
        data = cast("dict[str, object]", source.data)
        classes = data.get("data_classes")
        known = ", ".join(cast("dict[str, object]", classes)) if isinstance(classes, dict) else "none is declared yet"
        return f"Add `data_class: NAME`: it decides who may see this route's content, so it has no default ({known})."
    return f"Add `{name}:` ({_field_help(name)})."


def _field_help(name: str) -> str:
    for model in list_settings_models(InhouseFile):
        field = model.model_fields.get(name)
        if field is not None and field.description:
            return field.description.split(". ")[0].rstrip(".")
    return "see docs/reference/configuration.md"


def _suggest_key(path: KeyPath) -> str:
    model = _model_at(path[:-1])
    names = sorted(model.model_fields) if model else []
    close = difflib.get_close_matches(str(path[-1]), names, n=1)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"Remove it, or use one of: {', '.join(names)}." if names else "Remove it."


def _expectation(path: KeyPath) -> str:
    model = _model_at(path[:-1])
    field = model.model_fields.get(str(path[-1])) if model and path else None
    if field is None or not field.description:
        return "a value of the form that docs/reference/configuration.md shows"
    return f"a value for `{path[-1]}`: {field.description.split('. ')[0].rstrip('.')}"


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    """The settings model that validates the mapping at `path`."""
    model: type[BaseModel] | None = InhouseFile
    is_map_of_models = False
    for part in path:
        if is_map_of_models or isinstance(part, int):
            is_map_of_models = False
            continue
        field = model.model_fields.get(part) if model else None
        if field is None:
            return None
        model = _model_in(field.annotation)
        is_map_of_models = "dict[" in str(field.annotation)
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def list_settings_models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and every model below it, each once."""
    found = [model]
    for field in model.model_fields.values():
        child = _model_in(field.annotation)
        if child is not None:
            found.extend(known for known in list_settings_models(child) if known not in found)
    return found


def _line_of(error: ConfigError) -> int:
    return (error.location.line if error.location else None) or 0
