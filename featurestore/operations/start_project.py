"""Write a small project: what somebody needs to define, compute and test features of their own."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from featurestore.errors import ExportError
from featurestore.session import DELTA_PACKAGE, SHIPPED_WITH_SPARK
from featurestore.stores.local_files import write_new_folder

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
    """Write the project to a folder that is not there yet, or is empty; returns its files, each with what it is.

    The folder appears when all of it is written. ``store_version`` is the oldest version of this package that the project
    asks for (``unknown``: any). Raises ExportError for a folder that holds something, or cannot be written.
    """
    target = Path(path).expanduser().resolve()
    _require_free(target)
    write_new_folder(target, _rendered(target.name, store_version))
    return dict(FILES)


def _require_free(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{target} is a file; name a folder that is not there yet, or is empty")
    found = sorted(entry.name for entry in target.iterdir())
    if found:
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise ExportError(f"{target} is not empty ({shown}); name a folder that is not there yet, or is empty")


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
