"""Every room says what it gives to the others, truthfully and in order."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import inhouse

ROOMS = sorted(module.name for module in pkgutil.iter_modules(inhouse.__path__))


def load(room: str) -> ModuleType:
    return importlib.import_module(f"inhouse.{room}")


def test_the_rooms_are_those_of_the_design() -> None:
    assert ROOMS == [
        "backends", "catalog", "cli", "console", "control", "domain", "evals", "gateway", "planning", "reports",
        "routing", "serving", "store", "telemetry",
    ]  # fmt: skip


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_lists_its_public_names_sorted_and_has_them(room: str) -> None:
    names: list[str] = load(room).__all__

    assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert [name for name in names if not hasattr(load(room), name)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_exports_nothing_that_it_does_not_list(room: str) -> None:
    module = load(room)
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith("inhouse.")
    }

    assert own - set(module.__all__) == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room: str) -> None:
    assert (load(room).__doc__ or "").strip().endswith(".")
