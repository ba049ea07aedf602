"""Free quality signals: what an answer tells of itself, without a model and without asking anybody."""

from inhouse.telemetry.signals.answer import Answer, ToolCall
from inhouse.telemetry.signals.ask import Ask, ask_again, read_ask
from inhouse.telemetry.signals.flags import SignalFlag, SignalLine, list_signals, read_flags
from inhouse.telemetry.signals.logprobs import LogprobStats
from inhouse.telemetry.signals.measure import measure_signals
from inhouse.telemetry.signals.replies import read_answer
from inhouse.telemetry.signals.schema import CompiledSchema, compile_schema, compile_tools
from inhouse.telemetry.signals.stream import StreamAnswer

__all__ = [
    "Answer",
    "Ask",
    "CompiledSchema",
    "LogprobStats",
    "SignalFlag",
    "SignalLine",
    "StreamAnswer",
    "ToolCall",
    "ask_again",
    "compile_schema",
    "compile_tools",
    "list_signals",
    "measure_signals",
    "read_answer",
    "read_ask",
    "read_flags",
]
