"""Every error this package raises on purpose, each with the exit code the command line gives it.

A message says which object, what was found, what was possible, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr

_short = Repr()
_short.maxstring = _short.maxother = 80


class FeatureStoreError(Exception):
    """Base of all errors that a user can act on."""

    exit_code = 1


class ConfigurationError(FeatureStoreError):
    """A setting, a file of settings, or the environment is wrong."""

    exit_code = 3


class DefinitionError(FeatureStoreError):
    """A definition (entity, feature, group, training set) breaks a rule."""

    exit_code = 4


class IncompatibleChangeError(DefinitionError):
    """An applied definition would change in a way its stored rows cannot follow."""

    exit_code = 5


class NotFoundError(FeatureStoreError):
    """A name that nothing is known by."""

    exit_code = 6


class InvalidNameError(FeatureStoreError):
    """A tenant id or a name that may not come near a path."""

    exit_code = 7


class SchemaError(FeatureStoreError):
    """Columns are missing, doubled, or of a type that cannot be read losslessly."""

    exit_code = 8


class InvalidRowsError(FeatureStoreError):
    """Rows broke validation rules and the caller asked that nothing be written then."""

    exit_code = 9


class BatchConflictError(FeatureStoreError):
    """A batch id that was already used for other rows."""

    exit_code = 10


class SpineError(FeatureStoreError):
    """The spine lacks what the as-of join needs."""

    exit_code = 11


class TransformationError(FeatureStoreError):
    """A transformation was refused before it ran, failed on a row, or returned what cannot be stored."""

    exit_code = 12


class InvariantError(FeatureStoreError):
    """The store caught itself about to give a wrong answer; nothing was published."""

    exit_code = 13


class RebuildError(FeatureStoreError):
    """A saved training set cannot be built again, or came out different."""

    exit_code = 14


class ExportError(FeatureStoreError):
    """An output could not be written, or exists already."""

    exit_code = 15


class RuntimeSetupError(FeatureStoreError):
    """Java, Spark or Delta's jars are missing or do not fit together."""

    exit_code = 16


class InvalidArgumentError(FeatureStoreError, ValueError):
    """A value given to an operation is not one that it takes."""

    exit_code = 17


class ResultTooLargeError(FeatureStoreError):
    """A result that would not fit the memory that it may take; nothing was loaded."""

    exit_code = 18


class LeakageError(FeatureStoreError):
    """The audit of a training set found faults where none were to be accepted; it was not published."""

    exit_code = 19


class ExpectationError(FeatureStoreError):
    """Values were computed, and broke what their group expects of every run."""

    exit_code = 20


class JobFailedError(FeatureStoreError):
    """Some of the parts of a job failed; the others are done, and a next run does what is missing."""

    exit_code = 21


class DriftError(FeatureStoreError):
    """Features are not spread as they were, by more than their group's definition allows."""

    exit_code = 22


class ErasureError(FeatureStoreError):
    """An erasure stopped before its end; begun again, it goes on."""

    exit_code = 23


class PostgresError(FeatureStoreError):
    """PostgreSQL cannot be reached, or did not do what it was told; no part of an answer was given."""

    exit_code = 24


class SyncError(FeatureStoreError):
    """Vectors could not be brought from a table to PostgreSQL; what is there is as it was, and a next sync goes on."""

    exit_code = 25


class StorageError(FeatureStoreError):
    """The storage below the tables has a fault: a full or read-only disk, a damaged or lost file."""

    exit_code = 26


def shown(value: object) -> str:
    """A value as a message shows it: on one line, and never long."""
    return " ".join(_short.repr(value).split())


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence naming the closest known names, or all of the few there are."""
    candidates = sorted(set(known))
    if not candidates:
        return "There are none yet."
    close = get_close_matches(name, candidates, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(repr(c) for c in close)}?"
    shown = ", ".join(candidates[:10])
    return f"Known: {shown}{', ...' if len(candidates) > 10 else ''}."
