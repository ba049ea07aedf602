"""The desk database and the drafts of the SQL task over it. Targets are SQLite queries; scoring runs elsewhere."""

import sqlite3
from collections.abc import Callable

from .draw import Draw
from .ticket import Draft

SQL_QUESTION = "Write one SQL query for the desk database."

TEAMS = ("billing", "delivery", "login", "hardware", "refund", "sales")
STATES = ("open", "waiting", "closed")
PRIORITIES = ("low", "normal", "high")
_NAMES = ("Anna", "Ben", "Carla", "David", "Elena", "Felix", "Grace", "Hugo", "Irene", "Jonas", "Karin", "Luis")
_CITIES = ("Oslo", "Rome", "Lyon", "Bonn")
_TICKET_ROWS = 90


def _schema() -> str:
    customers = [f"({number + 1},'{name}','{_CITIES[number % 4]}')" for number, name in enumerate(_NAMES)]
    tickets = [
        f"({row},{row * 7 % 12 + 1},'{TEAMS[row * 5 % 11 % 6]}','{STATES[row * 7 % 13 % 3]}',"
        f"'{PRIORITIES[row * 11 % 17 % 3]}',{row * 37 % 61 + 1})"
        for row in range(1, _TICKET_ROWS + 1)
    ]
    return (
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);\n"
        "CREATE TABLE tickets (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id),"
        " team TEXT, status TEXT, priority TEXT, hours INTEGER);\n"
        "INSERT INTO customers VALUES\n" + ",\n".join(customers) + ";\n"
        "INSERT INTO tickets VALUES\n" + ",\n".join(tickets) + ";\n"
    )


SQL_SCHEMA = _schema()


def create_desk_database() -> sqlite3.Connection:
    """A new in-memory database with the twelve customers and ninety tickets of `SQL_SCHEMA`. The caller closes it."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(SQL_SCHEMA)
    return connection


def draft_sql(draw: Draw, held_out: bool) -> Draft:
    """A question about the desk's tickets; the target is one query. Both splits draw alike, so `held_out` is unused."""
    words, conditions = _filters(draw)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    question, query = draw.one_of(_FORMS)(words, where)
    return Draft(f"{SQL_QUESTION}\n{question}", query)


def _filters(draw: Draw) -> tuple[str, list[str]]:
    before: list[str] = []
    conditions: list[str] = []
    if draw.chance(0.5):
        status = draw.one_of(STATES)
        before.append(status)
        conditions.append(f"status='{status}'")
    if draw.chance(0.3):
        priority = draw.one_of(PRIORITIES)
        before.append(f"{priority} priority")
        conditions.append(f"priority='{priority}'")
    if draw.chance(0.6):
        team = draw.one_of(TEAMS)
        before.append(team)
        conditions.append(f"team='{team}'")
    words = " ".join([*before, "tickets"])
    if draw.chance(0.4) or not conditions:
        limit = draw.between(5, 45)
        more = draw.chance(0.5)
        words += f" {'over' if more else 'under'} {limit} hours"
        conditions.append(f"hours{'>' if more else '<'}{limit}")
    return words, conditions


_Form = Callable[[str, str], tuple[str, str]]
_FORMS: tuple[_Form, ...] = (
    lambda words, where: (f"How many {words} are there?", f"SELECT COUNT(*) FROM tickets{where};"),
    lambda words, where: (f"Count the {words}.", f"SELECT COUNT(*) FROM tickets{where};"),
    lambda words, where: (f"List the ids of {words}.", f"SELECT id FROM tickets{where} ORDER BY id;"),
    lambda words, where: (f"What is the average time of {words}?", f"SELECT AVG(hours) FROM tickets{where};"),
    lambda words, where: (f"What is the longest time of {words}?", f"SELECT MAX(hours) FROM tickets{where};"),
    lambda words, where: (f"What is the total time of {words}?", f"SELECT SUM(hours) FROM tickets{where};"),
    lambda words, where: (
        f"Count the {words} per status.",
        f"SELECT status, COUNT(*) FROM tickets{where} GROUP BY status ORDER BY status;",
    ),
    lambda words, where: (
        f"Which cities have {words}?",
        f"SELECT DISTINCT city FROM customers JOIN tickets ON customer_id=customers.id{where} ORDER BY city;",
    ),
)
