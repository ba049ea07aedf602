"""A broken file gives file, line, path and fix; a good one gives what it says."""

from decimal import Decimal
from pathlib import Path

import pytest

from inhouse.cli.config import ConfigFileError, Configuration, load_config, load_config_text
from inhouse.cli.init import render_file
from inhouse.cli.yamlfile import format_path, parse_path
from inhouse.domain import CaptureMode, ConfigError

GOOD = """\
data_classes:
  internal: {processors: [own, sim]}
providers:
  sim:
    simulated: {error_rate: 3%}
    discount: 12%
    models: {mid: {modalities: [text, image]}}
deployments:
  clerk: {model: clerk}
routes:
  triage:
    data_class: internal
    variants:
      in-house: {endpoint: clerk}
      api: {endpoint: sim/mid}
    use: {default: in-house, when: [{task: reasoning, use: api}]}
    fallback: [api]
    capture: {content: sampled 2%}
    allowed_loss: {worse_answers: 5%}
keys:
  app: {key: "${APP_KEY}"}
"""
ENVIRONMENT = {"APP_KEY": "0123456789abcdef-secret"}


def load(text: str, environment: dict[str, str] | None = None) -> Configuration:
    return load_config_text(text, "inhouse.yaml", Path("/srv"), ENVIRONMENT if environment is None else environment)


def test_a_good_file_says_what_it_says() -> None:
    settings = load(GOOD).settings

    assert settings.providers["sim"].discount == Decimal("0.12")
    assert settings.routes["triage"].capture.content is CaptureMode.SAMPLED
    assert settings.routes["triage"].capture.share == Decimal("0.02")
    assert settings.routes["triage"].use.when[0].task == "reasoning"
    assert settings.keys["app"].key.get_secret_value() == ENVIRONMENT["APP_KEY"]


def test_a_key_never_shows_in_the_settings_text() -> None:
    assert "0123456789abcdef" not in repr(load(GOOD).settings)


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "words"),
    [
        ("{model: clerk}", "{model: clerk, engine: vlm}", 9, "deployments.clerk.engine", "'vlm' is not known here"),
        ("{model: clerk}", "{model: clerk, slotz: 2}", 9, "deployments.clerk.slotz", "Did you mean `slots`?"),
        ("{model: clerk}", "{model: clerk, slots: many}", 9, "deployments.clerk.slots", "valid integer"),
        ("{model: clerk}", "{model: clerk, replicas: {max: 3}}", 9, "deployments.clerk.replicas", "do not scale"),
        ("    data_class: internal\n", "", 11, "routes.triage.data_class", "Add `data_class: NAME`"),
        ("fallback: [api]", "fallback: api", 17, "routes.triage.fallback", "tuple"),
        ("sampled 2%", "sampled", 18, "routes.triage.capture", "`sampled` needs a share"),
        ("discount: 12%", "discount: 120%", 6, "providers.sim.discount", "less than 1"),
        ("discount: 12%", "discount: twelve%", 6, "providers.sim.discount", "decimal"),
        ("error_rate: 3%", "errors: 3%", 5, "providers.sim.simulated.errors", "error_rate"),
        ("  sim:\n    simulated", "  own:\n    simulated", 1, "", "cannot be called 'own'"),
    ],
)
def test_a_broken_value_is_named_with_line_path_and_fix(old: str, new: str, line: int, path: str, words: str) -> None:
    assert old in GOOD

    with pytest.raises(ConfigFileError) as caught:
        load(GOOD.replace(old, new))

    (error,) = caught.value.errors
    assert error.location is not None
    assert (error.location.file, error.location.line, error.location.path) == ("inhouse.yaml", line, path)
    assert words in f"{error.problem} {error.fix}"
    assert error.fix


def test_a_short_key_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigFileError) as caught:
        load(GOOD, {"APP_KEY": "hunter2"})

    assert "keys.app.key" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "path", "words"),
    [
        ("api_key: {fil: s3cret}", "api_key.fil", "there is no setting 'fil' here. Did you mean `file`?"),
        ("api_key: {file: a, command: [s3cret]}", "api_key", "give `file` or `command`, one of the two."),
        ("api_key: 5", "api_key", "Input should be a valid string."),
        ("api_key: [{file: a}, {file: s3cret, refresh_s: 0}]", "api_key[1].refresh_s", "greater than or equal to 1."),
        ("network: {proxy: 'https://me:s3cret@proxy:1'}", "network.proxy", "String should match pattern"),
    ],
)
def test_a_key_or_proxy_of_no_known_form_gives_one_error_that_does_not_show_it(
    line: str, path: str, words: str
) -> None:
    with pytest.raises(ConfigFileError) as caught:
        load(GOOD.replace("    discount: 12%", f"    {line}"))

    (error,) = caught.value.errors
    assert error.location is not None
    assert (error.location.line, error.location.path) == (6, f"providers.sim.{path}")
    assert words in f"{error.problem} {error.fix}"
    assert "s3cret" not in str(error)


def test_a_missing_variable_is_named_with_its_place() -> None:
    with pytest.raises(
        ConfigError, match=r"inhouse.yaml:21: keys.app.key: the environment variable APP_KEY is not set"
    ):
        load(GOOD, {})


def test_a_variable_may_have_a_default() -> None:
    configuration = load(GOOD.replace("${APP_KEY}", "${APP_KEY:-fallback-key-0123456789}"), {})

    assert configuration.settings.keys["app"].key.get_secret_value() == "fallback-key-0123456789"


def test_several_problems_come_in_the_order_of_their_lines() -> None:
    broken = GOOD.replace("{model: clerk}", "{modle: clerk}").replace("discount: 12%", "discount: x")

    with pytest.raises(ConfigFileError) as caught:
        load(broken)

    assert [error.location.line for error in caught.value.errors if error.location] == [6, 9]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1, 2", "inhouse.yaml:1: this is not YAML"),
        ("a:\n\tb: 1\n", "inhouse.yaml:2: this is not YAML"),
        ("- a\n", "does not hold a mapping"),
        ("", "does not hold a mapping"),
        ("routes: {}\nroutes: {}\n", "inhouse.yaml:2: routes: the key 'routes' stands twice"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)

    assert words in str(caught.value)


def test_anchors_and_merge_keys_work() -> None:
    text = GOOD.replace("{model: clerk}", "&base {model: clerk, slots: 2}\n  other: {<<: *base, slots: 3}")

    deployments = load(text).settings.deployments

    assert (deployments["clerk"].slots, deployments["other"].slots, deployments["other"].model) == (2, 3, "clerk")


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="inhouse init"):
        load_config(tmp_path / "none.yaml", {})


def test_the_store_url_counts_from_the_file() -> None:
    assert load(GOOD).store_url == "sqlite:////srv/.inhouse/inhouse.db"
    assert load("store: sqlite:///x.db\n" + GOOD).store_url == "sqlite:////srv/x.db"
    assert load("store: postgresql://db/x\n" + GOOD).store_url == "postgresql://db/x"


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("provider", ["simulated", "https://api.example.com/v1"])
@pytest.mark.parametrize("in_house", ["clerk", "/models/a.gguf", "http://gpu-box:8000/v1"])
def test_every_answer_to_init_gives_a_file_that_loads(in_house: str, provider: str, is_shared: bool) -> None:
    text = render_file("inhouse.yaml", in_house, provider, "gpt-mid", is_shared=is_shared)

    route = load(text, {"PROVIDER_API_KEY": "k"}).settings.routes["assistant"]

    assert set(route.variants) == ({"in-house", "paid"} if is_shared else {"in-house"})


def test_paths_read_back() -> None:
    path = ("routes", "my-route", "use", "when", 0, "task")

    assert parse_path(format_path(path)) == path
