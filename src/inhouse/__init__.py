"""inhouse: self-hosted LLM inference run as a platform. The rooms are described in docs/design/rooms.md."""

__version__ = "0.1.0"

__all__ = ["__version__"]
