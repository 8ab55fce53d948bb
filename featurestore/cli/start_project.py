"""Write a small project, from which a user defines, computes and tests features of their own."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from featurestore.errors import ExportError
from featurestore.session import DELTA_PACKAGE, SHIPPED_WITH_SPARK
from featurestore.stores.files.local import write_new_folder

# File of the project -> its purpose; the template has the same name without a leading dot.
FILES = {
    "README.md": "how to start and how to continue",
    "pyproject.toml": "what must be installed, and where the tests are",
    ".gitignore": "generated files that are not committed",
    "conf/base.yml": "settings: where the tables and the raw data are",
    "conf/dev.yml": "settings for a laptop, which override base.yml",
    "conf/prod.yml": "settings for a cluster, which override base.yml",
    "conf/spark-defaults.conf": "properties for spark-submit",
    "conf/features/customers.yml": "definitions: an entity, a feature group, its source",
    "conf/features/customer_orders.sql": "the SQL that computes the group's values from the source",
    "jobs/daily.py": "the job that computes one day of one tenant",
    "landing/acme/orders/orders.csv": "a few orders to try it with",
    "tests/test_customer_orders.py": "a test of a day of orders, and that no example sees the future",
}


def start_project(path: str | Path, store_version: str) -> dict[str, str]:
    """Write the project to a folder that does not exist or has only hidden files; returns its files -> their purpose.

    A new folder appears only when it is complete; an existing folder is filled, and stays the same folder.
    ``store_version`` is the oldest version of this package that the project accepts (``unknown``: any). Raises
    ExportError for a folder that is not empty or cannot be written.
    """
    target = _folder(path)
    write_new_folder(target, _rendered(target.name, store_version))
    return dict(FILES)


def _folder(path: str | Path) -> Path:
    """The folder's absolute path; raises ExportError for a path that is no folder, or a folder in use."""
    try:
        target = Path(path).expanduser().resolve()
        names = _names_in_the_way(target)
    except (OSError, RuntimeError, ValueError) as error:
        raise ExportError(f"{path} cannot be written: {error}; name a new or empty folder") from error
    if names:
        first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise ExportError(f"{target} is not empty ({first}); name a new or empty folder")
    return target


def _names_in_the_way(target: Path) -> list[str]:
    """The visible files of the folder, and the hidden ones that the project has too."""
    if not target.exists():
        return []
    if not target.is_dir():
        raise ExportError(f"{target} is a file; name a new or empty folder")
    ours = {file.partition("/")[0] for file in FILES}
    names = sorted(entry.name for entry in target.iterdir())
    return [name for name in names if not name.startswith(".") or name in ours]


def _rendered(folder: str, store_version: str) -> dict[str, str]:
    """File of the project -> its text."""
    environment = Environment(
        loader=PackageLoader("featurestore", "project_template"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # nothing here is HTML
    )
    values = {
        "name": _project_name(folder),
        "requirement": "offline-feature-store[spark]" + ("" if store_version == "unknown" else f">={store_version}"),
        "delta_package": DELTA_PACKAGE,
        "delta_excludes": ",".join(SHIPPED_WITH_SPARK),
        "files": FILES,
    }
    return {file: environment.get_template(f"{file.removeprefix('.')}.j2").render(values) for file in FILES}


def _project_name(folder: str) -> str:
    """A valid name of a Python project, from the folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "features"
