"""Opens what a running (or stopped) installation left in its state folder, for commands that only look."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.config import Configuration, load_config
from inhouse.cli.state import StateFolder
from inhouse.domain import StateError
from inhouse.store import Store, open_store

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file of the installation.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DEFAULT_FILE = Path("inhouse.yaml")


@dataclass(frozen=True, slots=True)
class Installation:
    """A configuration, its state folder and its store."""

    configuration: Configuration
    state: StateFolder
    store: Store


def read_configuration(file: Path) -> Configuration:
    """Read a configuration for a command that only looks: variables that only running needs may be missing.

    Raises:
        ConfigError: the file cannot be read.
    """
    return load_config(file, _Environment(os.environ))


def find_configuration(config: Path | None, store: str | None = None) -> Configuration | None:
    """The named file; where neither file nor store is named, the one in the working directory, if there is one.

    Raises:
        ConfigError: it cannot be read.
    """
    path = config
    if path is None and store is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    return None if path is None else read_configuration(path)


@contextlib.contextmanager
def open_installation(file: Path) -> Generator[Installation]:
    """Open the installation of a file; environment variables that only running needs may be missing.

    Raises:
        ConfigError: the file cannot be read.
        StateError: `inhouse up` never ran with it, or the store cannot be opened.
    """
    configuration = read_configuration(file)
    state = StateFolder(configuration.state_dir)
    if not state.addresses.exists():
        raise StateError(f"nothing was started from {file} yet.", fix=f"Start it: `inhouse up -c {file}`.")
    with contextlib.closing(open_store(configuration.store_url)) as store:
        yield Installation(configuration, state, store)


def find_store_url(file: Path) -> str:
    """The store that a configuration file names; environment variables that only running needs may be missing.

    Raises:
        ConfigError: the file cannot be read.
    """
    return read_configuration(file).store_url


class _Environment(dict[str, str]):
    """The environment; a variable that is not set reads as a placeholder that passes for a key."""

    def get(self, key: str, default: str | None = None) -> str | None:  # pyright: ignore[reportIncompatibleMethodOverride] -- one caller, one signature
        """The variable's value, else a placeholder."""
        return super().get(key) or default or f"not-set-{key}-".ljust(32, "-")
