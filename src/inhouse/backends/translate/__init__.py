"""Requests, replies, streams and errors between OpenAI's chat completions and Anthropic's Messages API, both ways.

Pure: bytes in, bytes out. What cannot be carried over is refused by name, see docs/design/dialects.md.
"""

from inhouse.backends.translate.chat_to_messages import ChatToMessages
from inhouse.backends.translate.errors import chat_error_from_messages, messages_error_from_chat
from inhouse.backends.translate.messages_to_chat import MessagesToChat

__all__ = ["ChatToMessages", "MessagesToChat", "chat_error_from_messages", "messages_error_from_chat"]
