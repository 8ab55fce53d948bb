"""What went wrong in Spark: by its condition or Java's class, and for Python code on executors by its text.

Spark hands back an exception of Python code on an executor as the text of its traceback, and nothing else. This module
takes the message from that text; which errors are caught, and what is done about them, never depends on it.
"""

from __future__ import annotations

import re

from featurestore.stores.storage_faults import conditions, java_causes

# A line of a traceback, without indentation, that names an exception of PostgreSQL's driver or of this package.
_RAISED = re.compile(r"^(?:psycopg|featurestore)[\w.]*?(\w+: .*)$", re.MULTILINE)


def failure_name(error: Exception) -> str:
    """The condition by which Spark or Delta names a failure, else Java's class of what caused it first."""
    named = conditions(error)
    if named:
        return named[0]
    causes = [str(cause.getClass().getSimpleName()) for cause in java_causes(error)]
    return causes[-1] if causes else first_line(error)


def worker_message(error: Exception) -> str:
    """What Python code on an executor raised last, ``class: message``, without the stack around it."""
    raised = _RAISED.findall(str(error))
    return str(raised[-1]) if raised else first_line(error)


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
