"""What endpoints offer, and what their refusals mean: error bodies in the shapes that each server really sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.backends.quirks import (
    ENGINE_QUIRKS,
    UpstreamFault,
    classify_rejection,
    find_quirks,
    native_operations,
    read_error_message,
)
from inhouse.domain import Dialect, EngineKind, Operation

CONTEXT, CAPABILITY, FILTER, MISSING, OTHER = (
    UpstreamFault.CONTEXT_LENGTH,
    UpstreamFault.CAPABILITY,
    UpstreamFault.CONTENT_FILTER,
    UpstreamFault.MODEL_MISSING,
    UpstreamFault.OTHER,
)


def test_every_engine_has_a_row_and_offers_chat() -> None:
    assert set(ENGINE_QUIRKS) == set(EngineKind)
    assert all(Operation.CHAT in row.operations for row in ENGINE_QUIRKS.values())


@pytest.mark.parametrize(
    ("dialect", "engine", "operations"),
    [
        (Dialect.OPENAI, EngineKind.GENERIC, {"chat", "completions", "embeddings"}),
        (Dialect.OPENAI, EngineKind.OPENAI, {"chat", "completions", "embeddings"}),
        (Dialect.OPENAI, EngineKind.VLLM, set(Operation)),
        (Dialect.OPENAI, EngineKind.SGLANG, set(Operation)),
        (Dialect.OPENAI, EngineKind.TGI, {"chat", "completions"}),
        (Dialect.OPENAI, EngineKind.TENSORRT_LLM, {"chat", "completions", "responses"}),
        (Dialect.OPENAI, EngineKind.LLAMACPP, set(Operation)),
        (Dialect.OPENAI, EngineKind.OLLAMA, {"chat", "completions", "embeddings", "responses", "messages"}),
        (Dialect.AZURE_OPENAI, EngineKind.GENERIC, {"chat", "completions", "embeddings", "responses"}),
        (Dialect.ANTHROPIC, EngineKind.GENERIC, {"messages", "count_tokens"}),
    ],
)
def test_what_an_endpoint_offers_natively(dialect: Dialect, engine: EngineKind, operations: set[str]) -> None:
    assert native_operations(dialect, engine) == operations


@pytest.mark.parametrize(
    ("dialect", "engine", "api_version", "cap_field"),
    [
        (Dialect.OPENAI, EngineKind.OPENAI, None, "max_completion_tokens"),
        (Dialect.OPENAI, EngineKind.GENERIC, None, "max_tokens"),
        (Dialect.OPENAI, EngineKind.OLLAMA, None, "max_tokens"),
        (Dialect.AZURE_OPENAI, EngineKind.GENERIC, None, "max_completion_tokens"),
        (Dialect.AZURE_OPENAI, EngineKind.GENERIC, "2024-08-01-preview", "max_tokens"),
        (Dialect.AZURE_OPENAI, EngineKind.GENERIC, "2024-09-01-preview", "max_completion_tokens"),
        (Dialect.AZURE_OPENAI, EngineKind.GENERIC, "2024-10-21", "max_completion_tokens"),
        (Dialect.AZURE_OPENAI, EngineKind.GENERIC, "preview", "max_completion_tokens"),
    ],
)
def test_what_the_cap_is_called(dialect: Dialect, engine: EngineKind, api_version: str | None, cap_field: str) -> None:
    """Azure's reasoning models refuse `max_tokens`; its versions before them refuse the other name."""
    assert find_quirks(dialect, engine, api_version).cap_field == cap_field


ENGINE_BODIES = [
    (
        EngineKind.VLLM,
        400,
        (
            b'{"error":{"message":"This model\'s maximum context length is 4096 tokens. However, you requested '
            b"512 output "
            b"tokens and your prompt contains at least 3585 input tokens, for a total of at least 4097 tokens. Please "
            b"reduce the length of the input prompt or the number of requested output "
            b'tokens.","type":"BadRequestError",'
            b'"param":"input_tokens","code":400}}'
        ),
        CONTEXT,
    ),
    (
        EngineKind.VLLM,
        400,
        (
            b'{"object":"error","message":"You passed 12289 input tokens and requested 4096 output tokens. '
            b"However, the "
            b"model's context length is only 16384 tokens, resulting in a maximum input length of 12288 tokens.\","
            b'"type":"BadRequestError","param":null,"code":400}'
        ),
        CONTEXT,
    ),
    (
        EngineKind.VLLM,
        400,
        (
            b'{"error":{"message":"\\"auto\\" tool choice requires --enable-auto-tool-choice and '
            b"--tool-call-parser to be "
            b'set","type":"BadRequestError","param":null,"code":400}}'
        ),
        CAPABILITY,
    ),
    (
        EngineKind.VLLM,
        400,
        (
            b'{"error":{"message":"meta-llama/Llama-3.1-8B is not a multimodal model","type":"BadRequestError",'
            b'"param":null,"code":400}}'
        ),
        CAPABILITY,
    ),
    (
        EngineKind.VLLM,
        404,
        b'{"error":{"message":"The model `scout` does not exist.","type":"NotFoundError","param":"model","code":404}}',
        MISSING,
    ),
    (EngineKind.VLLM, 404, b'{"detail":"Not Found"}', CAPABILITY),
    (
        EngineKind.VLLM,
        501,
        (
            b'{"error":{"message":"The model does not support Embeddings '
            b'API","type":"NotImplementedError","param":null,'
            b'"code":501}}'
        ),
        CAPABILITY,
    ),
    (
        EngineKind.VLLM,
        400,
        (
            b'{"error":{"message":"temperature must be non-negative, got -1.0.","type":"BadRequestError","param":'
            b'"temperature","code":400}}'
        ),
        OTHER,
    ),
    (
        EngineKind.SGLANG,
        400,
        (
            b'{"object":"error","message":"The input (137236 tokens) is longer than the model\'s context length '
            b"(131072 "
            b'tokens).","type":"BadRequestError","param":null,"code":400}'
        ),
        CONTEXT,
    ),
    (
        EngineKind.SGLANG,
        400,
        (
            b'{"object":"error","message":"Requested token count exceeds the model\'s maximum context length of 8192 '
            b'tokens. You requested a total of 9000 tokens","type":"BadRequestError","param":null,"code":400}'
        ),
        CONTEXT,
    ),
    (
        EngineKind.TGI,
        422,
        (
            b'{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 17 `inputs` '
            b'tokens and 10000 `max_new_tokens`","error_type":"validation"}'
        ),
        CONTEXT,
    ),
    (
        EngineKind.TGI,
        422,
        b'{"error":"Template error: template not found","error_type":"template_error"}',
        CAPABILITY,
    ),
    (
        EngineKind.TGI,
        422,
        b'{"error":"Input validation error: `temperature` must be strictly positive","error_type":"validation"}',
        OTHER,
    ),
    (
        EngineKind.TENSORRT_LLM,
        400,
        (
            b'{"object":"error","message":"The sum of prompt length (72417.0), query length (0) should not exceed '
            b'max_num_tokens (69632)","type":"BadRequestError","param":null,"code":400}'
        ),
        CONTEXT,
    ),
    (
        EngineKind.LLAMACPP,
        400,
        (
            b'{"error":{"code":400,"message":"request (13392 tokens) exceeds the available context size (8192 '
            b"tokens), try "
            b'increasing it","type":"exceed_context_size_error","n_prompt_tokens":13392,"n_ctx":8192}}'
        ),
        CONTEXT,
    ),
    (
        EngineKind.LLAMACPP,
        501,
        (
            b'{"error":{"code":501,"message":"This server does not support embeddings. Start it with `--embeddings`",'
            b'"type":"not_supported_error"}}'
        ),
        CAPABILITY,
    ),
    (
        EngineKind.LLAMACPP,
        500,
        (
            b'{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, you '
            b"may need to "
            b'provide the mmproj","type":"server_error"}}'
        ),
        CAPABILITY,
    ),
    (
        EngineKind.LLAMACPP,
        404,
        b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}',
        CAPABILITY,
    ),
    (
        EngineKind.OLLAMA,
        400,
        (
            b'{"error":{"message":"registry.ollama.ai/library/gemma:2b does not support tools","type":'
            b'"invalid_request_error","param":null,"code":null}}'
        ),
        CAPABILITY,
    ),
    (
        EngineKind.OLLAMA,
        404,
        (
            b'{"error":{"message":"model \\"scout\\" not found, try pulling it first","type":"not_found_error","param":'
            b'null,"code":null}}'
        ),
        MISSING,
    ),
    (EngineKind.OLLAMA, 400, b'{"error":"the input length exceeds the context length"}', CONTEXT),
    (
        EngineKind.OLLAMA,
        400,
        (
            b'{"error":"{\\"error\\":{\\"code\\":400,\\"message\\":\\"request exceeds the available context '
            b'size\\",\\"type'
            b'\\":\\"exceed_context_size_error\\"}}"}'
        ),
        CONTEXT,
    ),
    (EngineKind.OLLAMA, 404, b"404 page not found", CAPABILITY),
]


@pytest.mark.parametrize(("engine", "status", "body", "fault"), ENGINE_BODIES)
def test_an_engine_s_refusal_is_understood(engine: EngineKind, status: int, body: bytes, fault: UpstreamFault) -> None:
    assert classify_rejection(Dialect.OPENAI, engine, status, body) is fault


@pytest.mark.parametrize(("engine", "status", "body", "fault"), ENGINE_BODIES)
def test_it_is_understood_too_where_the_engine_is_not_known(
    engine: EngineKind, status: int, body: bytes, fault: UpstreamFault
) -> None:
    assert classify_rejection(Dialect.OPENAI, EngineKind.GENERIC, status, body) is fault


OPENAI_BODIES = [
    (
        400,
        (
            b'{"error":{"message":"This model\'s maximum context length is 128000 tokens. However, your '
            b"messages resulted "
            b'in 130021 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":'
            b'"messages","code":"context_length_exceeded"}}'
        ),
        CONTEXT,
    ),
    (
        404,
        (
            b'{"error":{"message":"The model `gpt-x` does not exist or you do not have access to it.","type":'
            b'"invalid_request_error","param":null,"code":"model_not_found"}}'
        ),
        MISSING,
    ),
    (
        400,
        (
            b'{"error":{"message":"Unsupported parameter: \'max_tokens\' is not supported with this model. Use '
            b'\'max_completion_tokens\' instead.","type":"invalid_request_error","param":"max_tokens","code":'
            b'"unsupported_parameter"}}'
        ),
        CAPABILITY,
    ),
    (
        400,
        (
            b'{"error":{"message":"max_tokens is too large: 90000. This model supports at most 16384 completion '
            b"tokens, "
            b'whereas you provided 90000.","type":"invalid_request_error","param":"max_tokens","code":null}}'
        ),
        CAPABILITY,
    ),
    (
        404,
        (
            b'{"error":{"message":"Invalid URL (POST /v1/respond)","type":"invalid_request_error","param":null,"code":'
            b"null}}"
        ),
        CAPABILITY,
    ),
    (
        404,
        (
            b'{"error":{"message":"Previous response with id \'resp_1\' not '
            b'found.","type":"invalid_request_error","param":'
            b'"previous_response_id","code":"previous_response_not_found"}}'
        ),
        OTHER,
    ),
    (
        400,
        (
            b'{"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy.",'
            b'"type":"invalid_request_error","param":null,"code":"invalid_prompt"}}'
        ),
        FILTER,
    ),
    (
        400,
        (
            b'{"error":{"message":"Invalid type for \'messages\': expected an array of objects, but got a '
            b'string instead.",'
            b'"type":"invalid_request_error","param":"messages","code":"invalid_type"}}'
        ),
        OTHER,
    ),
    (429, b'{"error":{"message":"Request too large: maximum context length","code":"rate_limit_exceeded"}}', OTHER),
    (401, b'{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}', OTHER),
    (400, b"", OTHER),
    (400, b"<html>maximum context length</html>", OTHER),
]


@pytest.mark.parametrize(("status", "body", "fault"), OPENAI_BODIES)
def test_openai_s_refusal_is_understood(status: int, body: bytes, fault: UpstreamFault) -> None:
    assert classify_rejection(Dialect.OPENAI, EngineKind.GENERIC, status, body) is fault


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (
            400,
            (
                b'{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI\'s content '
                b'management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{'
                b'"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true}}}}}'
            ),
            FILTER,
        ),
        (
            404,
            (
                b'{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does '
                b"not exist. If "
                b'you created the deployment within the last 5 minutes, please wait a moment and try again."}}'
            ),
            MISSING,
        ),
        (
            400,
            (
                b'{"error":{"code":"OperationNotSupported","message":"The chatCompletion operation does not '
                b"work with the "
                b'specified model, text-embedding-3-small. Please choose different model and try again."}}'
            ),
            CAPABILITY,
        ),
        (
            400,
            (
                b'{"error":{"message":"This model\'s maximum context length is 8192 tokens, however you requested 9000 '
                b'tokens","type":"invalid_request_error","param":null,"code":null}}'
            ),
            CONTEXT,
        ),
        (404, b'{"error":{"code":"404","message":"Resource not found"}}', OTHER),
    ],
)
def test_azure_s_refusal_is_understood(status: int, body: bytes, fault: UpstreamFault) -> None:
    assert classify_rejection(Dialect.AZURE_OPENAI, EngineKind.GENERIC, status, body) is fault


@pytest.mark.parametrize(
    ("status", "message", "kind", "fault"),
    [
        (400, "prompt is too long: 205123 tokens > 200000 maximum", "invalid_request_error", CONTEXT),
        (
            400,
            (
                "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or "
                "`max_tokens` and try again"
            ),
            "invalid_request_error",
            CONTEXT,
        ),
        (413, "Request exceeds the maximum size", "request_too_large", CONTEXT),
        (404, "model: claude-x", "not_found_error", MISSING),
        (400, "Output blocked by content filtering policy", "invalid_request_error", FILTER),
        (400, "'claude-2.1' does not support image input.", "invalid_request_error", CAPABILITY),
        (400, "messages: roles must alternate between user and assistant", "invalid_request_error", OTHER),
        (403, "Your API key does not support this", "permission_error", OTHER),
    ],
)
def test_anthropic_s_refusal_is_understood(status: int, message: str, kind: str, fault: UpstreamFault) -> None:
    body = b'{"type":"error","error":{"type":"%b","message":"%b"},"request_id":"req_1"}' % (
        kind.encode(),
        message.encode(),
    )
    assert classify_rejection(Dialect.ANTHROPIC, EngineKind.GENERIC, status, body) is fault
    assert read_error_message(body) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"a"}}', "a"),
        (b'{"error":"a"}', "a"),
        (b'{"object":"error","message":"a"}', "a"),
        (b'{"detail":"a"}', "a"),
        (b'{"detail":[{"loc":["body"],"msg":"a","type":"missing"}]}', "a"),
        (b'[{"error":{"code":400,"message":"a"}}]', "a"),
        (b'{"error":{"message":"{\\"message\\":\\"a\\"}"}}', "a"),
        (b'{"error":{"message":"{not json"}}', "{not json"),
        (b'{"error":{}}', None),
        (b'{"error":{"message":null,"code":"x"}}', None),
        (b"[]", None),
        (b"5", None),
        (b"plain words", None),
        (b"\xff\xfe", None),
        (b'{"error":' * 5000, None),
        (b'{"error":' * 50 + b'"a"' + b"}" * 50, None),
        (b'{"message":"%b"}' % (b"a" * 70_000), None),
    ],
)
def test_the_words_of_an_error_are_found_in_any_shape(body: bytes, message: str | None) -> None:
    assert read_error_message(body) == message


@given(
    status=st.integers(400, 599),
    body=st.binary(max_size=80),
    dialect=st.sampled_from(Dialect),
    engine=st.sampled_from(EngineKind),
)
def test_any_bytes_are_classified(status: int, body: bytes, dialect: Dialect, engine: EngineKind) -> None:
    assert classify_rejection(dialect, engine, status, body) in UpstreamFault
