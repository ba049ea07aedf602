"""Keys, certificates and proxies on their way from the file to the processes, and what `check` says of them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import trustme

from inhouse.backends import KeySource
from inhouse.backends.settings import ProviderSettings
from inhouse.catalog import load_price_book
from inhouse.cli.check import check_configuration
from inhouse.cli.config import ConfigFileError, Configuration, load_config_text
from inhouse.cli.launch import build_children, choose_addresses
from inhouse.cli.outbound import build_credentials, mask_deployment, mask_provider
from inhouse.cli.outbound_check import check_outbound
from inhouse.cli.starts import GatewayStart
from inhouse.cli.state import StateFolder
from inhouse.control import CompileInputs, compile_snapshot
from inhouse.domain.settings import Settings
from inhouse.serving.settings import DeploymentSettings

SettingsT = TypeVar("SettingsT", bound=Settings)
PRICES = load_price_book()
FILE = """\
data_classes: {{internal: {{processors: [own, api, sim]}}}}
providers:
  api:
    base_url: https://api.example/v1
    models: {{mid: {{price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}}}
    {api}
  sim: {{simulated: {{}}, models: {{m: {{}}}}}}
deployments:
  box:
    url: http://gpu-box:8000/v1
    {box}
routes:
  r: {{data_class: internal, variants: {{v: {{endpoint: api/mid}}, w: {{endpoint: box}}}}, use: {{default: v}}, fallback: [w]}}
gateway: {{port: 0{gateway}}}
admin: {{port: 0}}
agent: {{metrics_port: 0}}
"""  # noqa: E501  # a file as users write it
SECRETS = ("s3cret-one", "s3cret-two", "s3cret-region", "s3cret-engine", "s3cret-arg", "s3cret-proxy")
SECRET_API = """api_key: ["${ONE}", {file: keys/two}, {command: [./mint, "${ARG}"], refresh_s: 60}]
    regions: {eu: {base_url: "https://eu.example/v1", api_key: "${REGION}"}, us: {base_url: "https://us.example/v1"}}
    network: {proxy: "http://me:${PROXY}@proxy:3128", ca_file: ca.pem}"""
SECRET_BOX = 'api_key: "${ENGINE}"'
ENVIRONMENT = {
    "ONE": "s3cret-one",
    "REGION": "s3cret-region",
    "ENGINE": "s3cret-engine",
    "ARG": "s3cret-arg",
    "PROXY": "s3cret-proxy",
}


def load(folder: Path, *, api: str = "", box: str = "", gateway: str = "") -> Configuration:
    text = FILE.format(api=api or "discount: 0", box=box or "slots: 4", gateway=gateway)
    return load_config_text(text, "inhouse.yaml", folder, ENVIRONMENT)


def whole(folder: Path) -> Configuration:
    return load(folder, api=SECRET_API, box=SECRET_BOX, gateway=", tls: {cert_file: c.pem, key_file: /k.pem}")


def test_key_sources_reach_the_gateway_with_absolute_paths() -> None:
    configuration = whole(Path("/srv"))

    assert build_credentials(configuration.settings, configuration.folder) == {
        "provider:api": (
            KeySource(literal="s3cret-one"),
            KeySource(file="/srv/keys/two"),
            KeySource(command=("/srv/mint", "s3cret-arg"), refresh_s=60.0),
        ),
        "provider:api@eu": (KeySource(literal="s3cret-region"),),
        "deployment:box": (KeySource(literal="s3cret-engine"),),
        "proxy:proxy:3128": (KeySource(literal="me:s3cret-proxy"),),
    }


def test_an_empty_key_is_no_key() -> None:
    configuration = load(Path("/srv"), api='api_key: "${NOBODY:-}"')

    assert build_credentials(configuration.settings, configuration.folder) == {}
    assert mask_provider(configuration.settings.providers["api"], configuration.folder).api_key is None


def test_a_process_is_given_the_keys_that_it_calls_with_and_no_other(tmp_path: Path) -> None:
    """The agent probes engines that somebody else runs; control and the simulated provider call nobody."""
    configuration = whole(tmp_path)
    state = StateFolder(tmp_path / "state")
    state.prepare()
    with ExitStack() as held:
        children = build_children(configuration, state, choose_addresses(configuration, None, held))
    starts = {child.name: child.start for child in children}

    assert set(starts) == {"simulated-sim", "control", "agent", "gateway"}
    for name, start in starts.items():
        found = {secret for secret in SECRETS if secret.encode() in start}
        expected = {"gateway": set(SECRETS) - {"s3cret-two"}, "agent": {"s3cret-engine"}}
        assert found == expected.get(name, set())
    gateway = msgspec.json.decode(starts["gateway"], type=GatewayStart)
    assert gateway.credentials == build_credentials(configuration.settings, tmp_path)
    assert gateway.settings["tls"]["cert_file"] == str(tmp_path / "c.pem")
    assert gateway.settings["tls"]["key_file"] == "/k.pem"


def test_masked_settings_compile_to_the_same_snapshot_without_a_secret(tmp_path: Path) -> None:
    configuration = whole(tmp_path)
    settings = configuration.settings

    def compiled(providers: dict[str, ProviderSettings], deployments: dict[str, DeploymentSettings]) -> bytes:
        inputs = CompileInputs(
            routes=settings.routes,
            deployments=deployments,
            providers=providers,
            data_classes={"internal": frozenset({"own", "api", "sim"})},
            keys=(),
            is_open=True,
            replicas=(),
            price_book=PRICES,
            provider_urls={},
            version=1,
            now=1_795_392_000.0,
        )
        return msgspec.json.encode(compile_snapshot(inputs), order="sorted")

    masked = compiled(
        {name: travel(mask_provider(one, tmp_path)) for name, one in settings.providers.items()},
        {name: travel(mask_deployment(one, tmp_path)) for name, one in settings.deployments.items()},
    )

    assert [secret for secret in SECRETS if secret.encode() in masked] == []
    assert str(tmp_path / "ca.pem").encode() in masked
    plain = compiled(settings.providers, settings.deployments).replace(b'"ca.pem"', f'"{tmp_path}/ca.pem"'.encode())
    assert masked == plain


# What check says.


def errors_of(configuration: Configuration) -> list[str]:
    return [str(error) for error in check_outbound(configuration, {}).errors]


def test_sound_files_pass_without_a_word(tmp_path: Path) -> None:
    write_key(tmp_path / "key", "sk-fine\n", mode=0o600)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    write_pair(tmp_path, authority)
    configuration = load(
        tmp_path,
        api="api_key: [{file: key}, {command: [sh, -c, 'echo x']}]\n    network: {ca_file: ca.pem, "
        "client_cert_file: c.pem, client_key_file: k.pem}",
        gateway=", tls: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem}",
    )

    assert check_outbound(configuration, {"HTTPS_PROXY": "http://proxy:3128"}) == check_outbound(load(tmp_path), {})
    assert not [word for word in check_configuration(configuration) if "unpriced" not in word]


NOT_ALONE = "it gives more than a key alone: spaces, line breaks or unprintable characters."
MISSING = "the key file FOLDER/none cannot be read (No such file or directory)."


@pytest.mark.parametrize(
    ("api", "place", "problem"),
    [
        ("api_key: {file: none}", "api_key", MISSING),
        ('api_key: ["${ONE}", {file: two}]', "api_key[1]", f"there is no key in the file FOLDER/two: {NOT_ALONE}"),
        ('api_key: "s3cret with spaces"', "api_key", f"there is no key in the configuration: {NOT_ALONE}"),
        ("api_key: {command: [./none]}", "api_key", "there is no program 'FOLDER/none' to run."),
        (
            "regions: {eu: {base_url: 'https://eu.example', api_key: {file: none}}}",
            "regions.eu.api_key",
            MISSING,
        ),
        ("network: {ca_file: two}", "network.ca_file", "FOLDER/two holds no certificate in PEM form."),
    ],
)
def test_what_is_behind_a_setting_and_cannot_be_used_is_named_with_line_and_fix(
    tmp_path: Path, api: str, place: str, problem: str
) -> None:
    (tmp_path / "two").write_text("a s3cret\nand another\n")

    (error,) = check_outbound(load(tmp_path, api=api), {}).errors

    assert str(error.location) == f"inhouse.yaml:6: providers.api.{place}"
    assert error.problem.replace(str(tmp_path), "FOLDER") == problem
    assert error.fix.startswith("Give ")
    with pytest.raises(ConfigFileError):
        check_configuration(load(tmp_path, api=api))


def test_the_data_ports_files_are_loaded(tmp_path: Path) -> None:
    write_pair(tmp_path, trustme.CA())
    (tmp_path / "k.pem").write_bytes(trustme.CA().private_key_pem.bytes())

    (found,) = errors_of(load(tmp_path, gateway=", tls: {cert_file: c.pem, key_file: k.pem}"))

    assert found.startswith("inhouse.yaml:14: gateway.tls.key_file: the key in ")
    assert "does not belong to the certificate in" in found


def test_keys_that_others_may_read_are_a_warning(tmp_path: Path) -> None:
    write_key(tmp_path / "key", "sk-fine", mode=0o644)
    write_pair(tmp_path, trustme.CA())
    (tmp_path / "k.pem").chmod(0o640)
    configuration = load(
        tmp_path,
        api="api_key: {file: key}",
        box="network: {client_cert_file: c.pem, client_key_file: k.pem}",
        gateway=", tls: {cert_file: c.pem, key_file: k.pem}",
    )

    assert [word.replace(str(tmp_path), "FOLDER") for word in check_outbound(configuration, {}).warnings] == [
        f"inhouse.yaml:{line}: {path}: other users of this machine may read the {kind} in FOLDER/{file}. "
        f"Run `chmod 600 FOLDER/{file}`."
        for line, path, kind, file in (
            (6, "providers.api.api_key", "key", "key"),
            (11, "deployments.box.network.client_key_file", "private key", "k.pem"),
            (14, "gateway.tls.key_file", "private key", "k.pem"),
        )
    ]


def test_an_environment_with_a_proxy_that_cannot_be_used_is_a_warning_without_its_password(tmp_path: Path) -> None:
    (warning,) = check_outbound(load(tmp_path), {"ALL_PROXY": "socks5://me:s3cret@proxy:1080"}).warnings

    assert warning.startswith("environment: ALL_PROXY names a proxy of the kind socks5://, which is not supported")
    assert "s3cret" not in warning


def write_key(path: Path, text: str, *, mode: int) -> None:
    path.write_text(text)
    path.chmod(mode)


def write_pair(folder: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("gateway.test")
    issued.cert_chain_pems[0].write_to_path(str(folder / "c.pem"))
    write_key(folder / "k.pem", issued.private_key_pem.bytes().decode(), mode=0o600)


def travel(settings: SettingsT) -> SettingsT:
    """As a process receives it."""
    return type(settings).model_validate(settings.model_dump(mode="json"))
