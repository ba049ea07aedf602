"""Two translations in a row: the client's dialect to a middle one, and that to the endpoint's."""

from __future__ import annotations

from collections.abc import Callable

from inhouse.backends.wire import Translator, UntranslatableError


class Chained:
    """A `Translator` made of two.

    Args:
        outer: the client's dialect → the middle one.
        make_inner: body in the middle dialect → the translator from there to the endpoint's.
        name_field: path of a field in the middle dialect → in the client's.
    """

    def __init__(
        self, outer: Translator, make_inner: Callable[[bytes], Translator], name_field: Callable[[str], str]
    ) -> None:
        self._outer = outer
        self._make_inner = make_inner
        self._name_field = name_field
        self._inner: Translator | None = None

    @property
    def num_events(self) -> int:
        """Events that the client got, where its dialect numbers them."""
        return getattr(self._outer, "num_events", 0)

    @property
    def final_response(self) -> bytes | None:
        """The finished object as JSON, where the client's dialect has one; None before."""
        return getattr(self._outer, "final_response", None)

    def build(self, model: str) -> bytes:
        """The request body in the endpoint's dialect.

        Raises:
            UntranslatableError: a field cannot be carried over.
        """
        self._inner = self._make_inner(self._outer.build(model))
        try:
            return self._inner.build(model)
        except UntranslatableError as error:
            path = error.param or ""
            name = self._name_field(path)
            raise UntranslatableError(name, str(error).replace(f"'{path}'", f"'{name}'")) from None

    def translate_reply(self, body: bytes) -> bytes:
        """A whole successful reply.

        Raises:
            ValueError: the endpoint's reply is not one of its dialect.
        """
        return self._outer.translate_reply(self._built().translate_reply(body))

    def translate_events(self, block: bytes) -> bytes:
        """Whole events of the endpoint's stream → the client's; may be empty.

        Raises:
            ValueError: an event is not one of the endpoint's dialect.
        """
        passed = self._built().translate_events(block)
        return self._outer.translate_events(passed) if passed else b""

    def finish(self) -> bytes:
        """What the client still needs at the regular end of the endpoint's body."""
        rest = self._built().finish()
        return (self._outer.translate_events(rest) if rest else b"") + self._outer.finish()

    def _built(self) -> Translator:
        if self._inner is None:
            raise AssertionError("a reply comes only after its request was built")
        return self._inner
