"""Azure's addresses in both its APIs, and what its content filter says."""

from __future__ import annotations

import pytest

from inhouse.backends.azure import build_azure_path, is_filter_rejection, is_filtered_reply, is_prompt_chunk
from inhouse.domain import Operation

HOST = "https://acme.openai.azure.com"


@pytest.mark.parametrize("base_url", [HOST, f"{HOST}/", f"{HOST}/openai", f"{HOST}/openai/", f"{HOST}/openai/v1/"])
@pytest.mark.parametrize(
    ("operation", "version", "path"),
    [
        (Operation.CHAT, "2024-10-21", "/openai/deployments/gpt-mid/chat/completions?api-version=2024-10-21"),
        (Operation.COMPLETIONS, "2024-10-21", "/openai/deployments/gpt-mid/completions?api-version=2024-10-21"),
        (Operation.EMBEDDINGS, "2024-10-21", "/openai/deployments/gpt-mid/embeddings?api-version=2024-10-21"),
        (Operation.RESPONSES, "2025-04-01-preview", "/openai/responses?api-version=2025-04-01-preview"),
        (Operation.CHAT, None, "/openai/v1/chat/completions"),
        (Operation.EMBEDDINGS, None, "/openai/v1/embeddings"),
        (Operation.RESPONSES, None, "/openai/v1/responses"),
    ],
)
def test_the_path_of_an_operation(base_url: str, operation: Operation, version: str | None, path: str) -> None:
    assert build_azure_path(base_url, "gpt-mid", operation, version) == path


def test_a_prefix_is_kept_and_names_are_quoted() -> None:
    path = build_azure_path("https://apim.acme.net/llm/openai", "my model/ä?x=1", Operation.CHAT, "v 1&x")
    assert path == "/llm/openai/deployments/my%20model%2F%C3%A4%3Fx%3D1/chat/completions?api-version=v%201%26x"


def test_an_operation_that_azure_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="Azure OpenAI does not offer messages"):
        build_azure_path(HOST, "d", Operation.MESSAGES, None)


REFUSED = (
    b'{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI\'s content management '
    b'policy. Please modify your prompt and retry.","type":null,"param":"prompt","code":"content_filter","status":400,'
    b'"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":'
    b'"medium"},"jailbreak":{"detected":false,"filtered":false}}}}}'
)


@pytest.mark.parametrize(
    ("body", "is_filter"),
    [
        (REFUSED, True),
        (b'{"error":{"code":null,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}', True),
        (b'{"error":{"code":"BadRequest","inner_error":{"code":"ResponsibleAIPolicyViolation"}}}', True),
        (b'{"error":{"code":"DeploymentNotFound","message":"content_filter"}}', False),
        (b'{"error":"content_filter"}', False),
        (b"content_filter", False),
        (b'{"error":null}', False),
    ],
)
def test_a_refused_prompt_is_recognised(body: bytes, is_filter: bool) -> None:
    assert is_filter_rejection(body) is is_filter


PROMPT_CHUNK = (
    b'{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,'
    b'"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"custom_blocklists":[{"id":"b","filtered":'
    b"false}]}}]}"
)


@pytest.mark.parametrize(
    ("data", "is_filtered"),
    [
        (PROMPT_CHUNK, False),
        (PROMPT_CHUNK.replace(b'"filtered":false,"severity"', b'"filtered": true,"severity"'), True),
        (b'{"choices":[{"index":0,"finish_reason":"content_filter","delta":{},"content_filter_results":{}}]}', True),
        (
            b'{"choices":[{"index":0,"finish_reason":"stop","content_filter_results":{"hate":{"filtered":false}}}]}',
            False,
        ),
        (b'{"choices":[{"message":{"content":"filter"}}]}', False),
        (b"filter", False),
    ],
)
def test_a_withheld_answer_is_recognised(data: bytes, is_filtered: bool) -> None:
    assert is_filtered_reply(data) is is_filtered


def test_the_leading_chunk_of_a_stream_is_no_answer() -> None:
    assert is_prompt_chunk(PROMPT_CHUNK)
    assert not is_prompt_chunk(b'{"choices":[{"delta":{"content":"a"}}],"prompt_filter_results":[]}')
    assert not is_prompt_chunk(b'{"choices":[],"usage":{}}')
    assert not is_prompt_chunk(b'"prompt_filter_results"')
