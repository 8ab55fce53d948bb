"""Files for people and tools on a local disk: reports, metrics."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from featurestore.errors import ExportError


def write_whole(path: str | Path, text: str) -> Path:
    """Write a text (UTF-8) to a file, in place of one that is there; returns its path, absolute.

    The file appears when all of it is written; until then it has a hidden name beside. Raises ExportError.
    """
    target = Path(path).absolute()
    temporary = target.parent / f".{target.name}.{uuid4().hex}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error
    finally:
        if temporary.exists():
            temporary.unlink()
    return target
