"""The command ``featurestore``."""

from featurestore.cli.application import main, run, task

__all__ = ["main", "run", "task"]
