"""Anthropic content blocks (text, images, documents) → chat content parts."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from inhouse.backends.translate.fields import Field, says_nothing

Part = dict[str, Any]
_HINTS = frozenset({"type", "cache_control"})
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "citations": ([], {}, {"enabled": False}),
    "transformations": ({}, {"oversized_image": "downsize"}),
}
_NO_TITLE = Raw(b'"document.pdf"')
"""Chat completions want a file name; a document without a title has none."""


def write_content(content: Field, *, is_user: bool) -> Raw | list[Part]:
    """A content: a string stays one, a lone text block becomes one, other blocks become parts.

    Args:
        content: a string or an array of blocks.
        is_user: whether the blocks may be more than text.
    """
    if content.is_text:
        return content.json
    return simplify([write_part(block, is_user=is_user) for block in content.items()])


def simplify(parts: list[Part]) -> Raw | list[Part]:
    """The parts, or the string alone where they are one text: every engine reads that."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts


def write_part(block: Field, *, is_user: bool) -> Part:
    """One block as a part."""
    members = block.members()
    kind = block.require("type", members)
    given = {name: member for name, member in members.items() if not says_nothing(member, _DEFAULTS, name)}
    match kind.text():
        case "text":
            block.check_names(given, _HINTS | {"text"})
            return {"type": "text", "text": block.require("text", members).quoted()}
        case "image" if is_user:
            block.check_names(given, _HINTS | {"source"})
            return {"type": "image_url", "image_url": {"url": _write_image_url(block.require("source", members))}}
        case "document" if is_user:
            block.check_names(given, _HINTS | {"source", "title"})
            file = {
                "filename": members["title"].quoted() if "title" in members else _NO_TITLE,
                "file_data": _write_pdf(block.require("source", members)),
            }
            return {"type": "file", "file": file}
        case _:
            raise kind.refuse("Blocks of this kind have no equal there. Leave it out, or call a route that takes it.")


def _write_image_url(source: Field) -> Raw:
    members = source.members()
    kind = source.require("type", members)
    match kind.text():
        case "url":
            source.check_names(members, frozenset({"type", "url"}))
            return source.require("url", members).quoted()
        case "base64":
            return _write_data_url(source, members)
        case _:
            raise kind.refuse("The file lies with another company. Send the image itself in base64, or its URL.")


def _write_pdf(source: Field) -> Raw:
    members = source.members()
    kind = source.require("type", members)
    if kind.text() != "base64":
        raise kind.refuse("Of documents, only PDF in base64 has an equal there. Send text as a text block.")
    return _write_data_url(source, members)


def _write_data_url(source: Field, members: dict[str, Field]) -> Raw:
    """The source as a `data:` URL; the data, which may be large, is moved and not decoded."""
    source.check_names(members, frozenset({"type", "media_type", "data"}))
    media_type = bytes(source.require("media_type", members).quoted())
    data = bytes(source.require("data", members).quoted())
    return Raw(b'"data:%b;base64,%b' % (media_type[1:-1], data[1:]))
