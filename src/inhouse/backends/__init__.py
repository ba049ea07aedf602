"""Calling endpoints: the HTTP client and one module for each wire dialect. Chooses nothing, keeps nothing."""

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
    "SimulationSettings",
    "StaleConnectionError",
    "StreamedResponse",
    "Target",
    "Timeouts",
    "WireChoice",
    "WireReply",
    "WireUsage",
    "is_json",
    "parse_target",
    "parse_usage",
    "read_chat_request",
    "read_data",
    "read_reply",
    "split_events",
]
