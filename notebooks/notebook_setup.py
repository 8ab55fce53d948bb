"""The shared setup of the notebooks: where they keep tables, and how they show results, on a platform or elsewhere."""

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
    """A notebook, from its ``globals()``, to which a platform adds ``dbutils`` and ``display``.

    ``warehouse`` is the folder of its tables, and ``landing`` the folder of the files that it reads; both are strings.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self.warehouse = self._widget("warehouse", f"{tempfile.mkdtemp(prefix='featurestore-')}/warehouse")
        self.landing = self._widget("landing", f"{self.warehouse}-landing")
        Path(self.warehouse).parent.mkdir(parents=True, exist_ok=True)

    def show(self, value: object) -> None:
        """Display the value in a notebook; in plain Python print it, or save a picture next to the warehouse."""
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
        """The value of a platform's widget; elsewhere of an environment variable, or the default."""
        platform = self._variables.get("dbutils")
        if platform is None:
            return os.environ.get(f"NOTEBOOK_{name.upper()}", default)
        platform.widgets.text(name, default)
        return str(platform.widgets.get(name))
