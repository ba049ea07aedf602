"""The example exports in the package: made-up figures in each format, so that everything can be tried at once."""

from __future__ import annotations

from pathlib import Path

from inhouse.cli.usage_files.formats import UsageFormat

EXAMPLES_FOLDER = Path(__file__).parents[1] / "examples"
"""Where they lie. `scripts/write_examples.py` writes them."""
_FILES = {
    UsageFormat.OPENAI_USAGE: "example-openai-usage.json.gz",
    UsageFormat.ANTHROPIC_USAGE: "example-anthropic-usage.json.gz",
    UsageFormat.LITELLM_SPEND: "example-litellm-spend.json.gz",
    UsageFormat.LANGFUSE: "example-langfuse.json.gz",
    UsageFormat.CSV: "example-usage.csv.gz",
}


def example_file(name: str) -> Path:
    """The example export of a format (`openai-usage`, `csv` …).

    Raises:
        ValueError: there is no format of that name.
    """
    return EXAMPLES_FOLDER / _FILES[UsageFormat(name)]
