"""`inhouse import litellm`: every key has one fate, no secret is copied, and what is written says the same."""

import io
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from cli.shell import run
from inhouse.catalog import load_price_book
from inhouse.cli.config import Configuration, load_config_text
from inhouse.cli.litellm import (
    Imported,
    Line,
    Outcome,
    import_litellm,
    list_all_keys,
    render_markdown,
    render_report,
)
from inhouse.cli.litellm.providers import Call, load_table
from inhouse.control import check_references
from inhouse.domain import AuthScheme, Dialect, EngineKind, FallbackCause, InhouseError, Modality

DATA = Path(__file__).parent / "data" / "litellm"
DOCUMENTED: dict[str, list[str]] = yaml.safe_load((DATA / "documented_keys.yaml").read_text())
PRICES = load_price_book()
URL = "https://not-called.example/v1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inhouse.cli.terminal.out._width", 200)
    monkeypatch.setattr("inhouse.cli.terminal.err._width", 200)
    return tmp_path


def imported(folder: Path, config: str | dict[str, Any], *models: str) -> Imported:
    path = folder / "config.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))
    return import_litellm(path, out_name="inhouse.yaml", models=models)


def load(result: Imported, folder: Path) -> Configuration:
    """Load what was written with every variable set, and check every name in it (files and programs may be missing)."""
    assert result.text is not None
    environment = {name: URL if is_address else "x" * 16 for name, is_address in result.variables.items()}
    configuration = load_config_text(result.text, "inhouse.yaml", folder, environment)
    written = configuration.settings
    problems = check_references(
        routes=written.routes,
        deployments=written.deployments,
        providers=written.providers,
        data_classes={name: one.processors for name, one in written.data_classes.items()},
        price_book=PRICES,
    )
    assert [problem for problem in problems if not problem.is_warning or "takes no traffic" in problem.problem] == []
    return configuration


def fates(result: Imported) -> dict[str, Line]:
    """Lines by the last parts of their path."""
    return {line.location.path.split("].", 1)[-1]: line for line in result.lines}


def model(name: str, target: str, **params: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": target, **params}}


def shown(result: Imported) -> str:
    """Everything that a user could see of a result."""
    console = Console(file=io.StringIO(), width=200)
    console.print(render_report(result.lines))
    assert isinstance(console.file, io.StringIO)
    report = render_markdown(result.lines, source="config.yaml", written="inhouse.yaml")
    return console.file.getvalue() + report + (result.text or "")


# --- the whole path ---


def test_a_grown_configuration_becomes_exactly_this_file(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config.yaml").write_text((DATA / "company.yaml").read_text())

    code, out, err = run(capsys, monkeypatch, "import", "litellm", "config.yaml", "--report", "report.md")

    assert (code, err) == (0, "")
    assert (folder / "inhouse.yaml").read_text() == (DATA / "company.inhouse.yaml").read_text()
    assert "carried 34 · changed 10 · dropped 18 · unknown 1 · needs you 5" in out
    assert "next: export AZURE_API_KEY_EU=… AZURE_API_KEY_US=… OPENAI_API_KEY_GPT_4O=…" in out
    assert "undo: rm inhouse.yaml" in out
    report = (folder / "report.md").read_text()
    assert "| config.yaml:53 | `router_settings.enable_pre_call_cheks` |" in report
    assert report.index("## Needs you") < report.index("## Dropped") < report.index("## Carried")


def test_the_written_file_passes_the_check_once_its_variables_are_set(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, monkeypatch, "import", "litellm", str(DATA / "company.yaml"))
    unset, _, missing = run(capsys, monkeypatch, "check")
    for name in ("AZURE_API_KEY_EU", "AZURE_API_KEY_US", "OPENAI_API_KEY_GPT_4O", "OPENAI_API_KEY",
                 "ANTHROPIC_API_KEY", "LITELLM_MASTER_KEY"):  # fmt: skip
        monkeypatch.setenv(name, "0123456789abcdef")

    code, out, _ = run(capsys, monkeypatch, "check")

    assert unset == 2
    assert "the environment variable AZURE_API_KEY_EU is not set" in missing
    assert code == 0
    assert "6 routes, 0 deployments, 5 providers, 1 key" in out


@pytest.mark.parametrize("existing", ["inhouse.yaml", "report.md"])
def test_an_existing_file_is_written_over_only_when_forced(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, existing: str
) -> None:
    (folder / existing).write_text("mine")
    command = ("import", "litellm", str(DATA / "company.yaml"), "--report", "report.md")

    refused, _, err = run(capsys, monkeypatch, *command)
    untouched = (folder / existing).read_text()
    forced, _, _ = run(capsys, monkeypatch, *command, "--force")

    assert (refused, untouched, forced) == (2, "mine", 0)
    assert f"{existing} exists already" in err
    assert "mine" not in (folder / existing).read_text()


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("model_list:\n  - model_name: [a\n", "config.yaml:3", "this is not YAML"),
        ("- a\n- b\n", "config.yaml:1", "does not hold a mapping"),
        ("litellm_settings: {}\n", "config.yaml:1", "no `model_list`"),
        ("\nmodel_list: {a: b}\n", "config.yaml:2: model_list", "is no list"),
        ("model_list:\n  - gpt-4o\n", "config.yaml:2: model_list[0]", "this is no model"),
        ("model_list:\n  - litellm_params: {model: gpt-4o}\n", "config.yaml:2: model_list[0]", "no `model_name`"),
        ("model_list:\n- model_name: a\n  litellm_params:\n  model: b\n", "config.yaml:3", "no `litellm_params.model`"),
        ("model_list: []\nmodel_list: []\n", "config.yaml:2: model_list", "stands twice"),
        ("include: [gone.yaml]\nmodel_list: []\n", "config.yaml:1: include[0]", "there is no file gone.yaml"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    text: str, place: str, problem: str,
) -> None:  # fmt: skip
    (folder / "config.yaml").write_text(text)

    code, _, err = run(capsys, monkeypatch, "import", "litellm", "config.yaml")

    assert code == 2
    assert place in err
    assert problem in err
    assert "fix: " in err
    assert not (folder / "inhouse.yaml").exists()


def test_every_mistake_of_form_is_told_at_once(folder: Path) -> None:
    with pytest.raises(InhouseError) as refused:
        imported(folder, "model_list:\n  - model_name: a\n  - litellm_params: {model: x}\n")

    assert [error.location.line for error in refused.value.errors] == [2, 3]  # type: ignore[attr-defined]


def test_a_file_of_which_nothing_can_be_carried_writes_the_report_and_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump({"model_list": [model("t", "bedrock/amazon.titan")]}))

    code, out, err = run(capsys, monkeypatch, "import", "litellm", "config.yaml", "--report", "r.md")

    assert code == 2
    assert "Bedrock wants AWS-signed requests" in out
    assert "nothing in this file can be carried" in err
    assert "nothing could be written" in (folder / "r.md").read_text()
    assert not (folder / "inhouse.yaml").exists()


# --- every key has its fate ---


def every_documented_key(value: Any) -> dict[str, Any]:
    """A configuration that sets each documented key, on a model that is carried and on one that is left out."""
    params = dict.fromkeys(DOCUMENTED["litellm_params"], value)
    info = dict.fromkeys(DOCUMENTED["model_info"], value)
    fixed = {"model": "openai/gpt-4o", "custom_llm_provider": "openai", "mock_response": None}
    names = {"model_name": "a"}
    return {
        "model_list": [
            {**names, "litellm_params": {**params, **fixed}, "model_info": {**info, "mode": "chat"}},
            {
                **names,
                "litellm_params": {**params, "model": "bedrock/x", "custom_llm_provider": None},
                "model_info": info,
            },
        ],
        **{
            section: dict.fromkeys(DOCUMENTED[section], value)
            for section in ("router_settings", "litellm_settings", "general_settings")
        },
        **dict.fromkeys(DOCUMENTED["top"], value),
        "environment_variables": {"A": value},
        "credential_list": [{"credential_name": "c", "credential_values": {"api_key": value}, "credential_info": {}}],
    }


def assert_one_line_each(result: Imported, path: Path) -> None:
    """Every key that the file has is in the report once."""
    keys = Counter((item.source.name, item.place, item.location.path) for item in list_all_keys(path))
    lines = Counter((line.location.file, line.place, line.location.path) for line in result.lines)
    lines.subtract(Counter({key: 1 for key in lines if key[2] == "model_list"}))  # the question about data classes
    assert +lines == keys


@pytest.mark.parametrize("value", ["text", 3, 0, True, False, None, ["a"], {"b": "c"}, "os.environ/SOME_NAME", "7", -1])
def test_every_documented_key_has_exactly_one_line_and_none_is_unknown(folder: Path, value: Any) -> None:
    result = imported(folder, every_documented_key(value))

    assert_one_line_each(result, folder / "config.yaml")
    assert [line for line in result.lines if line.outcome is Outcome.UNKNOWN] == []
    load(result, folder)


def test_every_line_says_something_and_changed_lines_name_what_differs(folder: Path) -> None:
    result = imported(folder, every_documented_key(3))

    assert [line for line in result.lines if len(line.words) < 10 or not line.words.endswith((".", ")", "?"))] == []
    assert {line.outcome for line in result.lines} == {
        Outcome.CARRIED, Outcome.CHANGED, Outcome.DROPPED, Outcome.NEEDS_YOU,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("section", "key", "meant"),
    [("litellm_params", "tempreature", "temperature"), ("model_info", "suports_vision", "supports_vision"),
     ("router_settings", "fallback", "fallbacks"), ("litellm_settings", "drop_param", "drop_params"),
     ("general_settings", "masterkey", "master_key"), ("general_settings", "qqq", None)],
)  # fmt: skip
def test_an_unknown_key_is_said_never_ignored(folder: Path, section: str, key: str, meant: str | None) -> None:
    entry: dict[str, Any] = {**model("a", "gpt-4o"), "model_info": {}}
    config: dict[str, Any] = {"model_list": [entry]}
    holder = entry if section in {"litellm_params", "model_info"} else config
    holder.setdefault(section, {})[key] = 1

    unknown = [line for line in imported(folder, config).lines if line.outcome is Outcome.UNKNOWN]

    assert [line.location.path.rsplit(".", 1)[-1] for line in unknown] == [key]
    assert unknown[0].words.endswith(f"Is `{meant}` meant?" if meant else "or newer than this version.")


def test_an_unknown_section_is_one_unknown_key(folder: Path) -> None:
    result = imported(folder, {"model_list": [model("a", "gpt-4o")], "litelm_settings": {"a": 1}})

    assert fates(result)["litelm_settings"].outcome is Outcome.UNKNOWN


def test_what_is_off_is_not_called_lost(folder: Path) -> None:
    settings_ = {"cache": False, "drop_params": False, "success_callback": [], "max_budget": 0, "set_verbose": "false"}
    result = imported(folder, {"model_list": [model("a", "gpt-4o")], "litellm_settings": settings_})

    assert {fates(result)[f"litellm_settings.{key}"].outcome for key in settings_} == {Outcome.CARRIED}


# --- secrets ---


COPIED = {
    "id", "tags", "api_version", "model_group_alias", "fallbacks", "default_fallbacks", "context_window_fallbacks",
    "content_policy_fallbacks", "mode", "ssl_verify",
}  # fmt: skip
"""Keys whose values are names that the written file or the report may repeat."""


def test_no_value_of_any_other_key_is_ever_shown(folder: Path) -> None:
    """Whatever somebody put where: only names of models, tags and files are repeated."""
    marker = "sk-marked-9f8e7d6c"
    config = every_documented_key(marker)
    for part in (*config["model_list"], config["router_settings"], config["litellm_settings"]):
        for where in (part, part.get("litellm_params", {}), part.get("model_info", {})):
            where.update({key: "fine" for key in COPIED if key in where and where[key] == marker})

    result = imported(folder, config)

    assert marker not in shown(result)
    assert marker not in repr(result)


def test_a_literal_secret_becomes_a_variable_that_the_user_is_told_to_export(folder: Path) -> None:
    result = imported(folder, {
        "model_list": [
            model("a", "gpt-4o", api_key="sk-first-secret"),
            model("b", "gpt-4o-mini", api_key="sk-first-secret"),
            model("c", "gpt-4o", api_key="sk-second-secret"),
            model("d", "anthropic/claude-sonnet-5", api_key="os.environ/TEAM_KEY"),
        ],
        "general_settings": {"master_key": "sk-master-secret"},
    })  # fmt: skip

    providers = load(result, folder).settings.providers
    assert list(result.variables) == ["OPENAI_API_KEY", "OPENAI_API_KEY_C", "TEAM_KEY", "LITELLM_MASTER_KEY"]
    assert {name: sorted(provider.models) for name, provider in providers.items()} == {
        "openai": ["gpt-4o", "gpt-4o-mini"], "openai-c": ["gpt-4o"], "anthropic": ["claude-sonnet-5"],
    }  # fmt: skip
    assert [provider.price_book for provider in providers.values()] == [None, "openai", None]
    needs = [line for line in result.lines if line.outcome is Outcome.NEEDS_YOU and "Export it as" in line.words]
    assert [line.location.line for line in needs] == [5, 9, 13, 19]
    assert "sk-" not in shown(result)


def test_a_literal_never_takes_the_name_of_a_variable_that_means_another_key(folder: Path) -> None:
    """`b` has no key, so LiteLLM takes OPENAI_API_KEY for it; `a` has one of its own."""
    result = imported(folder, {"model_list": [model("a", "gpt-4o", api_key="sk-own"), model("b", "gpt-4o-mini")]})

    assert list(result.variables) == ["OPENAI_API_KEY_A", "OPENAI_API_KEY"]


def test_an_address_with_a_login_or_a_placeholder_is_not_copied(folder: Path) -> None:
    result = imported(folder, {"model_list": [
        model("a", "openai/m", api_base="https://user:pw-secret@llm.example/v1", api_key="none"),
        model("b", "azure/m", api_base="https://x.azure.com?api-key=q-secret", api_key="os.environ/K"),
        model("c", "hosted_vllm/m", api_base="your-vllm-url"),
    ]})  # fmt: skip

    assert "secret" not in shown(result).replace("The secret stands", "")
    assert [name for name, is_address in result.variables.items() if is_address] == [
        "OPENAI_API_BASE", "AZURE_API_BASE", "HOSTED_VLLM_API_BASE",
    ]  # fmt: skip
    assert fates(result)["litellm_params.api_base"].outcome is Outcome.NEEDS_YOU
    load(result, folder)


@pytest.mark.parametrize("placeholder", ["none", "EMPTY", "dummy", "", "anything"])
def test_a_placeholder_is_no_key(folder: Path, placeholder: str) -> None:
    result = imported(folder, {"model_list": [
        model("a", "hosted_vllm/m", api_base="http://10.1.2.3:8000/v1", api_key=placeholder),
    ]})  # fmt: skip

    provider = load(result, folder).settings.providers["vllm"]
    assert (provider.api_key, provider.engine, provider.network.private) == (None, EngineKind.VLLM, True)


def test_environment_variables_are_followed_and_never_copied(folder: Path) -> None:
    result = imported(folder, {
        "model_list": [model("a", "gpt-4o"), model("b", "groq/llama", api_key="os.environ/MY_GROQ")],
        "environment_variables": {
            "OPENAI_API_KEY": "sk-in-the-file", "MY_GROQ": "os.environ/TEAM_GROQ", "REDIS_HOST": "cache",
        },
    })  # fmt: skip

    assert list(result.variables) == ["OPENAI_API_KEY", "TEAM_GROQ"]
    lines = fates(result)
    assert lines["environment_variables.OPENAI_API_KEY"].outcome is Outcome.NEEDS_YOU
    assert lines["environment_variables.MY_GROQ"].outcome is Outcome.CARRIED
    assert lines["environment_variables.REDIS_HOST"].outcome is Outcome.DROPPED
    assert "sk-in-the-file" not in shown(result)


# --- providers ---


@pytest.mark.parametrize(
    ("target", "params", "name", "dialect", "base_url", "upstream", "variables"),
    [
        ("gpt-4o", {}, "openai", "openai", "https://api.openai.com/v1", "gpt-4o", ["OPENAI_API_KEY"]),
        ("openai/responses/gpt-5", {}, "openai", "openai", "https://api.openai.com/v1", "gpt-5", ["OPENAI_API_KEY"]),
        ("claude-sonnet-5", {}, "anthropic", "anthropic", "https://api.anthropic.com/v1", "claude-sonnet-5",
         ["ANTHROPIC_API_KEY"]),
        ("anthropic/claude-opus-5", {"api_base": "https://proxy.example/v1/messages"}, "proxy", "anthropic",
         "https://proxy.example/v1", "claude-opus-5", ["ANTHROPIC_API_KEY"]),
        ("azure/eu-4o", {"api_base": "https://x.openai.azure.com/openai/deployments/eu-4o/"}, "azure", "azure_openai",
         "https://x.openai.azure.com", "eu-4o", ["AZURE_API_KEY"]),
        ("azure/eu-4o", {}, "azure", "azure_openai", URL, "eu-4o", ["AZURE_API_BASE", "AZURE_API_KEY"]),
        ("groq/llama-3.3-70b", {}, "groq", "openai", "https://api.groq.com/openai/v1", "llama-3.3-70b",
         ["GROQ_API_KEY"]),
        ("together_ai/meta-llama/Llama-3-70b", {}, "together", "openai", "https://api.together.xyz/v1",
         "meta-llama/Llama-3-70b", ["TOGETHERAI_API_KEY"]),
        ("deepinfra/a/b", {}, "deepinfra", "openai", "https://api.deepinfra.com/v1/openai", "a/b",
         ["DEEPINFRA_API_KEY"]),
        ("fireworks_ai/llama-8b", {}, "fireworks", "openai", "https://api.fireworks.ai/inference/v1",
         "accounts/fireworks/models/llama-8b", ["FIREWORKS_API_KEY"]),
        ("mistral/mistral-small", {}, "mistral", "openai", "https://api.mistral.ai/v1", "mistral-small",
         ["MISTRAL_API_KEY"]),
        ("deepseek/deepseek-chat", {}, "deepseek", "openai", "https://api.deepseek.com/v1", "deepseek-chat",
         ["DEEPSEEK_API_KEY"]),
        ("openrouter/openai/gpt-4o", {}, "openrouter", "openai", "https://openrouter.ai/api/v1", "openai/gpt-4o",
         ["OPENROUTER_API_KEY"]),
        ("xai/grok-4", {}, "xai", "openai", "https://api.x.ai/v1", "grok-4", ["XAI_API_KEY"]),
        ("perplexity/sonar", {}, "perplexity", "openai", "https://api.perplexity.ai", "sonar",
         ["PERPLEXITYAI_API_KEY"]),
        ("gemini/gemini-2.5-flash", {}, "google", "openai", "https://generativelanguage.googleapis.com/v1beta/openai",
         "gemini-2.5-flash", ["GEMINI_API_KEY"]),
        ("ollama/llama3:8b", {}, "ollama", "openai", "http://localhost:11434/v1", "llama3:8b", []),
        ("ollama_chat/q", {"api_base": "http://0.0.0.0:11434/"}, "ollama", "openai", "http://127.0.0.1:11434/v1", "q",
         []),
        ("hosted_vllm/org/m", {"api_base": "http://gpu-box:8000/v1/"}, "vllm", "openai", "http://gpu-box:8000/v1",
         "org/m", []),
        ("openai/org/m", {"api_base": "https://llm.acme.example/v1", "api_key": "os.environ/K"}, "llm", "openai",
         "https://llm.acme.example/v1", "org/m", ["K"]),
        ("litellm_proxy/m", {"api_base": "http://litellm:4000"}, "litellm", "openai", "http://litellm:4000", "m",
         ["LITELLM_PROXY_API_KEY"]),
        ("m", {"custom_llm_provider": "hosted_vllm", "api_base": "os.environ/BOX"}, "vllm", "openai", URL, "m",
         ["BOX"]),
    ],
)  # fmt: skip
def test_a_model_string_becomes_a_provider_at_its_documented_address(
    folder: Path, target: str, params: dict[str, Any], name: str, dialect: str, base_url: str, upstream: str,
    variables: list[str],
) -> None:  # fmt: skip
    result = imported(folder, {"model_list": [model("a", target, **params)]})

    configuration = load(result, folder)
    provider = configuration.settings.providers[name]
    assert provider.dialect is Dialect(dialect)
    assert provider.base_url == base_url
    assert list(provider.models) == [upstream]
    assert sorted(result.variables) == sorted(variables)
    assert configuration.settings.routes["a"].variants[name].endpoint == f"{name}/{upstream}"
    assert configuration.settings.data_classes["unclassified"].processors == {name}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("bedrock/anthropic.claude", "AWS-signed"),
        ("vertex_ai/gemini-2.5-pro", "Google-signed"),
        ("gemini-2.5-pro", "Google-signed"),
        ("sagemaker/x", "AWS-signed"),
        ("cohere/command-r", "compatibility/v1"),
        ("azure_ai/x", "services.ai.azure.com"),
        ("huggingface/org/m", "engine: tgi"),
        ("auto_router/x", "use: when:"),
        ("wonder/x", "Which API is this? inhouse knows no provider `wonder/`"),
        ("wonder", "Which API is this? inhouse knows no provider of LiteLLM"),
    ],
)
def test_what_cannot_be_called_is_left_out_with_what_to_do(folder: Path, target: str, words: str) -> None:
    result = imported(folder, {"model_list": [model("a", target, api_key="sk-x", rpm=3), model("b", "gpt-4o")]})

    assert list(load(result, folder).settings.routes) == ["b"]
    left = next(line for line in result.lines if line.location.path == "model_list[0].litellm_params.model")
    assert words in left.words
    assert left.outcome is (Outcome.NEEDS_YOU if words.startswith("Which") else Outcome.DROPPED)
    assert next(line for line in result.lines if line.location.path.endswith("rpm")).words.startswith("Left out with")


@pytest.mark.parametrize(
    "mode", ["image_generation", "audio_transcription", "audio_speech", "rerank", "realtime", "batch"]
)
def test_models_of_calls_that_are_not_served_are_left_out(folder: Path, mode: str) -> None:
    left_out = {**model("a", "gpt-4o"), "model_info": {"mode": mode}}

    result = imported(folder, {"model_list": [left_out, model("b", "gpt-4o")]})

    assert list(load(result, folder).settings.routes) == ["b"]


def test_blocked_and_mocked_models_are_left_out(folder: Path) -> None:
    """A mocked model would cost real money here."""
    blocked = {**model("a", "gpt-4o"), "model_info": {"blocked": True}}

    result = imported(folder, {"model_list": [blocked, model("b", "gpt-4o", mock_response="hi"), model("c", "gpt-4o")]})

    assert list(load(result, folder).settings.routes) == ["c"]


def test_every_row_of_the_provider_table_is_whole() -> None:
    for prefix, row in load_table().providers.items():
        assert bool(row.why) == (row.call is Call.NO), prefix
        assert row.base_url is None or row.base_url.startswith("http"), prefix
        assert row.call is Call.NO or row.own or row.base_url or row.base or prefix in {"custom_openai", "openai_like"}


def test_azure_keeps_its_version_and_its_entra_login(folder: Path) -> None:
    base = "https://x.openai.azure.com"
    result = imported(folder, {"model_list": [
        model("key", "azure/d", api_base=base, api_key="os.environ/K", api_version="2024-10-21"),
        model("date", "azure/d2", api_base=base, api_key="os.environ/K", api_version="2024-10-21"),
        model("v1", "azure/d", api_base=base, api_key="os.environ/K", api_version="preview"),
        model("token", "azure/d", api_base=base, azure_ad_token="os.environ/TOKEN"),
        model("login", "azure/d", api_base=base, tenant_id="t", client_id="c", client_secret="very-secret"),
    ]})  # fmt: skip

    settings_ = load(result, folder).settings
    found = {name: (str(p.api_version), p.auth, sorted(p.models)) for name, p in settings_.providers.items()}
    assert found == {
        "azure": ("2024-10-21", None, ["d", "d2"]),
        "azure-x": ("None", None, ["d"]),
        "azure-token": ("None", AuthScheme.BEARER, ["d"]),
        "azure-2": ("None", AuthScheme.BEARER, ["d"]),
    }
    assert result.text is not None
    assert "command: [az, account, get-access-token" in result.text
    assert "very-secret" not in shown(result)
    assert fates(result)["litellm_params.azure_ad_token"].outcome is Outcome.NEEDS_YOU


def test_a_credential_is_written_at_the_providers_that_name_it(folder: Path) -> None:
    result = imported(folder, {
        "model_list": [
            model("a", "azure/d", litellm_credential_name="eu"),
            model("b", "gpt-4o", litellm_credential_name="gone"),
        ],
        "credential_list": [
            {"credential_name": "eu", "credential_values": {"api_key": "os.environ/EU_KEY",
             "api_base": "https://eu.azure.com", "api_version": "2024-10-21"}, "credential_info": {"d": "x"}},
            {"credential_name": "other", "credential_values": {"api_key": "sk-x"}, "credential_info": {}},
        ],
    })  # fmt: skip

    azure = load(result, folder).settings.providers["azure"]
    assert (azure.base_url, azure.api_version) == ("https://eu.azure.com", "2024-10-21")
    lines = fates(result)
    assert lines["litellm_params.litellm_credential_name"].outcome is Outcome.NEEDS_YOU
    assert lines["credential_name"].outcome is Outcome.DROPPED
    assert list(result.variables) == ["EU_KEY", "OPENAI_API_KEY"]


def test_the_file_s_own_authorities_and_discounts_are_carried(folder: Path) -> None:
    result = imported(folder, {
        "model_list": [model("a", "groq/m"), model("b", "gpt-4o")],
        "litellm_settings": {"ssl_verify": "/etc/ca.pem", "cost_discount_config": {"groq": 0.125, "gone": 0.5}},
    })  # fmt: skip

    providers = load(result, folder).settings.providers
    assert {p.network.ca_file for p in providers.values()} == {"/etc/ca.pem"}
    assert {name: p.discount for name, p in providers.items()} == {"groq": Decimal("0.125"), "openai": Decimal(0)}


# --- several deployments ---


def test_one_model_at_several_addresses_becomes_regions(folder: Path) -> None:
    result = imported(folder, {"model_list": [
        model("a", "azure/d", api_base="https://acme-eu.openai.azure.com", api_key="os.environ/EU"),
        model("a", "azure/d", api_base="https://acme-us.openai.azure.com", api_key="os.environ/US"),
        model("a", "azure/d", api_base="https://acme-us.openai.azure.com", api_key="os.environ/US2"),
    ]})  # fmt: skip

    assert result.text is not None
    assert '      eu: {base_url: "https://acme-eu.openai.azure.com", api_key: "${EU}"}\n' in result.text
    assert '      us: {base_url: "https://acme-us.openai.azure.com", api_key: ["${US}", "${US2}"]}\n' in result.text
    settings_ = load(result, folder).settings
    assert list(settings_.providers) == ["azure"]
    assert settings_.routes["a"].fallback == ()
    assert {line.outcome for line in result.lines if line.location.path.endswith("model_name")} == {Outcome.CARRIED}


def test_regions_that_the_file_names_stay_apart(folder: Path) -> None:
    """So that a data class can admit one of them only."""
    result = imported(folder, {"model_list": [
        model("a", "azure/d", api_base="https://acme-eu.azure.com", api_key="os.environ/EU", region_name="eu"),
        model("a", "azure/d", api_base="https://acme-us.azure.com", api_key="os.environ/US", region_name="us"),
    ]})  # fmt: skip

    settings_ = load(result, folder).settings
    assert list(settings_.providers) == ["azure", "azure-acme-us"]
    assert settings_.routes["a"].fallback == ("azure-acme-us",)


def test_several_keys_of_one_address_are_used_in_turn(folder: Path) -> None:
    result = imported(folder, {"model_list": [
        model("a", "gpt-4o", api_key="os.environ/K1"), model("a", "gpt-4o", api_key="os.environ/K2"),
    ]})  # fmt: skip

    assert result.text is not None
    assert '    api_key: ["${K1}", "${K2}"]\n' in result.text
    assert list(load(result, folder).settings.providers) == ["openai"]


def test_different_models_of_one_name_stand_in_for_each_other_the_heaviest_first(folder: Path) -> None:
    result = imported(folder, {"model_list": [
        model("a", "gpt-4o", weight=1), model("a", "groq/llama", weight=9), model("a", "claude-sonnet-5", rpm=5),
    ]})  # fmt: skip

    route = load(result, folder).settings.routes["a"]
    assert (route.use.default, route.fallback) == ("groq", ("anthropic", "openai"))
    named = {line.location.path: line for line in result.lines}
    for index, words in enumerate(["groq/llama serves and this one stands in", "this one serves", "groq/llama serves"]):
        assert named[f"model_list[{index}].model_name"].outcome is Outcome.CHANGED
        assert words in named[f"model_list[{index}].model_name"].words
    assert "does not split traffic by weight" in named["model_list[1].litellm_params.weight"].words


def test_the_lowest_order_serves_and_those_without_one_stand_last(folder: Path) -> None:
    result = imported(folder, {"model_list": [
        model("a", "gpt-4o"), model("a", "groq/llama", order=2), model("a", "claude-sonnet-5", order=1),
    ]})  # fmt: skip

    route = load(result, folder).settings.routes["a"]
    assert (route.use.default, route.fallback) == ("anthropic", ("groq", "openai"))
    assert fates(result)["litellm_params.order"].outcome is Outcome.CARRIED


def test_addresses_of_different_order_are_no_regions(folder: Path) -> None:
    result = imported(folder, {"model_list": [
        model("a", "azure/d", api_base="https://one.azure.com", api_key="os.environ/K", order=1),
        model("a", "azure/d", api_base="https://two.azure.com", api_key="os.environ/K", order=2),
    ]})  # fmt: skip

    route = load(result, folder).settings.routes["a"]
    assert (route.use.default, route.fallback) == ("azure", ("azure-two",))


def test_tags_become_rules(folder: Path) -> None:
    config = {
        "model_list": [
            model("a", "gpt-4o", tags=["default"]), model("a", "groq/llama", tags=["free", "eu"]),
            model("a", "claude-sonnet-5"),
        ],
        "router_settings": {"enable_tag_filtering": True},
    }  # fmt: skip

    route = load(imported(folder, config), folder).settings.routes["a"]
    assert [(rule.header, rule.use) for rule in route.use.when] == [
        ({"x-litellm-tags": "free"}, "groq"), ({"x-litellm-tags": "eu"}, "groq"),
    ]  # fmt: skip
    assert (route.use.default, route.fallback) == ("openai", ("anthropic",))


def test_tags_without_filtering_decide_nothing(folder: Path) -> None:
    result = imported(folder, {"model_list": [model("a", "gpt-4o", tags=["x"]), model("a", "groq/m")]})

    assert load(result, folder).settings.routes["a"].use.when == ()
    assert fates(result)["litellm_params.tags"].outcome is Outcome.DROPPED


def test_one_model_with_two_prices_is_two_models_of_the_provider(folder: Path) -> None:
    rates = {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": "3e-07"}
    result = imported(folder, {"model_list": [model("a", "gpt-4o"), model("b", "gpt-4o", **rates)]})

    models = load(result, folder).settings.providers["openai"].models
    price = models["gpt-4o-2"].price
    assert price is not None
    assert models["gpt-4o"].price is None
    assert models["gpt-4o-2"].upstream_model == "gpt-4o"
    assert (price.input_usd_per_mtok, price.cache_read_usd_per_mtok, price.output_usd_per_mtok) == (
        Decimal(3), Decimal("0.3"), Decimal(15),
    )  # fmt: skip


@given(st.decimals(min_value=0, max_value=1, places=12), st.decimals(min_value=0, max_value=1, places=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_prices_are_carried_exactly(tmp_path: Path, given_rate: Decimal, back_rate: Decimal) -> None:
    rates = {"input_cost_per_token": f"{given_rate:f}", "output_cost_per_token": f"{back_rate:f}"}

    result = imported(tmp_path, {"model_list": [model("a", "gpt-4o", **rates)]})

    price = load(result, tmp_path).settings.providers["openai"].models["gpt-4o"].price
    assert price is not None
    assert price.input_usd_per_mtok == given_rate * 1_000_000
    assert price.output_usd_per_mtok == back_rate * 1_000_000


def test_half_a_price_is_a_question_and_no_price(folder: Path) -> None:
    result = imported(folder, {"model_list": [model("a", "gpt-4o", input_cost_per_token=1)]})

    assert load(result, folder).settings.providers["openai"].models["gpt-4o"].price is None
    assert fates(result)["litellm_params.input_cost_per_token"].outcome is Outcome.NEEDS_YOU


def test_only_what_the_file_denies_is_kept_from_a_model(folder: Path) -> None:
    """LiteLLM sends whatever comes, so an import must not refuse pictures that worked before."""
    denied = {**model("b", "gpt-4o-mini"), "model_info": {"supports_vision": False, "supports_pdf_input": None}}
    embedding = {**model("c", "text-embedding-3-small"), "model_info": {"mode": "embedding"}}

    result = imported(folder, {"model_list": [model("a", "gpt-4o"), denied, embedding]})

    models = load(result, folder).settings.providers["openai"].models
    assert models["gpt-4o"].modalities == set(Modality)
    assert models["gpt-4o-mini"].modalities == {Modality.TEXT, Modality.AUDIO, Modality.FILE}
    assert models["text-embedding-3-small"].modalities == {Modality.TEXT}


# --- fallbacks, aliases, wildcards ---


THREE = [model("a", "gpt-4o"), model("b", "groq/llama"), model("c", "claude-sonnet-5")]


@pytest.mark.parametrize(
    ("lists", "fallback", "fallback_on"),
    [
        ({"fallbacks": [{"a": ["b", "c"]}]}, ("b", "c"), set()),
        ({"fallbacks": [{"a": ["b"]}, {"b": ["c", "a"]}]}, ("b", "c"), set()),  # a target's own list counts too
        ({"fallbacks": [{"a": ["b"]}, {"b": ["c"]}], "max_fallbacks": 1}, ("b",), set()),
        ({"default_fallbacks": ["c"]}, ("c",), set()),
        ({"fallbacks": [{"a": ["b"]}], "default_fallbacks": ["c"]}, ("b", "c"), set()),
        ({"fallbacks": [{"*": ["b"]}]}, ("b",), set()),
        ({"fallbacks": [{"a": [{"model": "b", "messages": []}]}]}, ("b",), set()),
        ({"fallbacks": [{"a": ["gone", "b"]}]}, ("b",), set()),
        ({"context_window_fallbacks": [{"a": ["c"]}], "fallbacks": [{"a": ["b"]}]}, ("b", "c"), set()),
        ({"content_policy_fallbacks": [{"a": ["c"]}]}, ("c",), {FallbackCause.CONTENT_FILTER}),
        ({"content_policy_fallbacks": [{"a": ["gone"]}]}, (), set()),
        ({"fallbacks": [{"a": ["the-id"]}]}, ("the-id",), set()),
    ],
)  # fmt: skip
def test_fallback_lists_become_the_route_s_chain(
    folder: Path, lists: dict[str, Any], fallback: tuple[str, ...], fallback_on: set[FallbackCause]
) -> None:
    models = [*THREE[:2], {**THREE[2], "model_info": {"id": "the-id"}}]

    route = load(imported(folder, {"model_list": models, "router_settings": lists}), folder).settings.routes["a"]

    assert (route.fallback, set(route.fallback_on)) == (fallback, fallback_on)


def test_the_router_s_lists_win_over_the_library_s_as_in_litellm(folder: Path) -> None:
    result = imported(folder, {
        "model_list": THREE,
        "router_settings": {"fallbacks": [{"a": ["b"]}], "num_retries": 1},
        "litellm_settings": {"fallbacks": [{"a": ["c"]}], "num_retries": 7},
    })  # fmt: skip

    configuration = load(result, folder)
    assert configuration.settings.routes["a"].fallback == ("b",)
    assert configuration.settings.gateway.retries.max_attempts == 3
    for key in ("fallbacks", "num_retries"):
        assert fates(result)[f"litellm_settings.{key}"].words.startswith("`router_settings` says it too")


def test_a_fallback_group_of_several_endpoints_is_tried_whole(folder: Path) -> None:
    result = imported(folder, {
        "model_list": [*THREE, model("b", "mistral/m", order=1)],
        "router_settings": {"fallbacks": [{"a": ["b"]}]},
    })  # fmt: skip

    route = load(result, folder).settings.routes["a"]
    assert route.fallback == ("b", "b-groq")
    assert {name: one.endpoint for name, one in route.variants.items()} == {
        "openai": "openai/gpt-4o", "b": "mistral/m", "b-groq": "groq/llama",
    }  # fmt: skip


def test_an_alias_is_a_route_that_says_the_same(folder: Path) -> None:
    result = imported(folder, {
        "model_list": [model("gpt-4.1", "gpt-4.1"), model("gpt-4-1", "groq/llama")],
        "router_settings": {"model_group_alias": {
            "one": "gpt-4.1", "two": {"model": "gpt-4-1", "hidden": True}, "lost": "gone", "gpt-4.1": "gpt-4-1",
        }},
    })  # fmt: skip

    routes = load(result, folder).settings.routes
    assert set(routes) == {"gpt-4.1", "gpt-4-1", "one", "two"}
    assert routes["one"] == routes["gpt-4.1"] != routes["two"] == routes["gpt-4-1"]
    alias = fates(result)["router_settings.model_group_alias"]
    assert alias.outcome is Outcome.CHANGED
    assert "listed at `/v1/models` here: two" in alias.words
    assert "Without a route here: lost, gpt-4.1" in alias.words


@pytest.mark.parametrize(
    ("name", "target", "asked", "endpoint"),
    [
        ("*", "*", "gpt-4o", "openai/gpt-4o"),
        ("*", "*", "anthropic/claude-opus-5", "anthropic/claude-opus-5"),
        ("openai/*", "openai/*", "openai/gpt-4o", "openai/gpt-4o"),
        ("groq-*", "groq/*", "groq-llama", "groq/llama"),
        ("team/*-fast", "mistral/*", "team/small-fast", "mistral/small"),
        ("any/*", "gpt-4o", "any/thing", "openai/gpt-4o"),
    ],
)
def test_a_wildcard_serves_the_models_that_are_named(
    folder: Path, name: str, target: str, asked: str, endpoint: str
) -> None:
    result = imported(folder, {"model_list": [model(name, target)]}, asked, "no/such/model" if name != "*" else asked)

    (route,) = load(result, folder).settings.routes.items()
    assert route[0] == asked
    assert [variant.endpoint for variant in route[1].variants.values()] == [endpoint]
    assert fates(result)["model_name"].outcome is Outcome.CHANGED


def test_a_wildcard_that_nobody_names_is_a_question(folder: Path) -> None:
    result = imported(folder, {"model_list": [model("a", "gpt-4o"), model("groq/*", "groq/*")]})

    line = next(line for line in result.lines if line.location.path == "model_list[1].model_name")
    assert line.outcome is Outcome.NEEDS_YOU
    assert "--model NAME" in line.words


def test_a_fallback_to_a_wildcard_s_model_names_it(folder: Path) -> None:
    result = imported(folder, {
        "model_list": [model("a", "gpt-4o"), model("azure/*", "azure/*", api_base="https://x.azure.com")],
        "litellm_settings": {"fallbacks": [{"a": ["azure/gpt-4o"]}]},
    })  # fmt: skip

    routes = load(result, folder).settings.routes
    assert set(routes) == {"a", "azure/gpt-4o"}
    assert routes["a"].fallback == ("azure/gpt-4o",)


# --- the gateway's settings ---


@pytest.mark.parametrize(
    ("section", "values", "expected"),
    [
        ("router_settings", {"timeout": 30}, {"timeouts.first_token_s": 30, "timeouts.total_s": 600}),
        ("router_settings", {"timeout": "900"}, {"timeouts.first_token_s": 900, "timeouts.total_s": 3600}),
        ("litellm_settings", {"request_timeout": 45}, {"timeouts.first_token_s": 45}),
        ("router_settings", {"stream_timeout": 20}, {"timeouts.idle_s": 20, "timeouts.first_token_s": 120}),
        ("router_settings", {"num_retries": 0}, {"retries.max_attempts": 1}),
        ("router_settings", {"num_retries": 6}, {"retries.max_attempts": 7}),
        ("router_settings", {"num_retries": 500}, {"retries.max_attempts": 20}),
        ("router_settings", {"retry_policy": {"TimeoutErrorRetries": 4}}, {"retries.max_attempts": 5}),
        ("router_settings", {"retry_after": 0.5}, {"retries.backoff_ms": 500, "retries.max_backoff_ms": 2000}),
        ("router_settings", {"retry_after": 9}, {"retries.backoff_ms": 9000, "retries.max_backoff_ms": 9000}),
        ("router_settings", {"allowed_fails": 0}, {"ejection.consecutive_failures": 1}),
        ("litellm_settings", {"allowed_fails": 2}, {"ejection.consecutive_failures": 3}),
        ("router_settings", {"cooldown_time": 12.5}, {"ejection.base_s": 12.5, "ejection.max_s": 300}),
        ("router_settings", {"cooldown_time": 3600}, {"ejection.base_s": 3600, "ejection.max_s": 3600}),
        ("router_settings", {"disable_cooldowns": True}, {"ejection.panic_share": 0}),
        ("router_settings", {"disable_cooldowns": False}, {"ejection.panic_share": 0.5}),
        ("general_settings", {"max_request_size_mb": 50}, {"limits.max_body_bytes": 52_428_800}),
        ("router_settings", {"timeout": "os.environ/T"}, {"timeouts.first_token_s": 120}),
        ("router_settings", {"timeout": -1}, {"timeouts.first_token_s": 120}),
    ],
)  # fmt: skip
def test_numbers_of_the_router_become_the_gateway_s(
    folder: Path, section: str, values: dict[str, Any], expected: dict[str, float]
) -> None:
    gateway = load(imported(folder, {"model_list": [THREE[0]], section: values}), folder).settings.gateway

    found = {path: float(getattr(getattr(gateway, path.split(".")[0]), path.split(".")[1])) for path in expected}
    assert found == expected


def test_one_set_of_deadlines_is_enough_for_every_deployment(folder: Path) -> None:
    """The longest counts; a deployment without its own keeps at least inhouse's own."""
    short = load(imported(folder, {"model_list": [model("a", "gpt-4o", timeout=5), THREE[1]]}), folder)
    long = load(imported(folder, {"model_list": [model("a", "gpt-4o", timeout=500)],
                                  "router_settings": {"timeout": 10}}), folder)  # fmt: skip

    assert short.settings.gateway.timeouts.first_token_s == 120
    assert long.settings.gateway.timeouts.first_token_s == 500


def test_attempts_reach_to_the_end_of_the_longest_chain(folder: Path) -> None:
    models = [model(name, f"groq/{name}") for name in "abcdef"]

    without = load(imported(folder, {"model_list": models, "router_settings": {
        "fallbacks": [{"a": ["b", "c", "d", "e", "f"]}]}}), folder)  # fmt: skip

    assert without.settings.gateway.retries.max_attempts == 6


# --- sections and files ---


def test_the_master_key_stays_a_client_key_and_the_rest_of_the_database_is_a_question(folder: Path) -> None:
    result = imported(folder, {
        "model_list": [THREE[0]],
        "general_settings": {
            "master_key": "os.environ/MASTER", "database_url": "os.environ/DB", "store_model_in_db": True,
        },
    })  # fmt: skip

    assert list(load(result, folder).settings.keys) == ["litellm-master"]
    lines = fates(result)
    assert lines["general_settings.master_key"].outcome is Outcome.CHANGED
    assert lines["general_settings.database_url"].outcome is Outcome.NEEDS_YOU
    assert lines["general_settings.store_model_in_db"].outcome is Outcome.NEEDS_YOU
    assert "DB" not in result.variables


def test_included_files_count_with_their_own_lines(folder: Path) -> None:
    """As LiteLLM does it: lists are extended, other sections replaced."""
    (folder / "more.yaml").write_text(
        "model_list:\n  - model_name: b\n    litellm_params: {model: groq/m}\n"
        "litellm_settings:\n  num_retries: 6\nguardrails: [{guardrail_name: x}]\n"
    )
    result = imported(folder, {
        "include": ["more.yaml"], "model_list": [THREE[0]], "litellm_settings": {"num_retries": 1, "drop_params": True},
        "guardrails": [{"guardrail_name": "y"}],
    })  # fmt: skip

    configuration = load(result, folder)
    assert list(configuration.settings.routes) == ["a", "b"]
    assert configuration.settings.gateway.retries.max_attempts == 7
    places = {(Path(line.location.file).name, line.location.path): line for line in result.lines}
    assert places["config.yaml", "litellm_settings.drop_params"].words.startswith("An included file has the same")
    assert places["more.yaml", "litellm_settings.num_retries"].location.line == 5
    assert places["more.yaml", "guardrails"].outcome is places["config.yaml", "guardrails"].outcome is Outcome.NEEDS_YOU
    assert result.text is not None
    assert "# more.yaml:5" in result.text
    assert_one_line_each(result, folder / "config.yaml")


def test_anchors_and_strange_names_survive(folder: Path) -> None:
    """YAML that needs quoting stays what it is: `yes`, numbers, colons, quotes."""
    text = (
        "x-base: &base {api_key: os.environ/K}\nmodel_list:\n"
        '  - {model_name: "yes", litellm_params: {<<: *base, model: "openai/a:b\\"c #d"}}\n'
        '  - {model_name: "12", litellm_params: {<<: *base, model: openai/null}}\n'
        '  - {model_name: "ü: [x]", litellm_params: {<<: *base, model: "openai/{y}"}}\n'
    )

    configuration = load(imported(folder, text), folder)

    assert list(configuration.settings.routes) == ["yes", "12", "ü: [x]"]
    assert list(configuration.settings.providers["openai"].models) == ['a:b"c #d', "null", "{y}"]


# --- any configuration ---

NAMES = st.sampled_from(["a", "b", "gpt-4o", "x/*", "*"])
TARGETS = st.sampled_from([
    "gpt-4o", "openai/m", "azure/d", "anthropic/claude-sonnet-5", "groq/llama", "hosted_vllm/m", "ollama/q",
    "bedrock/x", "gemini/g", "nobody/x", "*", "openai/*",
])  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 9), st.sampled_from(["os.environ/K1", "sk-secret", "none", "7", "${X}"]),
    st.lists(st.sampled_from(["a", "b", "gpt-4o"]), max_size=2),
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "*"]), st.lists(NAMES, max_size=3), max_size=1), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "q"]), NAMES, max_size=2),
)  # fmt: skip


def section(name: str) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from([*DOCUMENTED[name], "no_such_key"])
    drawn = st.dictionaries(keys, VALUES, max_size=6)
    return drawn.map(lambda made: {k: "gone" if k in COPIED and v == "sk-secret" else v for k, v in made.items()})


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    params = draw(section("litellm_params"))
    bases = ["https://one.example/v1", "http://box-1:8000", "os.environ/BASE", "junk"]
    if draw(st.booleans()):
        params["api_base"] = draw(st.sampled_from(bases))
    entry = {"model_name": draw(NAMES), "litellm_params": {**params, "model": draw(TARGETS)}}
    return {**entry, "model_info": draw(section("model_info"))} if draw(st.booleans()) else entry


CONFIGS = st.fixed_dictionaries(
    {"model_list": st.lists(entries(), max_size=6)},
    optional={name: section(name) for name in ("router_settings", "litellm_settings", "general_settings")},
)


@given(CONFIGS, st.lists(st.sampled_from(["gpt-4o", "x/y", "claude-opus-5"]), max_size=2))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_configuration_is_accounted_for_and_what_is_written_checks(
    tmp_path: Path, config: dict[str, Any], models: list[str]
) -> None:
    """One line a key; the file loads and checks; no secret; content goes only where LiteLLM sends it."""
    result = imported(tmp_path, config, *models)

    assert_one_line_each(result, tmp_path / "config.yaml")
    assert "sk-secret" not in shown(result)
    if result.text is None:
        return
    configuration = load(result, tmp_path)
    written = configuration.settings
    processors = written.data_classes["unclassified"].processors
    assert processors == set(written.providers)
    assert {route.data_class for route in written.routes.values()} == {"unclassified"}
    assert {
        variant.endpoint.split("/", 1)[0] for route in written.routes.values() for variant in route.variants.values()
    } == (processors)
