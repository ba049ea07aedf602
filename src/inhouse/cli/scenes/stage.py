"""What every scene gets: the running platform, a client, the demonstration's key, and somewhere to print."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.text import Text

from inhouse.cli.platform import Platform
from inhouse.cli.traffic import ChatCall
from inhouse.domain import InhouseError

ROUTE = "support-desk"
REAL = "[green]real[/]"
SIMULATED = "[magenta]simulated[/]"


class SceneFailedError(InhouseError):
    """A scene saw something else than what the platform promises."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The platform under demonstration and how to reach it. `call` carries the demonstration's own key."""

    platform: Platform
    call: ChatCall
    console: Console

    def print(self, *renderables: RenderableType) -> None:
        """Print below a scene's heading."""
        for renderable in renderables:
            self.console.print(renderable)

    def title(self, number: int, text: str) -> None:
        """A scene's heading."""
        self.console.print()
        self.console.print(Text(f"{number}  {text}", style="bold"))

    def status(self, text: str) -> None:
        """A quiet line."""
        self.console.print(Text.from_markup(text, style="dim"))

    def tag(self, *, is_simulated: bool) -> str:
        """`real` or `simulated`, as markup."""
        return SIMULATED if is_simulated else REAL

    def require(self, condition: object, problem: str) -> None:
        """End the demonstration with exit code 1 where a promise does not hold."""
        if not condition:
            raise SceneFailedError(problem)
