"""Calling endpoints: the HTTP client and one module for each wire dialect. Chooses nothing, keeps nothing.

The simulated provider is loaded when it is first asked for, so that a gateway worker carries no web framework.
"""

import importlib
from typing import TYPE_CHECKING, Any

from inhouse.backends.anthropic import (
    messages_error_body,
    messages_error_event,
    read_count_tokens_request,
    read_messages_request,
)
from inhouse.backends.chat_meter import ChatMeter
from inhouse.backends.completions import read_completions_request
from inhouse.backends.connection import Receiver, ReplyHead, Shortcut, find_payload
from inhouse.backends.continued import Turn, continue_request, read_turn
from inhouse.backends.credentials import CredentialBook, KeyRing, KeySource
from inhouse.backends.deadline import NEVER, Deadline
from inhouse.backends.dial import Dialer
from inhouse.backends.dialects import (
    ExchangePlan,
    build_url,
    meter_operation,
    plan_exchange,
    read_operation_facts,
)
from inhouse.backends.embeddings import read_embeddings_request
from inhouse.backends.http import (
    DEFAULT_TIMEOUTS,
    Call,
    Exchange,
    HttpClient,
    Response,
    StreamedResponse,
    Timeouts,
    Way,
    name_pool,
)
from inhouse.backends.openai import (
    CHAT_PATH,
    ChatRequest,
    WireChoice,
    WireReply,
    is_json,
    read_chat_request,
    read_reply,
)
from inhouse.backends.quirks import UpstreamFault, classify_rejection, native_operations
from inhouse.backends.responses import ResponsesRequest, read_responses_request, responses_error_event
from inhouse.backends.settings import ProviderModelSettings, ProviderPriceSettings, ProviderSettings, SimulationSettings
from inhouse.backends.sse import EventCutter, EventTooLongError, read_data, split_events
from inhouse.backends.target import Target, parse_target
from inhouse.backends.tlsfiles import ServerTlsWatcher, TlsFileError, make_server_context
from inhouse.backends.wire import (
    TEXT_ONLY,
    Meter,
    ReplyFacts,
    RequestReader,
    Translator,
    UntranslatableError,
    WireRequest,
)

if TYPE_CHECKING:
    from inhouse.backends.simulated import (
        SimulatedAnswer,
        SimulatedFaults,
        SimulatedRun,
        build_simulated_app,
        run_simulated_provider,
    )
from inhouse.backends.wire_usage import WireUsage, parse_usage

__all__ = [
    "CHAT_PATH",
    "DEFAULT_TIMEOUTS",
    "NEVER",
    "TEXT_ONLY",
    "Call",
    "ChatMeter",
    "ChatRequest",
    "CredentialBook",
    "Deadline",
    "Dialer",
    "EventCutter",
    "EventTooLongError",
    "Exchange",
    "ExchangePlan",
    "HttpClient",
    "KeyRing",
    "KeySource",
    "Meter",
    "ProviderModelSettings",
    "ProviderPriceSettings",
    "ProviderSettings",
    "Receiver",
    "ReplyFacts",
    "ReplyHead",
    "RequestReader",
    "Response",
    "ResponsesRequest",
    "ServerTlsWatcher",
    "Shortcut",
    "SimulatedAnswer",
    "SimulatedFaults",
    "SimulatedRun",
    "SimulationSettings",
    "StreamedResponse",
    "Target",
    "Timeouts",
    "TlsFileError",
    "Translator",
    "Turn",
    "UntranslatableError",
    "UpstreamFault",
    "Way",
    "WireChoice",
    "WireReply",
    "WireRequest",
    "WireUsage",
    "build_simulated_app",
    "build_url",
    "classify_rejection",
    "continue_request",
    "find_payload",
    "is_json",
    "make_server_context",
    "messages_error_body",
    "messages_error_event",
    "meter_operation",
    "name_pool",
    "native_operations",
    "parse_target",
    "parse_usage",
    "plan_exchange",
    "read_chat_request",
    "read_completions_request",
    "read_count_tokens_request",
    "read_data",
    "read_embeddings_request",
    "read_messages_request",
    "read_operation_facts",
    "read_reply",
    "read_responses_request",
    "read_turn",
    "responses_error_event",
    "run_simulated_provider",
    "split_events",
]

_SIMULATED = ("SimulatedAnswer", "SimulatedFaults", "SimulatedRun", "build_simulated_app", "run_simulated_provider")


def __getattr__(name: str) -> Any:
    if name not in _SIMULATED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.simulated"), name)
