"""The docs name every setting, command, metric and error code, and no link of theirs is dead."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "scripts" / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["configuration.md", "commands.md", "metrics.md", "errors.md"])
def test_the_reference_is_what_the_code_says(name: str) -> None:
    """`make docs` writes these pages again."""
    assert (DOCS / "reference" / name).read_text() == load_script().render_pages()[name]


def headings(page: Path) -> set[str]:
    return set(re.findall(r"^#+ `(.+)`$", page.read_text(), flags=re.MULTILINE))


def test_every_setting_has_a_heading_and_a_meaning() -> None:
    script = load_script()
    settings = dict(script.walk_settings(script.InhouseFile))

    assert set(settings) <= headings(DOCS / "reference" / "configuration.md")
    assert [path for path, field in settings.items() if not field.description] == []


def test_every_command_metric_and_error_code_has_a_heading() -> None:
    script = load_script()
    commands = {path for path, _ in script.walk_commands(script.typer.main.get_command(script.app), "inhouse")}

    assert {"inhouse up", "inhouse demo", "inhouse eval run", "inhouse traces show"} <= commands
    assert commands <= headings(DOCS / "reference" / "commands.md")
    assert {metric.name for metric in script.METRIC_NAMES.values()} <= headings(DOCS / "reference" / "metrics.md")
    assert {str(code) for code in script.ErrorCode} <= headings(DOCS / "reference" / "errors.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_docs_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_no_page_names_a_package_index() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "requirements").glob("*"))

    assert re.findall(r"https?://", text) == []
