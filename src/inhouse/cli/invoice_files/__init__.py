"""Reads what providers charged out of files: cost exports of OpenAI and Anthropic, and tables. Stores nothing."""

from inhouse.cli.invoice_files.files import InvoiceDocument, InvoiceOptions, read_invoice

__all__ = ["InvoiceDocument", "InvoiceOptions", "read_invoice"]
