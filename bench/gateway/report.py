"""What a run found: figures by section, goals, versions; as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from blocks import Cost
from goals import Goal, show_goal, sort_goals


@dataclass
class Report:
    """Filled section by section. `notes` are sentences that belong beside the figures."""

    machine: str
    figures: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    goals: list[Goal] = field(default_factory=list[Goal])
    notes: list[str] = field(default_factory=list[str])

    def add_costs(self, section: str, costs: Mapping[str, Cost], num_per_request: int, unit: str) -> None:
        """CPU figures, per request or per chunk; printed at once."""
        self.figures[section] = {
            label: asdict(cost) | {"us": cost.median_us / num_per_request if cost.blocks_us else None, "per": unit}
            for label, cost in costs.items()
        }
        print(f"\n{section}: CPU µs per {unit}, median of blocks")
        for label, cost in costs.items():
            if not cost.blocks_us:
                print(f"  {label:<28} not measured: it answers {_show_statuses(cost)}   {cost.version}")
                continue
            blocks = ", ".join(f"{value / num_per_request:.1f}" for value in cost.blocks_us)
            print(
                f"  {label:<28} {cost.median_us / num_per_request:>9.1f}   [{blocks}]   {cost.num_good} requests,"
                f" {cost.num_bad} failed   {cost.version}",
                flush=True,
            )

    def add_figures(self, section: str, rows: Mapping[str, Mapping[str, float]]) -> None:
        """Named figures for each label; printed at once."""
        self.figures[section] = {label: dict(row) for label, row in rows.items()}
        print(f"\n{section}")
        for label, row in rows.items():
            print(f"  {label:<28} " + "   ".join(f"{name} {value:,.6g}" for name, value in row.items()), flush=True)

    def add_note(self, note: str) -> None:
        """A sentence beside the figures; printed at once."""
        self.notes.append(note)
        print(f"  note: {note}", flush=True)

    def show_goals(self) -> None:
        """The table, failing rows last."""
        print("\ngoals")
        for goal in sort_goals(self.goals):
            print(f"  {show_goal(goal)}")

    @property
    def has_failed(self) -> bool:
        """Whether a goal that was measured does not hold."""
        return any(goal.holds is False for goal in self.goals)

    def to_json(self) -> dict[str, Any]:
        """Everything, goals with their verdict."""
        goals = [asdict(goal) | {"holds": goal.holds} for goal in sort_goals(self.goals)]
        return {"machine": self.machine, "figures": self.figures, "goals": goals, "notes": self.notes}


def explain_missing(costs: Mapping[str, Cost], labels: Sequence[str]) -> str:
    """Why a goal over these has no figure: the first that is not there or did not answer."""
    for label in labels:
        cost = costs.get(label)
        if cost is None:
            return f"{label} is not installed here (--setup installs it)"
        if not cost.blocks_us:
            who = "the gateway" if label.startswith("inhouse") else label
            return f"{who} answers {_show_statuses(cost)}"
    return ""


def _show_statuses(cost: Cost) -> str:
    return ", ".join(map(str, cost.statuses)) or "nothing"
