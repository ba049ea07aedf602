"""Seeded support tickets with right answers: the evaluation set and demo traffic. Standard library alone."""

from .desk_sql import SQL_SCHEMA, create_desk_database
from .generate import generate_tickets, generate_workload, training_stream
from .ticket import TaskType, Ticket

__all__ = [
    "SQL_SCHEMA",
    "TaskType",
    "Ticket",
    "create_desk_database",
    "generate_tickets",
    "generate_workload",
    "training_stream",
]
