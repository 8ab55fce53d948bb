"""Files for others to read: written under a temporary name, visible only when whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

from pyspark.sql import DataFrame

from featurestore.errors import ExportError

FORMATS = ("parquet",)


def write_files(rows: DataFrame, path: str, format: str = "parquet", manifest: str | None = None) -> str:
    """Write the rows to a new folder at ``path``; returns the path.

    On a local file system the folder appears when all of it is written, with the manifest as ``_manifest.json``, which
    readers of the format pass over. Elsewhere Spark's committer adds ``_SUCCESS`` last. Raises ExportError where something is there already, or the format is not known.
    """
    if format not in FORMATS:
        raise ExportError(f"format {format!r} is not known; possible: {', '.join(FORMATS)}")
    if "://" in path:
        rows.write.format(format).mode("errorifexists").save(path)
        return path
    target = Path(path).absolute()
    if target.exists():
        raise ExportError(f"{target} is there already; remove it, or name another folder")
    temporary = target.parent / f".{target.name}.{uuid4().hex}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        rows.write.format(format).save(str(temporary))
        if manifest is not None:
            (temporary / "_manifest.json").write_text(manifest, encoding="utf-8")
        temporary.rename(target)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return str(target)
