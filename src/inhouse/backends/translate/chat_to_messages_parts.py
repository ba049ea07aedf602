"""Chat content parts (text, images, files) → Anthropic content blocks."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from inhouse.backends.translate.fields import Field

Block = dict[str, Any]
_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF = "application/pdf"
_HINTS = frozenset({"type", "prompt_cache_breakpoint"})
_FULL_DETAIL = ("auto", "high")
"""Values of an image's `detail` that ask for no less than what Anthropic does anyway."""


def write_content(content: Field, *, is_user: bool) -> Raw | list[Block]:
    """A message's content: a string stays one, parts become blocks.

    Args:
        content: a string or an array of parts.
        is_user: whether the parts may be more than text.
    """
    if content.is_text:
        return content.json
    return write_blocks(content, is_user=is_user)


def write_blocks(content: Field, *, is_user: bool) -> list[Block]:
    """The same, always as blocks. Empty texts, which Anthropic refuses, are left out where something else stands."""
    if content.is_text:
        return [{"type": "text", "text": content.json}]
    blocks = [_write_part(part, is_user=is_user) for part in content.items()]
    told = [block for block in blocks if block["type"] != "text" or bytes(block["text"]) != b'""']
    return told or blocks


def _write_part(part: Field, *, is_user: bool) -> Block:
    members = part.members()
    kind = part.require("type", members)
    name = kind.text()
    if name == "text" or (name == "refusal" and not is_user):
        part.check_names(members, _HINTS | {name})
        return {"type": "text", "text": part.require(name, members).quoted()}
    if is_user and name == "image_url":
        part.check_names(members, _HINTS | {"image_url"})
        return {"type": "image", "source": _write_image(part.require("image_url", members))}
    if is_user and name == "file":
        part.check_names(members, _HINTS | {"file"})
        return _write_file(part.require("file", members))
    raise kind.refuse("Content of this kind has no equal there. Leave the part out, or call a route that takes it.")


def _write_image(image: Field) -> Block:
    members = image.members()
    image.check_names(members, frozenset({"url", "detail"}))
    detail = members.get("detail")
    if detail is not None and detail.text() not in _FULL_DETAIL:
        raise detail.refuse("Images are always seen in full there. Leave `detail` out, or make the image smaller.")
    url = image.require("url", members)
    address = url.quoted()
    if not url.raw.startswith(b'"data:'):
        return {"type": "url", "url": address}
    media_type, data = _split_data_url(url)
    if media_type not in _IMAGE_TYPES:
        raise url.refuse("It takes JPEG, PNG, GIF and WebP images. Convert the image.")
    return {"type": "base64", "media_type": media_type, "data": data}


def _write_file(file: Field) -> Block:
    members = file.members()
    if "file_id" in members:
        raise members["file_id"].refuse("The file lies with another company. Send the file itself as `file_data`.")
    file.check_names(members, frozenset({"file_data", "filename"}))
    content = file.require("file_data", members)
    media_type, data = _split_data_url(content)
    if media_type != _PDF:
        raise content.refuse("Of files, only PDF has an equal there, as `data:application/pdf;base64,…`.")
    block: Block = {"type": "document", "source": {"type": "base64", "media_type": _PDF, "data": data}}
    if "filename" in members:
        block["title"] = members["filename"].quoted()
    return block


def _split_data_url(url: Field) -> tuple[str, Raw]:
    """Media type and data of a base64 `data:` URL; the data, which may be large, is cut out and not decoded."""
    head, comma, data = bytes(url.quoted()).partition(b",")
    scheme, _, parameters = msgspec.json.decode(head + b'"', type=str).partition(":")
    media_type, _, encoding = parameters.partition(";")
    if not comma or scheme != "data" or not encoding.endswith("base64"):
        raise url.malformed("a `data:` URL in base64 (`data:image/png;base64,…`)")
    return media_type.lower(), Raw(b'"' + data)
