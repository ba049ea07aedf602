"""Commands as a shell sees them: what they print, where, and their exit codes."""

import json
import socket
from contextlib import closing
from pathlib import Path

import pytest

from cli.shell import run
from inhouse.domain import Signals, TraceClose, TraceOpen, TraceStatus, Usage, UsageBasis
from inhouse.store import SpoolCursor, open_store

GOOD = """\
data_classes:
  internal: {processors: [own, paid]}
providers:
  paid: {simulated: {}, models: {mid: {modalities: [text, image]}}}
deployments:
  clerk: {model: clerk}
routes:
  desk:
    data_class: internal
    variants: {in-house: {endpoint: clerk}, api: {endpoint: paid/mid}}
    use: {default: in-house}
    fallback: [api]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inhouse.cli.terminal.out._width", 160)
    monkeypatch.setattr("inhouse.cli.terminal.err._width", 160)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "place", "fix"),
    [
        ("{model: clerk}", "{model: [1]}", "inhouse.yaml:6: deployments.clerk.model", "Give a value for `model`"),
        ("{model: clerk}", "{model: clerk, gpu: 1}", "inhouse.yaml:6: deployments.clerk.gpu", "Remove it"),
        ("{model: clerk}", "{model: clerk, engine: vllm}", "inhouse.yaml:6: deployments.clerk.engine", "Choose one of"),
        ("{model: clerk}", "{model: none.gguf}", "inhouse.yaml:6: deployments.clerk.model", "none.gguf"),
        ("{model: clerk}", "{model: clerk, quantization: Q9}", "inhouse.yaml:6: deployments.clerk", "Q4_K"),
        ("{simulated: {}", "{api_key: '${NO_SUCH_VAR}', simulated: {}", "providers.paid.api_key", "export NO_SUCH_VAR"),
        ("    data_class: internal\n", "", "inhouse.yaml:8: routes.desk.data_class", "Add `data_class"),
        ("data_class: internal", "data_class: secret", "inhouse.yaml:9: routes.desk.data_class", "internal"),
        ("endpoint: clerk", "endpoint: clark", "inhouse.yaml:10: routes.desk.variants.in-house.endpoint", "clerk"),
        ("fallback: [api]", "fallback: [apy]", "inhouse.yaml:12: routes.desk.fallback[0]", "api"),
        ("default: in-house", "default: inhouse", "inhouse.yaml:11: routes.desk.use.default", "in-house"),
        ("[own, paid]", "[own]", "routes.desk", "paid"),
        ("routes:", "gateway: {host: 0.0.0.0}\nroutes:", "inhouse.yaml:7: gateway.host", "Declare at least one key"),
        ("routes:", "admin: {host: 0.0.0.0}\nroutes:", "inhouse.yaml:7: admin.host", "127.0.0.1"),
    ],
)
def test_a_broken_file_is_one_error_with_place_and_fix_and_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    old: str, new: str, place: str, fix: str,
) -> None:  # fmt: skip
    assert old in GOOD
    (folder / "inhouse.yaml").write_text(GOOD.replace(old, new, 1))

    code, out, err = run(capsys, monkeypatch, "check")

    assert code == 2
    assert out == ""
    assert place in err
    assert "fix: " in err
    assert fix in err
    assert "Traceback" not in err


def test_a_good_file_is_counted(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "inhouse.yaml").write_text(GOOD)

    code, out, _ = run(capsys, monkeypatch, "check")
    json_code, json_out, _ = run(capsys, monkeypatch, "check", "--json")

    assert (code, json_code) == (0, 0)
    assert "1 route, 1 deployment, 1 provider, 0 keys" in out
    assert json.loads(json_out)["is_valid"] is True


def test_a_port_in_use_is_named_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        (folder / "inhouse.yaml").write_text(GOOD + f"gateway: {{port: {port}}}\n")

        code, _, err = run(capsys, monkeypatch, "up")

    assert code == 2
    assert f"inhouse.yaml:13: gateway.port: port {port} of 127.0.0.1 is in use" in err


def test_init_asks_nothing_where_everything_is_given_and_never_overwrites(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ("--in-house", "clerk", "--provider", "simulated", "--data", "both")

    first, _, _ = run(capsys, monkeypatch, "init", *answers)
    second, _, err = run(capsys, monkeypatch, "init", *answers)
    checked, _, _ = run(capsys, monkeypatch, "check")

    assert (first, second, checked) == (0, 2, 0)
    assert "exists already" in err


@pytest.mark.parametrize(
    "command", [("status",), ("traces",), ("eval", "list"), ("eval", "run", "desk", "--on", "clerk")]
)
def test_looking_before_anything_was_started_is_exit_code_3(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    (folder / "inhouse.yaml").write_text(GOOD)

    code, _, err = run(capsys, monkeypatch, *command)

    assert code == 3
    assert "inhouse up" in err


def put_trace(folder: Path) -> str:
    """A stopped installation with one request on record."""
    (folder / "inhouse.yaml").write_text(GOOD)
    (folder / ".inhouse" / "run").mkdir(parents=True)
    (folder / ".inhouse" / "run" / "addresses.json").write_text(
        '{"gateway_host":"127.0.0.1","gateway_port":9,"admin_host":"127.0.0.1","admin_port":9,"metrics_port":9}'
    )
    trace_id = "01a2" + "0" * 16 + "feedfacecafe"
    start = TraceOpen(
        trace_id=trace_id, writer="w", started_at=1.0, route="desk", key_id="k", task="[bold]sum", is_simulated=True,
        reasons=("api: task is sum",), variant="api", endpoint_id="paid/mid", replica_id="paid",
    )  # fmt: skip
    end = TraceClose(
        trace_id=trace_id, writer="w", ended_at=2.0, status=TraceStatus.COMPLETE, http_status=200, e2e_ms=12.5,
        usage=Usage(input_uncached=30, output_visible=5), usage_basis=UsageBasis.MEASURED, is_simulated=True,
        variant="api", endpoint_id="paid/mid", replica_id="paid", signals=Signals(num_chars=70, empty=0, truncated=1),
    )  # fmt: skip
    with closing(open_store(f"sqlite:///{folder}/.inhouse/inhouse.db")) as store:
        store.traces.ship([start, end], cursor=SpoolCursor("w-0.spool", 10))
    return trace_id


def test_traces_are_listed_and_shown_with_what_is_simulated_and_unpriced(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_id = put_trace(folder)

    _, listed, _ = run(capsys, monkeypatch, "traces")
    _, shown, _ = run(capsys, monkeypatch, "traces", "show", trace_id)
    _, by_end, _ = run(capsys, monkeypatch, "traces", "show", "feedfacecafe")
    missing, _, _ = run(capsys, monkeypatch, "traces", "show", "00")
    _, as_json, _ = run(capsys, monkeypatch, "traces", "--json")

    for words in (
        "…feedfacecafe",
        "desk",
        "[bold]sum",
        "paid/mid simulated",
        "complete",
        "30/5",
        "unpriced",
        "12.5 ms",
    ):
        assert words in listed
    for words in ("api: task is sum", "(simulated)", "input_uncached 30, output_visible 5  (measured)", "unpriced"):
        assert words in shown
    for words in ("! cut at a limit of tokens: yes", "  empty: no", "length: 70 characters"):
        assert words in shown
    assert by_end == shown
    assert missing == 1
    assert json.loads(as_json)[0]["close"]["usage"] == {"input_uncached": 30, "output_visible": 5}


def test_status_of_a_stopped_installation_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_trace(folder)

    code, out, _ = run(capsys, monkeypatch, "status")
    json_code, json_out, _ = run(capsys, monkeypatch, "status", "--json")

    assert (code, json_code) == (3, 3)
    assert "does not answer" in out
    assert json.loads(json_out)["ports"]["data"]["problem"]


def test_an_unknown_endpoint_is_refused_with_the_known_ones(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_trace(folder)

    code, _, err = run(capsys, monkeypatch, "eval", "run", "builtin:tickets", "--on", "clark")

    assert code == 2
    assert "clerk, paid/mid" in err
