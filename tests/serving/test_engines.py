"""The adapters against a scripted engine: tri-state probes, read-back, mismatches, digests."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from serving_bench import scripted_engine

from inhouse.backends import HttpClient
from inhouse.domain import DigestBasis, compute_digest
from inhouse.serving import (
    Deployment,
    DeploymentSettings,
    EffectiveConfig,
    ExternalAdapter,
    LlamacppAdapter,
    ProbeState,
    ReplicaAddress,
    WeightsFacts,
    find_mismatches,
)

CHAT = "/v1/chat/completions"
TOKEN = {"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": 1}}
CLERK = Deployment("clerk", DeploymentSettings(model="clerk", context_tokens=1024, slots=4), Path("/m/clerk.gguf"))
FACTS = WeightsFacts(sha256="w", quantization="MOSTLY_F16: F16=1", tokenizer_sha256="t", chat_template_sha256="c")
ASKED = EffectiveConfig(
    model="clerk", model_path="/m/clerk.gguf", context_tokens=1024, slots=4, chat_template="T", sampling_defaults="s"
)


@pytest.fixture
async def client() -> AsyncGenerator[HttpClient]:
    made = HttpClient(max_idle_per_origin=0)
    yield made
    await made.aclose()


@pytest.mark.parametrize(
    ("script", "is_deep", "state", "detail"),
    [
        ({"/health": (503, {})}, False, ProbeState.LOADING, "/health answers 503"),
        ({"/health": (200, {})}, False, ProbeState.READY, ""),
        ({"/health": (200, {}), CHAT: (200, TOKEN)}, True, ProbeState.READY, ""),
        ({"/health": (200, {}), CHAT: (500, {})}, True, ProbeState.LOADING, "asked for one token, it answers 500"),
        (
            {"/health": (200, {}), CHAT: (200, {"choices": [{}], "usage": {"completion_tokens": 0}})},
            True,
            ProbeState.LOADING,
            "asked for one token, the answer holds none",
        ),
        (
            {"/health": (200, {}), CHAT: (200, "not an object")},
            True,
            ProbeState.LOADING,
            "asked for one token, the answer holds none",
        ),
    ],
)
async def test_llamacpp_is_ready_only_with_green_health_and_a_token(
    client: HttpClient, script: dict[str, tuple[int, object]], *, is_deep: bool, state: ProbeState, detail: str
) -> None:
    async with scripted_engine(script) as base_url:
        probe = await LlamacppAdapter(client).probe(CLERK, base_url, is_deep=is_deep)
    assert (probe.state, probe.detail) == (state, detail)


async def test_nobody_listening_is_refused_and_silence_is_not_ready(client: HttpClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        for adapter in (LlamacppAdapter(client), ExternalAdapter(client)):
            assert (await adapter.probe(CLERK, refusing, is_deep=True)).state is ProbeState.REFUSED
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        adapter = LlamacppAdapter(client, health_deadline_s=0.2)
        assert (await adapter.probe(CLERK, url, is_deep=True)).state is ProbeState.LOADING


async def test_llamacpp_reads_back_what_runs(client: HttpClient) -> None:
    params = {"temperature": 0.800000011920929, "top_k": 40, "samplers": ["top_k", "temperature"], "seed": 7}
    script: dict[str, tuple[int, object]] = {
        "/props": (200, {"model_path": "/m/clerk.gguf", "chat_template": "T", "total_slots": 2,
                         "default_generation_settings": {"params": params}}),
        "/slots": (200, [{"n_ctx": 1024}, {"n_ctx": 512}]),
        "/v1/models": (200, {"data": [{"id": "clerk"}]}),
        "/metrics": (200, {}),
    }  # fmt: skip
    async with scripted_engine(script) as base_url:
        effective = await LlamacppAdapter(client).effective_config(base_url)
        assert await LlamacppAdapter(client).read_progress(base_url) is None
    assert effective == EffectiveConfig(
        model="clerk", model_path="/m/clerk.gguf", context_tokens=512, slots=2, chat_template="T",
        sampling_defaults="samplers=top_k,temperature temperature=0.8 top_k=40",
    )  # fmt: skip
    assert find_mismatches(CLERK, effective) == ("context_tokens: asked 1024, runs 512", "slots: asked 4, runs 2")


def test_mismatches_name_every_field() -> None:
    assert find_mismatches(CLERK, ASKED) == ()
    assert find_mismatches(CLERK, EffectiveConfig()) == (
        "context_tokens: asked 1024, runs unknown",
        "slots: asked 4, runs unknown",
        "model: asked clerk, runs None",
        "weights: asked /m/clerk.gguf, runs None",
    )


async def test_external_must_list_the_model_that_is_asked_for(client: HttpClient) -> None:
    settings = DeploymentSettings(url="http://127.0.0.1:1/v1", served_model="mid")
    script: dict[str, tuple[int, object]] = {"/v1/models": (200, {"data": [{"id": "big"}]}), CHAT: (200, TOKEN)}
    async with scripted_engine(script) as base_url:
        adapter = ExternalAdapter(client)
        wrong = await adapter.probe(Deployment("box", settings), base_url, is_deep=True)
        named = settings.model_copy(update={"served_model": "big"})
        right = await adapter.probe(Deployment("box", named), base_url, is_deep=True)
    assert wrong.detail == "it serves no model 'mid' (it lists big): set served_model"
    assert (wrong.state, right.state) == (ProbeState.LOADING, ProbeState.READY)


def test_the_digest_changes_with_what_changes_answers_and_with_nothing_else(client: HttpClient) -> None:
    adapter = LlamacppAdapter(client)

    def digest(deployment: Deployment = CLERK, effective: EffectiveConfig = ASKED, facts: WeightsFacts = FACTS) -> str:
        return compute_digest("deployment", adapter.digest_fields(deployment, effective, facts)).value

    neutral = Deployment("other", DeploymentSettings(model="clerk", threads=2, slots=8), Path("/elsewhere.gguf"))
    assert digest(neutral) == digest()
    changed = {
        digest(),
        digest(effective=EffectiveConfig(context_tokens=2048, chat_template="T", sampling_defaults="s")),
        digest(effective=EffectiveConfig(context_tokens=1024, chat_template="U", sampling_defaults="s")),
        digest(effective=EffectiveConfig(context_tokens=1024, chat_template="T", sampling_defaults="r")),
        digest(facts=WeightsFacts(sha256="v", quantization="q", tokenizer_sha256="t", chat_template_sha256="c")),
        digest(facts=WeightsFacts(sha256="w", quantization="q", tokenizer_sha256="u", chat_template_sha256="c")),
    }
    assert len(changed) == 6


def test_an_external_digest_is_declared_throughout(client: HttpClient) -> None:
    deployment = Deployment("box", DeploymentSettings(url="http://box/v1", quantization="awq"))
    fields = ExternalAdapter(client).digest_fields(deployment, EffectiveConfig(), None)
    assert {field.basis for field in fields} == {DigestBasis.DECLARED}
    assert {field.name: field.value for field in fields} == {
        "engine": "external", "model": "unknown", "quantization": "awq", "served_model": "box",
        "url": "http://box/v1",
    }  # fmt: skip


def test_the_launch_line_names_everything_and_external_launches_nothing(client: HttpClient) -> None:
    replica = ReplicaAddress("clerk-0@h", "http://127.0.0.1:8700/v1", 8700)
    argv = LlamacppAdapter(client).launch(CLERK, replica).argv[1:]
    assert argv[:2] == ("-m", "inhouse.serving.embedded_engine")
    pairs = dict(zip(argv[2::2], argv[3::2], strict=True))
    assert pairs.pop("--parent-pid") == str(os.getpid())
    assert pairs == {
        "--model": "/m/clerk.gguf", "--alias": "clerk", "--port": "8700", "--context-tokens": "1024", "--slots": "4",
        "--threads": "1",
    }  # fmt: skip
    assert ExternalAdapter(client).launch(CLERK, replica) is None
