"""Responses that clients asked to have kept, with the items that they answered. Content: it always expires."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from inhouse.store.database import Database, read_rows
from inhouse.store.tables import STORED_RESPONSES

MAX_CONVERSATION_CHARS = 67_108_864
_MAX_TURNS = 1000
_T = STORED_RESPONSES.c


class StoredResponse(Struct, frozen=True, kw_only=True):
    """One response. Times are Unix seconds; at `expires_at` it is gone for every reader.

    Args:
        response_id: the id that the client got.
        key_id: whose it is; no other key sees it.
        route: the public model name that was asked.
        endpoint_id: what answered.
        previous_response_id: the response that this one followed; None where it began a conversation.
        input_json: JSON array of the request's own input items (not those of earlier responses).
        response_json: the response object.
    """

    response_id: str
    key_id: str
    route: str
    endpoint_id: str
    created_at: float
    expires_at: float
    input_json: str
    response_json: str
    previous_response_id: str | None = None


class ResponseRepository:
    """The `stored_responses` table. Every method is one transaction, and may raise StoreUnavailableError.

    A key reads and deletes only its own responses. `now` is in Unix seconds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = database.upsert(STORED_RESPONSES)
        changes = {column.name: insert.excluded[column.name] for column in _T if not column.primary_key}
        self._upsert = insert.on_conflict_do_update(index_elements=[_T.key_id, _T.response_id], set_=changes)

    def put(self, row: StoredResponse) -> None:
        """Keep a response; the same key's earlier one with this id is replaced.

        Raises:
            ValueError: it would expire before it was made.
        """
        if row.expires_at <= row.created_at:
            raise ValueError("a stored response must expire after it was made")
        with self._database.write() as connection:
            connection.execute(self._upsert, msgspec.structs.asdict(row))

    def get(self, response_id: str, key_id: str, *, now: float) -> StoredResponse | None:
        """One of the key's responses; None where there is none, or no longer."""
        query = sa.select(STORED_RESPONSES).where(*_one(response_id, key_id), _T.expires_at > now)
        with self._database.read() as connection:
            rows = read_rows(connection, query)
        return msgspec.convert(rows[0], StoredResponse) if rows else None

    def list_turns(
        self, response_id: str, key_id: str, *, now: float, max_chars: int = MAX_CONVERSATION_CHARS
    ) -> list[StoredResponse] | None:
        """A response with all that it followed, oldest first.

        Args:
            response_id: the newest one.
            key_id: whose they are.
            now: what has expired by then is not there.
            max_chars: of all their JSON together; no more than this and one response is ever read.

        Returns:
            None where one of them is not there (any more): half a conversation would be another one.

        Raises:
            ValueError: they are longer than `max_chars`.
        """
        size = sa.func.length(_T.input_json) + sa.func.length(_T.response_json)
        newest = sa.select(*_T, sa.literal(0).label("depth"), size.label("num_chars"))
        chain = newest.where(*_one(response_id, key_id), _T.expires_at > now).cte("chain", recursive=True)
        earlier = sa.select(*_T, chain.c.depth + 1, chain.c.num_chars + size).where(
            _T.key_id == key_id,
            _T.response_id == chain.c.previous_response_id,
            _T.expires_at > now,
            chain.c.depth < _MAX_TURNS,
            chain.c.num_chars <= max_chars,
        )
        chain = chain.union_all(earlier)
        query = sa.select(chain).order_by(chain.c.depth.desc())
        with self._database.read() as connection:
            rows = read_rows(connection, query)
        if rows and rows[0]["num_chars"] > max_chars:
            raise ValueError(f"the conversation is longer than {max_chars} characters")
        turns = [msgspec.convert(row, StoredResponse) for row in rows]
        return turns if turns and turns[0].previous_response_id is None else None

    def delete(self, response_id: str, key_id: str) -> bool:
        """Forget one of the key's responses; returns whether there was one."""
        with self._database.write() as connection:
            done = connection.execute(sa.delete(STORED_RESPONSES).where(*_one(response_id, key_id)))
            return done.rowcount > 0

    def purge_expired(self, now: float) -> int:
        """Remove every key's expired responses; returns how many."""
        with self._database.write() as connection:
            return connection.execute(sa.delete(STORED_RESPONSES).where(_T.expires_at <= now)).rowcount


def _one(response_id: str, key_id: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return _T.key_id == key_id, _T.response_id == response_id
