"""Web pages over the admin service: server-rendered, read-only, no outside addresses. No logic."""

from inhouse.console.pages import build_routes

__all__ = ["build_routes"]
