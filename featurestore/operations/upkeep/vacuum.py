"""Vacuum: files that no reader needs any more leave the disk; how long they are needed is known, and kept to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from featurestore.definitions.values.durations import format_duration, parse_duration
from featurestore.display.description import Display, Table, count, counted, size
from featurestore.display.displayed import Listing
from featurestore.errors import InvalidArgumentError
from featurestore.operations.context import Context, Scope
from featurestore.operations.job_run import STORE, recorded_run
from featurestore.operations.upkeep.retain import chosen_groups
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.delta.vacuuming import Commit, commits, spark_now, unneeded_files, vacuum_table
from featurestore.stores.training_sets.manifests import Manifest

VACUUM = "vacuum"
# A reader that started before a vacuum goes on reading the files of its version for so long at the most.
LONGEST_READ = timedelta(hours=24)


@dataclass(frozen=True)
class VacuumResult:
    """One table, by where it is: the files that were removed, or would be (``dry_run``), and their bytes."""

    table: str
    files: int
    bytes: int
    dry_run: bool


def describe_vacuumed(results: Sequence[VacuumResult]) -> Display:
    """A line a table that had such files."""
    rows = tuple((one.table, count(one.files), size(one.bytes)) for one in results if one.files)
    verb = "would be removed" if any(one.dry_run for one in results) else "removed"
    total = f"{counted(sum(one.files for one in results), 'file')}, {size(sum(one.bytes for one in results))} {verb}"
    return Display(total, tables=(Table(("table", "files", "size"), rows),) if rows else ())


@dataclass(frozen=True)
class Need:
    """For how long, back from now, files that are not in the newest version any more are needed, and by whom."""

    duration: timedelta
    whom: str


def vacuum(context: Context, *, older_than: timedelta | str, force: bool, dry_run: bool) -> Listing[VacuumResult]:
    """Remove the files that have not been in any table's newest version for ``older_than``, and what crashes left behind.

    The tables are those of every feature group in every major version, with their rejected rows, and the store's own.
    They are shared by all tenants, so this is of the store, not of a tenant. Raises InvalidArgumentError, with the least
    that is possible and who needs it, where a reader that may still be running (``LONGEST_READ``) or a saved training
    set of any tenant needs files for longer; ``force`` goes on all the same, and such a set can then not be built again.
    Its saved rows stay.
    """
    horizon = _horizon(older_than)
    if not force:
        check_horizon(context, horizon)
    if dry_run:
        found = (
            VacuumResult(str(table), *unneeded_files(context.spark, table, horizon), True) for table in _tables(context)
        )
        return Listing(found, describe_vacuumed)
    results = []
    with recorded_run(Scope(context, STORE), VACUUM) as job:
        for table in _tables(context):
            results.append(VacuumResult(str(table), *vacuum_table(context.spark, table, horizon), False))
            context.step("vacuum.table")
        job.report(
            {"tables": [asdict(result) for result in results if result.files], "older_than": format_duration(horizon)}
        )
    return Listing(results, describe_vacuumed)


def _horizon(older_than: timedelta | str) -> timedelta:
    try:
        return parse_duration(older_than)
    except ValueError as error:
        raise InvalidArgumentError(f"older_than: {error}") from error


def check_horizon(context: Context, horizon: timedelta) -> None:
    need = max([Need(LONGEST_READ, "a reader that is still running"), *_of_training_sets(context)], key=_duration)
    if horizon < need.duration:
        # Up, so that what is told is enough.
        least = timedelta(hours=-(-need.duration // timedelta(hours=1)))
        raise InvalidArgumentError(
            f"older_than is {format_duration(horizon)}; at least {format_duration(least)} is possible, for {need.whom} needs "
            "files that have not been in the newest version for so long. Delete what is not needed any more, or say "
            "force=True to go on all the same"
        )


def _duration(need: Need) -> timedelta:
    return need.duration


def _of_training_sets(context: Context) -> Iterator[Need]:
    """What saved training sets, of all tenants, need to be built again."""
    now = spark_now(context.spark)
    histories: dict[str, list[Commit]] = {}
    tables = {str(context.table(group).values): context.table(group).values for group in chosen_groups(context, None)}
    manifests = context.training_sets.manifests(context.spark)
    # Which versions these pin cannot be told, and they cannot be built again from them anyway.
    manifests.warn()
    for manifest in manifests.readable:
        for table, version in _pinned(manifest):
            if table not in tables:
                continue
            if table not in histories:
                histories[table] = commits(context.spark, tables[table])
            needed_since = first_removal(histories[table], version)
            if needed_since is not None:
                whom = f"training set {manifest.name!r} v{manifest.version} of tenant {manifest.tenant_id!r}"
                yield Need(now - needed_since, f"{whom}, built from version {version} of {table},")


def _pinned(manifest: Manifest) -> set[tuple[str, int]]:
    """Tables with the versions that a set is built from; none of a set that cannot be built again anyway."""
    if manifest.erasures:
        return set()
    return {(group.table, group.table_version) for part in manifest.all_parts for group in part.groups}


def first_removal(history: list[Commit], version: int) -> datetime | None:
    """When a file of that version left the newest one; none where all are in it, or where a vacuum has removed some.

    Appends take nothing away: a version needs no old files until a later commit deletes, merges or compacts.
    """
    if not any(commit.version <= version for commit in history):
        # The log does not reach back to it: it cannot be read any more.
        return None
    later = [commit for commit in history if commit.version > version]
    removals = [commit.at for commit in later if commit.removes_files]
    if not removals:
        return None
    first = min(removals)
    gone = any(commit.vacuumed_before is not None and commit.vacuumed_before > first for commit in later)
    return None if gone else first


def _tables(context: Context) -> list[DeltaTable]:
    spark, layout = context.spark, context.layout
    tables = [
        table
        for group in chosen_groups(context, None)
        for table in (context.table(group).values, context.table(group).rejected)
    ]
    own = [
        layout.registry, layout.runs, layout.training_sets, layout.statistics, layout.suppressed, layout.erasures,
        layout.exports,
    ]  # fmt: skip
    return [table for table in (*tables, *own) if table.exists(spark)]
