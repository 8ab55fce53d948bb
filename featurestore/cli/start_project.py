"""Write a small project: what somebody needs to define, compute and test features of their own."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from featurestore.errors import ExportError
from featurestore.session import DELTA_PACKAGE, SHIPPED_WITH_SPARK
from featurestore.stores.files.local import write_new_folder

# Each file of the project, and what it is; its template has the same name, without a leading dot.
FILES = {
    "README.md": "how to start, and how to go on",
    "pyproject.toml": "what must be installed, and how tests are found",
    ".gitignore": "what is made anew and not kept",
    "conf/base.yml": "settings: where the tables and the raw data are",
    "conf/dev.yml": "the settings of a laptop over them",
    "conf/prod.yml": "the settings of a cluster over them",
    "conf/spark-defaults.conf": "what spark-submit must be told",
    "conf/features/customers.yml": "the definitions: an entity, a feature group, its source",
    "conf/features/customer_orders.sql": "how the group's values are computed from the source",
    "jobs/daily.py": "the job: a day of one tenant",
    "landing/acme/orders/orders.csv": "a few orders to try it with",
    "tests/test_customer_orders.py": "what a day of orders must give, and that no example sees the future",
}


def start_project(path: str | Path, store_version: str) -> dict[str, str]:
    """Write the project to a folder that is not there yet, or has hidden files at most; returns its files, each with what
    it is.

    A new folder appears when all of it is written; one that is there is filled, and stays the same folder. ``store_version``
    is the oldest version of this package that the project asks for (``unknown``: any). Raises ExportError for a folder that
    holds something, or cannot be written.
    """
    target = _folder(path)
    write_new_folder(target, _rendered(target.name, store_version))
    return dict(FILES)


def _folder(path: str | Path) -> Path:
    """The folder by its full name; raises ExportError for what cannot be one, or is in use."""
    try:
        target = Path(path).expanduser().resolve()
        taken = _taken(target)
    except (OSError, RuntimeError, ValueError) as error:
        raise ExportError(
            f"{path} cannot be written: {error}; name a folder that is not there yet, or is empty"
        ) from error
    if taken:
        shown = ", ".join(taken[:3]) + (", ..." if len(taken) > 3 else "")
        raise ExportError(f"{target} is not empty ({shown}); name a folder that is not there yet, or is empty")
    return target


def _taken(target: Path) -> list[str]:
    """What is in the way: files that are seen, and hidden ones whose names the project has, too."""
    if not target.exists():
        return []
    if not target.is_dir():
        raise ExportError(f"{target} is a file; name a folder that is not there yet, or is empty")
    ours = {file.partition("/")[0] for file in FILES}
    names = sorted(entry.name for entry in target.iterdir())
    return [name for name in names if not name.startswith(".") or name in ours]


def _rendered(folder: str, store_version: str) -> dict[str, str]:
    """The text of each file."""
    environment = Environment(
        loader=PackageLoader("featurestore", "project_template"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # nothing here is HTML
    )
    values = {
        "name": _project_name(folder),
        "requirement": "offline-feature-store" + ("" if store_version == "unknown" else f">={store_version}"),
        "delta_package": DELTA_PACKAGE,
        "delta_excludes": ",".join(SHIPPED_WITH_SPARK),
        "files": FILES,
    }
    return {file: environment.get_template(f"{file.removeprefix('.')}.j2").render(values) for file in FILES}


def _project_name(folder: str) -> str:
    """A folder's name as the name of a Python project."""
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "features"
