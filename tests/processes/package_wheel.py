"""The package's wheel, and a Python that has all that the package needs but not the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.processes.spark_submit import PROJECT
from tests.processes.waiting import PATIENCE

_BUILT_FROM = ("featurestore", "pyproject.toml", "README.md", "LICENSE")


def build_wheel(folder: Path) -> Path:
    """The wheel of the project as it is, built from a copy, since a build leaves folders in the tree."""
    source = folder / "source"
    source.mkdir()
    for name in _BUILT_FROM:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / name, source)
    built = folder / "dist"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built), str(source)],
        cwd=folder,
        check=True,
        timeout=PATIENCE,
    )
    [wheel] = built.glob("*.whl")
    return wheel


def python_without_the_package(folder: Path) -> Path:
    """An interpreter with this environment's packages, without editable installs."""
    venv.create(folder, with_pip=False, symlinks=True)
    place = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    # A line of a .pth file is a folder to look in; that folder's own .pth files, which an editable install is, count for
    # nothing then.
    Path(place, "packages.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "python"
