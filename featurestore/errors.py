"""Every error that this package raises on purpose, with its exit code on the command line.

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
    """An applied definition would change in a way that its stored rows cannot follow."""

    exit_code = 5


class NotFoundError(FeatureStoreError):
    """No object has this name."""

    exit_code = 6


class InvalidNameError(FeatureStoreError):
    """A tenant id or a name is not safe to use in a path."""

    exit_code = 7


class SchemaError(FeatureStoreError):
    """Columns are missing, duplicated, or of a type that cannot be read without loss."""

    exit_code = 8


class InvalidRowsError(FeatureStoreError):
    """Rows broke validation rules, and the caller requested that nothing be written in that case."""

    exit_code = 9


class BatchConflictError(FeatureStoreError):
    """A batch id was already used for other rows."""

    exit_code = 10


class SpineError(FeatureStoreError):
    """The spine lacks what the as-of join needs."""

    exit_code = 11


class TransformationError(FeatureStoreError):
    """A transformation was refused before it ran, failed on a row, or returned rows that cannot be stored."""

    exit_code = 12


class InvariantError(FeatureStoreError):
    """An internal check found that the store would give a wrong answer; nothing was published."""

    exit_code = 13


class RebuildError(FeatureStoreError):
    """A saved training set cannot be rebuilt, or its rebuilt rows differ."""

    exit_code = 14


class ExportError(FeatureStoreError):
    """An output could not be written, or already exists."""

    exit_code = 15


class RuntimeSetupError(FeatureStoreError):
    """Java, Spark or Delta's jars are missing or do not fit together."""

    exit_code = 16


class InvalidArgumentError(FeatureStoreError, ValueError):
    """An operation does not accept the value of an argument."""

    exit_code = 17


class ResultTooLargeError(FeatureStoreError):
    """A result would take more memory than it may; nothing was loaded."""

    exit_code = 18


class LeakageError(FeatureStoreError):
    """The audit of a training set found faults that the caller does not accept; the set was not published."""

    exit_code = 19


class ExpectationError(FeatureStoreError):
    """Values were computed, but do not meet the expectations of their group."""

    exit_code = 20


class JobFailedError(FeatureStoreError):
    """Some parts of a job failed; the others are done, and the next run does what is missing."""

    exit_code = 21


class DriftError(FeatureStoreError):
    """The distributions of features changed by more than their group's definition allows."""

    exit_code = 22


class ErasureError(FeatureStoreError):
    """An erasure stopped before its end; running it again continues it."""

    exit_code = 23


class PostgresError(FeatureStoreError):
    """PostgreSQL cannot be reached or did not carry out a request; no partial answer was returned."""

    exit_code = 24


class SyncError(FeatureStoreError):
    """Vectors could not be copied from a table to PostgreSQL; its rows are unchanged, and the next sync continues."""

    exit_code = 25


class StorageError(FeatureStoreError):
    """The storage under the tables has a fault: a full or read-only disk, a damaged or lost file."""

    exit_code = 26


class TableBusyError(FeatureStoreError):
    """Another writer held the lock of a local table for longer than a writer waits; nothing was written."""

    exit_code = 27


class TrackingError(FeatureStoreError):
    """MLflow did not answer, or what a run recorded is not what the store has."""

    exit_code = 28


def shown(value: object) -> str:
    """The value as a message shows it: on one short line."""
    return " ".join(_short.repr(value).split())


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names closest to ``name``, or else with the first ten known names."""
    candidates = sorted(set(known))
    if not candidates:
        return "There are none yet."
    close = get_close_matches(name, candidates, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"Known: {', '.join(candidates[:10])}{', ...' if len(candidates) > 10 else ''}."
