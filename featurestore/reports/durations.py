"""Ages as people say them."""

from __future__ import annotations

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def spoken(seconds: float | None) -> str:
    """``49 min``, ``1.5 h``, ``12 d``: in the greatest unit of which there is at least one; ``-`` where there is none."""
    if seconds is None:
        return "-"
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            amount = seconds / size
            return f"{amount:.0f} {unit}" if abs(amount) >= 10 or amount == round(amount) else f"{amount:.1f} {unit}"
    return "0 s" if seconds == 0 else f"{seconds * 1000:.0f} ms"
