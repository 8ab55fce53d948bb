"""Where the notebooks of this folder keep their tables, and how they show results, on a platform and elsewhere."""

from __future__ import annotations

import builtins
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import rich

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a8a8a"

pd.set_option("display.width", 160, "display.max_columns", 20, "display.max_colwidth", 120)


class Notebook:
    """A notebook by its ``globals()``, in which a platform puts ``dbutils`` and ``display``.

    ``warehouse`` and ``landing`` are the folders of its tables and of the files that it reads; both are strings.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self.warehouse = self._widget("warehouse", f"{tempfile.mkdtemp(prefix='featurestore-')}/warehouse")
        self.landing = self._widget("landing", f"{self.warehouse}-landing")
        Path(self.warehouse).parent.mkdir(parents=True, exist_ok=True)

    def show(self, value: object) -> None:
        """Display in a notebook; in plain Python print, and save a picture beside the warehouse."""
        if hasattr(value, "toArrow"):
            value = value.toArrow().to_pandas()
        display = self._variables.get("display", getattr(builtins, "display", None))
        if isinstance(value, plt.Figure):
            plt.close(value)
            if display is None:
                picture = f"{self.warehouse}-{value.get_label()}.png"
                value.savefig(picture, dpi=120)
                value = picture
        (display or (rich.print if hasattr(value, "__rich__") else print))(value)

    def _widget(self, name: str, default: str) -> str:
        """A widget of the platform; elsewhere a variable of the environment, or the default."""
        platform = self._variables.get("dbutils")
        if platform is None:
            return os.environ.get(f"NOTEBOOK_{name.upper()}", default)
        platform.widgets.text(name, default)
        return str(platform.widgets.get(name))
