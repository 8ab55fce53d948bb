"""A folder of settings, as a project has it."""

from __future__ import annotations

from pathlib import Path

import yaml


def write_settings_folder(folder: Path, **settings: str | int) -> Path:
    """``base.yml`` with the settings, and a ``dev.yml`` that changes nothing; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "base.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (folder / "dev.yml").write_text("{}\n", encoding="utf-8")
    return folder
