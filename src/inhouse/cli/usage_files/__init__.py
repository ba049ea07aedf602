"""Usage exports of providers, gateways and tracers, one module per format; all give the same flat records."""

from inhouse.cli.usage_files.columns import parse_mapping
from inhouse.cli.usage_files.examples import example_file
from inhouse.cli.usage_files.files import ReadOptions, UsageFile, read_usage_file
from inhouse.cli.usage_files.formats import UsageFormat
from inhouse.cli.usage_files.report import Report

__all__ = ["ReadOptions", "Report", "UsageFile", "UsageFormat", "example_file", "parse_mapping", "read_usage_file"]
