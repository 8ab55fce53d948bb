"""The command ``featurestore``."""

from featurestore.cli.application import main, run

__all__ = ["main", "run"]
