"""Serves clients of the Responses dialect from an endpoint that only offers chat completions."""

from inhouse.backends.translate_responses.names import name_member
from inhouse.backends.translate_responses.translator import ResponsesToChat

__all__ = ["ResponsesToChat", "name_member"]
