"""A command's progress as JSON lines on stderr, for log collectors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import structlog


def open_log(**facts: Any) -> structlog.typing.FilteringBoundLogger:
    """A logger that writes one JSON object per line: ``timestamp`` (UTC), ``level``, ``event``, and the facts."""
    import structlog

    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        **facts,
    )
    return log
