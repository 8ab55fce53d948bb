"""The causes of Spark's failures: by condition or Java class, and for Python code on executors by text.

Spark returns an exception of Python code on an executor only as the text of its traceback. This module takes the
message from that text. Which errors are caught, and how they are handled, never depends on it.
"""

from __future__ import annotations

import re

from featurestore.stores.storage_faults import conditions, java_causes

# An unindented line of a traceback that names an exception of PostgreSQL's driver or of this package.
_RAISED = re.compile(r"^(?:psycopg|featurestore)[\w.]*?(\w+: .*)$", re.MULTILINE)


def failure_name(error: Exception) -> str:
    """The name of Spark's or Delta's condition for a failure, else the Java class of its first cause."""
    named = conditions(error)
    if named:
        return named[0]
    causes = [str(cause.getClass().getSimpleName()) for cause in java_causes(error)]
    return causes[-1] if causes else first_line(error)


def worker_message(error: Exception) -> str:
    """The last exception of Python code on an executor as ``class: message``, without the stack around it."""
    raised = _RAISED.findall(str(error))
    return str(raised[-1]) if raised else first_line(error)


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
