"""Write notebooks of this folder as Jupyter's: ``python notebooks/to_jupyter.py FOLDER [NOTEBOOK ...]``, by default all.

The module that they share is copied beside them.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

FIRST_LINE = "# Databricks notebook source\n"
SEPARATOR = "\n# COMMAND ----------\n"
SHARED = Path(__file__).with_name("notebook_setup.py")
MAGIC, MARKDOWN = "# MAGIC", "# MAGIC %md"


def jupyter_notebook(source: str) -> dict[str, Any]:
    """The notebook in Jupyter's format 4.5; ``source`` is in Databricks' source format, with cells of Python and ``%md``."""
    texts = source.removeprefix(FIRST_LINE).split(SEPARATOR)
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [_cell(number, text.strip("\n")) for number, text in enumerate(texts, start=1)],
    }


def _cell(number: int, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}}
    if text.startswith(MARKDOWN):
        lines = text.removeprefix(MARKDOWN).strip("\n").splitlines()
        shown = "\n".join(line.removeprefix(MAGIC).removeprefix(" ") for line in lines)
        return cell | {"cell_type": "markdown", "source": shown}
    return cell | {"cell_type": "code", "source": text, "outputs": [], "execution_count": None}


def main(folder: Path, notebooks: list[Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != SHARED.parent.resolve():
        shutil.copy(SHARED, folder)
    for notebook in notebooks:
        written = folder / f"{notebook.stem}.ipynb"
        made = jupyter_notebook(notebook.read_text(encoding="utf-8"))
        written.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(written)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    given = [Path(name) for name in sys.argv[2:]]
    main(Path(sys.argv[1]), given or sorted(Path(__file__).parent.glob("[0-9]*.py")))
