"""Columns that checking and marking add to a batch's rows, and the reason under which suppressed rows are counted."""

from __future__ import annotations

# Each row's reasons as text; the original row as text if there is a reason.
FAULTS, ROW = "__faults", "__row"
# The column that marks rows of suppressed entities.
SUPPRESSED = "__suppressed"
# The reason under which such rows are counted.
REASON = "suppressed: the entity was erased"
