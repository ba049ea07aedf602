"""What can be told of an answer's quality from its own text, for nothing. Small integers; measured elsewhere."""

from __future__ import annotations

from msgspec import Struct


class Signals(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The free quality signals of one answer (the first choice of several).

    None is "could not be measured" (nothing of the kind was asked for, the endpoint did not say, too large to look
    at), never zero. A count or a run whose default is 0 was looked at in every answer. Yes and no are 1 and 0, so that
    SQL can sum them.
    """

    num_chars: int = 0
    """Visible characters."""
    empty: int | None = None
    """1: a finished answer without visible text, tool call or other output."""
    reasoning_only: int | None = None
    """1: such an empty answer although reasoning came."""
    truncated: int | None = None
    """1: the endpoint stopped at a limit of tokens."""
    cap_share: int | None = None
    """Output tokens as percent of the limit that the client set."""
    refusal: int = 0
    """1: it reads as a refusal, or the endpoint says that it refused or filtered."""
    token_leak: int = 0
    """1: special tokens or template markers stand in the text, outside code blocks."""
    whitespace_run: int = 0
    """Longest run of whitespace in characters; shorter than 8 is 0."""
    longest_run: int = 0
    """Longest run of one visible character; shorter than 16 is 0."""
    repeated_share: int | None = None
    """Percent of the last part's runs of four words that stood there before; looked at where something hints at it."""
    compressed_share: int | None = None
    """Size of the last part under zlib, as percent of its plain size; looked at with `repeated_share`."""
    script_mismatch: int | None = None
    """Percent, rounded up, of letters in a script that the prompt does not use, outside code blocks."""
    json_valid: int | None = None
    """1: JSON was asked for, and the text parses."""
    schema_valid: int | None = None
    """1: a JSON shape was asked for, and the text has it."""
    tools_valid: int | None = None
    """1: every tool call names a tool that was offered, with arguments that fit its schema."""
    chars_per_token: int | None = None
    """Characters per reported visible output token, times 100."""
    logprob_mean: int | None = None
    """Mean log probability of the tokens in thousandths of a nat."""
    logprob_low_share: int | None = None
    """Tokens with a log probability below -5, per thousand."""
    logprob_margin: int | None = None
    """Mean distance of the two likeliest tokens in thousandths of a nat, where the endpoint gave alternatives."""
