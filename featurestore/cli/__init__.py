"""The command `featurestore`: options, answers, exit codes (see invocation.py), and no logic of its own."""

from featurestore.cli.application import main, run, task

__all__ = ["main", "run", "task"]
