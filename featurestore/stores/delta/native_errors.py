"""Faults of tables that delta-rs and Arrow read and write, as this package's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from featurestore.errors import NotFoundError, StorageError
from featurestore.stores.file_system_faults import advice_of

_DAMAGED = "the file is damaged; put a copy in its place, or remove its rows"
_GONE = (
    "a file that the table's log names is not there; vacuum or an erasure removed it, or it was lost: read a "
    "newer version"
)
_LOG_DAMAGED = "the table's log is damaged, or a part of it is lost; put back a copy of it"


@contextmanager
def native_errors(table: str, file: str | None = None) -> Iterator[None]:
    """Raise StorageError or NotFoundError, with the table and the file, in place of the libraries' own errors."""
    where = f"table {table}: " + (f"{file}: " if file is not None else "")
    try:
        yield
    except TableNotFoundError as error:
        raise NotFoundError(f"table {table} does not exist: {_line(error)}; apply its definition") from error
    except CommitFailedError:
        raise
    except FileNotFoundError as error:
        raise StorageError(where + _GONE) from error
    except (DeltaError, OSError) as error:
        advice = advice_of(str(error))
        if advice is not None:
            raise StorageError(f"{where}{_line(error)}: {advice}") from error
        raise StorageError(f"{where}{_line(error)}: {_DAMAGED if file is not None else _LOG_DAMAGED}") from error
    except pa.ArrowInvalid as error:
        raise StorageError(f"{where}{_line(error)}: {_DAMAGED}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
