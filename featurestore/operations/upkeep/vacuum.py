"""Vacuum: remove from disk the files that no reader and no saved training set needs any more."""

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
from featurestore.operations.repeats.leftovers import leftovers
from featurestore.operations.upkeep.retain import chosen_groups
from featurestore.stores.delta.table import DeltaTable
from featurestore.stores.training_sets.manifests import Manifest
from featurestore.stores.vacuuming.history import Commit, commits
from featurestore.stores.vacuuming.tables import now_of, unneeded_files, vacuum_table

VACUUM = "vacuum"
# The longest time for which a reader that started before a vacuum may read the files of its version.
LONGEST_READ = timedelta(hours=24)


@dataclass(frozen=True)
class VacuumResult:
    """One table, named by its location: the files that were removed, or would be (``dry_run``), and their bytes.

    The same for a folder that a killed run left.
    """

    table: str
    files: int
    bytes: int
    dry_run: bool


def describe_vacuumed(results: Sequence[VacuumResult]) -> Display:
    """One line per table with removed files."""
    rows = tuple((result.table, count(result.files), size(result.bytes)) for result in results if result.files)
    verb = "would be removed" if any(result.dry_run for result in results) else "removed"
    files, total = sum(result.files for result in results), sum(result.bytes for result in results)
    title = f"{counted(files, 'file')}, {size(total)} {verb}"
    return Display(title, tables=(Table(("table", "files", "size"), rows),) if rows else ())


@dataclass(frozen=True)
class Need:
    """How long, back from now, files that left the newest version are still needed, and by whom."""

    duration: timedelta
    needed_by: str


def vacuum(context: Context, *, older_than: timedelta | str, force: bool, dry_run: bool) -> Listing[VacuumResult]:
    """Remove files that have not been in their table's newest version for ``older_than``, and files that crashes left.

    The tables are those of every feature group in every major version, with their rejected rows, and the store's own.
    All tenants share them, so a vacuum covers the store, not one tenant. What killed builds and exports left is removed
    as a whole, however old it is (see ``leftovers``).

    Raises InvalidArgumentError, with the shortest possible time and who needs it, if a reader that may still be running
    (``LONGEST_READ``) or a saved training set of any tenant needs files for longer. ``force`` removes them anyway; such
    a set then cannot be built again, but its saved rows stay.
    """
    horizon = _horizon(older_than)
    if not force:
        check_horizon(context, horizon)
    if dry_run:
        planned = (VacuumResult(str(table), *unneeded_files(table, horizon), True) for table in _tables(context))
        left_behind = (VacuumResult(left.folder, left.files, left.bytes, True) for left in leftovers(context))
        return Listing([*planned, *left_behind], describe_vacuumed)
    results = []
    with recorded_run(Scope(context, STORE), VACUUM) as job:
        for table in _tables(context):
            results.append(VacuumResult(str(table), *vacuum_table(table, horizon), False))
            context.step("vacuum.table")
        for left in leftovers(context):
            context.files_at(left.folder).delete(left.folder)
            results.append(VacuumResult(left.folder, left.files, left.bytes, False))
            context.step("vacuum.leftover")
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
    """Raise InvalidArgumentError if a reader or a saved training set needs files for longer than the horizon."""
    need = max([Need(LONGEST_READ, "a reader that is still running"), *_of_training_sets(context)], key=_duration)
    if horizon < need.duration:
        # Rounded up, so that the time in the message is long enough.
        least = timedelta(hours=-(-need.duration // timedelta(hours=1)))
        raise InvalidArgumentError(
            f"older_than is {format_duration(horizon)}; the shortest possible is {format_duration(least)}, because "
            f"{need.needed_by} needs files that left the newest version that long ago. Delete what you no longer "
            "need, or pass force=True to remove the files anyway"
        )


def _duration(need: Need) -> timedelta:
    return need.duration


def _of_training_sets(context: Context) -> Iterator[Need]:
    """The files that saved training sets of all tenants need to be built again."""
    now: datetime | None = None
    histories: dict[str, list[Commit]] = {}
    tables = {str(context.table(group).values): context.table(group).values for group in chosen_groups(context, None)}
    manifests = context.training_sets.manifests()
    # An unreadable manifest does not show which versions it pins, and its set cannot be built again anyway.
    manifests.warn()
    for manifest in manifests.readable:
        for table, version in _pinned(manifest):
            if table not in tables:
                continue
            if table not in histories:
                histories[table] = commits(tables[table])
            needed_since = first_removal(histories[table], version)
            if needed_since is not None:
                # Once, and only if a set needs old files: it may cost a job of Spark.
                now = now or now_of(tables[table])
                needed_by = f"training set {manifest.name!r} v{manifest.version} of tenant {manifest.tenant_id!r}"
                yield Need(now - needed_since, f"{needed_by}, built from version {version} of {table},")


def _pinned(manifest: Manifest) -> set[tuple[str, int]]:
    """The tables, with versions, that a set is built from; empty for a set that cannot be built again anyway."""
    if manifest.erasures:
        return set()
    return {(group.table, group.table_version) for part in manifest.all_parts for group in part.groups}


def first_removal(history: list[Commit], version: int) -> datetime | None:
    """When a file of that version first left the newest version; None if none did, or if a vacuum removed some of them.

    Appends remove no file: a version needs no old files until a later commit deletes, merges or compacts.
    """
    if not any(commit.version <= version for commit in history):
        # The log does not reach back to that version, so nobody can read it any more.
        return None
    later = [commit for commit in history if commit.version > version]
    removals = [commit.at for commit in later if commit.removes_files]
    if not removals:
        return None
    first = min(removals)
    gone = any(commit.vacuumed_before is not None and commit.vacuumed_before > first for commit in later)
    return None if gone else first


def _tables(context: Context) -> list[DeltaTable]:
    layout = context.layout
    tables = [
        table
        for group in chosen_groups(context, None)
        for table in (context.table(group).values, context.table(group).rejected)
    ]
    own = [
        layout.registry, layout.runs, layout.training_sets, layout.statistics, layout.suppressed, layout.erasures,
        layout.exports,
    ]  # fmt: skip
    return [table for table in (*tables, *own) if table.exists()]
