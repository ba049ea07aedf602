"""`inhouse decide`: build or buy, from typed figures, a usage export or the own traces, before anything is deployed."""

from __future__ import annotations

_TEAM_FIX = (
    "Give the share of full-time engineers that self-hosting would take: `--fte 0.5`, or `team: {fte_share: 0.5}`. "
    "It changes the answer, so that it has no default."
)
