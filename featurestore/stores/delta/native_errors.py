"""Faults of tables that delta-rs and Arrow read and write, as this package's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from featurestore.errors import NotFoundError, StorageError, TableBusyError
from featurestore.stores.file_system_faults import advice_of

_DAMAGED = "the file is damaged; put a copy in its place, or remove its rows"
_GONE = (
    "a file that the table's log names is not there; vacuum or an erasure removed it, or it was lost: read a "
    "newer version"
)
_LOG_DAMAGED = "the table's log is damaged, or a part of it is lost; put back a copy of it"
# What delta-rs says of a log -> what to do; it raises one class for all.
_OF_A_LOG = {
    "Expected contiguous commit files": "an entry of the table's log is lost; put back a copy of it",
    "didn't find any checkpoints": "a checkpoint of the table's log is lost; put back a copy of it",
    "Invalid Parquet file": "a checkpoint of the table's log: the file is damaged; put a copy in its place",
}
_NO_FOLDER = "a file lies where the table needs a folder; move it away"
# delta-rs colours the arrows between the causes of an error.
_COLOUR = re.compile("\x1b\\[[0-9;]*m")


# What delta-rs says of a table with something in it that only Spark knows.
_UNSUPPORTED = ("Unsupported Delta table type", "Unsupported table feature", "unsupported reader feature")


class UnsupportedTableError(StorageError):
    """The table has a type or a feature that delta-rs does not know, so that only Spark can read its log."""


def is_unsupported(error: Exception) -> bool:
    return any(known.lower() in str(error).lower() for known in _UNSUPPORTED)


@contextmanager
def native_errors(table: str, file: str | None = None) -> Iterator[None]:
    """Raise StorageError or NotFoundError, with the table and the file, in place of the libraries' own errors.

    TableBusyError, if other writers committed first each time. Arrow's errors about rows that do not fit the table
    are the caller's.
    """
    where = f"table {table}: " + (f"{file}: " if file is not None else "")
    damage = _LOG_DAMAGED if file is None else _DAMAGED
    try:
        yield
    except TableNotFoundError as error:
        raise NotFoundError(f"table {table} does not exist: {first_line(error)}; apply its definition") from error
    except CommitFailedError as error:
        raise TableBusyError(
            f"{where}other writers committed first each time ({first_line(error)}); nothing was written. Try again"
        ) from error
    except FileNotFoundError as error:
        raise StorageError(where + _GONE) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(f"{where}{first_line(error)}: {_NO_FOLDER}") from error
    except (DeltaError, OSError) as error:
        if is_unsupported(error):
            raise UnsupportedTableError(
                f"{where}{first_line(error)}: only Spark knows this; set small_tables to 'spark'"
            ) from error
        advice = advice_of(str(error)) or (_advice_on_log(str(error)) if file is None else None)
        raise StorageError(f"{where}{first_line(error)}: {advice or damage}") from error
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise StorageError(f"{where}{first_line(error)}: {damage}") from error
    except pa.ArrowInvalid as error:
        if file is None:
            raise
        raise StorageError(f"{where}{first_line(error)}: {damage}") from error


def _advice_on_log(text: str) -> str | None:
    return next((advice for known, advice in _OF_A_LOG.items() if known in text), None)


def first_line(error: Exception) -> str:
    """An error's message in one line, without colours, and not endless."""
    return " ".join(_COLOUR.sub("", str(error)).split())[:500]
