"""Write docs/cli_reference.md from the commands themselves: ``python docs/generators/cli_reference.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from featurestore.cli.application import app

PAGE = Path(__file__).parents[1] / "cli_reference.md"
COMMON_OPTIONS = frozenset({"--conf", "--profile", "--tenant", "--json", "--log", "--help"})

_HEAD = """# Commands

Every command with its arguments and options, as `featurestore COMMAND --help` shows them. This page is generated from
the program, and a test compares it. [Command line](cli.md) has the options that every command has, the use of stdout
and stderr, and the exit codes.

`required` options must be given; options of the type `list` may be given several times.
"""


def reference() -> str:
    """The page: one section per command, by name."""
    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="featurestore")
    commands = sorted(_commands(root, context), key=lambda entry: entry[0].command_path)
    return _HEAD + "".join(_section(context, command) for context, command in commands)


def _commands(command: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    """The commands without the groups of commands, each with the context that has its full name."""
    if not hasattr(command, "list_commands"):
        yield context, command
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if not inner.hidden:
            yield from _commands(inner, typer.Context(inner, info_name=name, parent=context))


def _section(context: Any, command: Any) -> str:
    parameters = command.get_params(context)
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    options = [
        parameter
        for parameter in parameters
        if parameter.param_type_name == "option" and not COMMON_OPTIONS & set(parameter.opts)
    ]
    required = [_names(option, context) for option in options if option.required]
    usage = " ".join([context.command_path, *(_names(argument, context) for argument in arguments), *required])
    rows = [(_names(parameter, context), parameter.get_help_record(context)[1]) for parameter in (*arguments, *options)]
    name = context.command_path.removeprefix("featurestore ")
    return f"\n## {name}\n\n{command.help}\n\n`{usage}`\n" + _table(rows)


def _names(parameter: Any, context: Any) -> str:
    """An option with the type of its value; an argument's name, with ``...`` if it may be repeated."""
    record = str(parameter.get_help_record(context)[0])
    if parameter.param_type_name == "option":
        return record
    name = record.split()[0].upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _table(rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    lines = [f"| `{_cell(names)}` | {_cell(meaning)} |" for names, meaning in rows]
    return "\n| argument or option | meaning |\n| --- | --- |\n" + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
