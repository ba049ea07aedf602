"""The desk database and the drafts of the SQL task over it. Targets are SQLite queries; scoring runs elsewhere."""

import sqlite3

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


def draft_sql(draw: Draw) -> Draft:
    """A question about the desk's tickets; the target is one SQLite query, to be scored by the rows it returns."""
    words, where = _filters(draw)
    question, query = draw.one_of(_FORMS)
    return Draft(f"{SQL_QUESTION}\n{question.format(tickets=words)}", query.format(where=where))


# Question and query; {tickets} and {where} take the same filters in words and in SQL.
_FORMS = (
    ("How many {tickets} are there?", "SELECT COUNT(*) FROM tickets{where};"),
    ("Count the {tickets}.", "SELECT COUNT(*) FROM tickets{where};"),
    ("List the ids of {tickets}.", "SELECT id FROM tickets{where} ORDER BY id;"),
    ("What is the average time of {tickets}?", "SELECT AVG(hours) FROM tickets{where};"),
    ("What is the longest time of {tickets}?", "SELECT MAX(hours) FROM tickets{where};"),
    ("What is the total time of {tickets}?", "SELECT SUM(hours) FROM tickets{where};"),
    (
        "Count the {tickets} per status.",
        "SELECT status, COUNT(*) FROM tickets{where} GROUP BY status ORDER BY status;",
    ),
    (
        "Which cities have {tickets}?",
        "SELECT DISTINCT city FROM customers JOIN tickets ON customer_id=customers.id{where} ORDER BY city;",
    ),
)


def _filters(draw: Draw) -> tuple[str, str]:
    """One to four conditions, as the words of the question and as the WHERE clause."""
    words: list[str] = []
    conditions: list[str] = []
    if draw.chance(0.5):
        status = draw.one_of(STATES)
        words.append(status)
        conditions.append(f"status='{status}'")
    if draw.chance(0.3):
        priority = draw.one_of(PRIORITIES)
        words.append(f"{priority} priority")
        conditions.append(f"priority='{priority}'")
    if draw.chance(0.6):
        team = draw.one_of(TEAMS)
        words.append(team)
        conditions.append(f"team='{team}'")
    words.append("tickets")
    if draw.chance(0.4) or not conditions:
        limit = draw.between(5, 45)
        more = draw.chance(0.5)
        words.append(f"{'over' if more else 'under'} {limit} hours")
        conditions.append(f"hours{'>' if more else '<'}{limit}")
    return " ".join(words), " WHERE " + " AND ".join(conditions)
