"""Calling endpoints: the HTTP client and one module for each wire dialect. Chooses nothing, keeps nothing.

The simulated provider is loaded when it is first asked for, so that a gateway worker carries no web framework.
"""

import importlib
from typing import TYPE_CHECKING, Any

from inhouse.backends.connection import Receiver, StaleConnectionError
from inhouse.backends.deadline import NEVER, Deadline
from inhouse.backends.http import DEFAULT_TIMEOUTS, Exchange, HttpClient, Response, StreamedResponse, Timeouts
from inhouse.backends.openai import (
    CHAT_PATH,
    ChatRequest,
    WireChoice,
    WireReply,
    WireUsage,
    is_json,
    parse_usage,
    read_chat_request,
    read_reply,
)
from inhouse.backends.settings import ProviderModelSettings, ProviderPriceSettings, ProviderSettings, SimulationSettings
from inhouse.backends.sse import EventCutter, EventTooLongError, read_data, split_events
from inhouse.backends.target import Target, parse_target

if TYPE_CHECKING:
    from inhouse.backends.simulated import (
        SimulatedAnswer,
        SimulatedFaults,
        SimulatedRun,
        build_simulated_app,
        run_simulated_provider,
    )

__all__ = [
    "CHAT_PATH",
    "DEFAULT_TIMEOUTS",
    "NEVER",
    "ChatRequest",
    "Deadline",
    "EventCutter",
    "EventTooLongError",
    "Exchange",
    "HttpClient",
    "ProviderModelSettings",
    "ProviderPriceSettings",
    "ProviderSettings",
    "Receiver",
    "Response",
    "SimulatedAnswer",
    "SimulatedFaults",
    "SimulatedRun",
    "SimulationSettings",
    "StaleConnectionError",
    "StreamedResponse",
    "Target",
    "Timeouts",
    "WireChoice",
    "WireReply",
    "WireUsage",
    "build_simulated_app",
    "is_json",
    "parse_target",
    "parse_usage",
    "read_chat_request",
    "read_data",
    "read_reply",
    "run_simulated_provider",
    "split_events",
]

_SIMULATED = ("SimulatedAnswer", "SimulatedFaults", "SimulatedRun", "build_simulated_app", "run_simulated_provider")


def __getattr__(name: str) -> Any:
    if name not in _SIMULATED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.simulated"), name)
