"""What every command receives: the common options, and ways to answer, report progress and fail."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from featurestore.cli.json_log import open_log
from featurestore.cli.rows_bar import RowsBar
from featurestore.definitions.names import check_tenant_id
from featurestore.display.description import Display, counted
from featurestore.display.displayed import Displayed
from featurestore.display.terminal import as_rich
from featurestore.errors import FeatureStoreError
from featurestore.late_spark import spark_errors
from featurestore.spark_start import spark_log
from featurestore.stores.small_tables.rows import UnreadableRowWarning

if TYPE_CHECKING:
    from featurestore.feature_store import FeatureStore
    from featurestore.late_spark import SparkSession

TENANT_VARIABLE = "FEATURESTORE_TENANT"
WIDTH_OF_A_FILE = 200

_TENANT_HELP = f"The tenant; {TENANT_VARIABLE} by default."
Conf = Annotated[Path | None, typer.Option("--conf", help="Folder of settings; ./conf by default.")]
Profile = Annotated[str | None, typer.Option("--profile", help="Settings that override base.yml, such as dev or prod.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help=_TENANT_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on stdout.")]
Log = Annotated[
    Literal["text", "json"] | None,
    typer.Option("--log", help="Format of progress and errors on stderr; text by default."),
]


@dataclass(frozen=True)
class Invocation:
    """The common options of one command, from before or after it."""

    conf: Path | None = None
    profile: str | None = None
    tenant: str | None = None
    as_json: bool = False
    log: Literal["text", "json"] = "text"
    command: str = ""
    on_step: Callable[[str], None] | None = None

    def open(self) -> FeatureStore:
        """The feature store; it starts Spark when a command first needs it."""
        from featurestore.feature_store import FeatureStore

        feature_store = FeatureStore.open(self.conf, profile=self.profile, on_step=self.step)
        context = feature_store._context
        start = context.start_spark

        def start_spark() -> SparkSession:
            self.notify("Starting Spark ...")
            return start()

        context.start_spark = start_spark
        return feature_store

    def required_tenant(self) -> str:
        """The tenant's id; a usage error without one, InvalidNameError for an invalid id.

        Call it before ``open``, so that a mistake is reported at once.
        """
        if self.tenant is None:
            raise typer.BadParameter(f"name the tenant with --tenant, or set {TENANT_VARIABLE}", param_hint="--tenant")
        return check_tenant_id(self.tenant)

    def answer(self, document: Any, *parts: RenderableType | Displayed | Display) -> None:
        """Print the answer on stdout: ``document`` with ``--json``, else ``parts`` for people, with all their rows."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, default=_plain, ensure_ascii=False, indent=2) + "\n")
        else:
            # A file or a pipe has no width of its own; in this one, names are not cut.
            width = None if sys.stdout.isatty() else WIDTH_OF_A_FILE
            console = Console(soft_wrap=True, width=width)
            for part in parts:
                content = part.display() if isinstance(part, Displayed) else part
                console.print(as_rich(content, None) if isinstance(content, Display) else content, highlight=False)

    def notify(self, text: str) -> None:
        """Print a line about progress on stderr."""
        if self.log == "json":
            self._log_line("info", text)
        elif not self._must_be_silent:
            Console(stderr=True, soft_wrap=True).print(text, highlight=False, markup=False)

    @contextmanager
    def warnings_on_stderr(self) -> Iterator[None]:
        """Report on stderr the rows that the store skips because it cannot read them; in a JSON log, as lines of it."""
        show_others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, UnreadableRowWarning):
                show_others(message, category, *where, **more)
            elif self.log == "json":
                self._log_line("warning", str(message))
            else:
                self.notify(f"Warning: {message}")

        with warnings.catch_warnings():
            warnings.showwarning = show
            yield

    def step(self, done: str) -> None:
        """Log a step that a job has just done, with ``--log json`` only, and pass it to ``on_step``."""
        if self.log == "json":
            self._log_line("info", done)
        if self.on_step is not None:
            self.on_step(done)

    @property
    def _must_be_silent(self) -> bool:
        """Whether stderr must stay empty: spark-submit merges it into stdout, which holds the JSON document."""
        return self.as_json and "PYSPARK_GATEWAY_PORT" in os.environ

    def _log_line(self, level: Literal["info", "warning", "error"], event: str, **facts: Any) -> None:
        if not self._must_be_silent:
            named = {"command": self.command, "tenant": self.tenant}
            getattr(open_log(**{name: fact for name, fact in named.items() if fact}), level)(event, **facts)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Show on stderr what is going on: a spinner in a terminal, else a line."""
        console = Console(stderr=True, soft_wrap=True)
        if console.is_terminal and self.log == "text":
            with console.status(Text(text)):
                yield
        else:
            self.notify(f"{text} ...")
            yield

    @contextmanager
    def counting(self, feature_store: FeatureStore, text: str, unit: str = "rows") -> Iterator[RowsBar]:
        """Show on stderr how far a long job is: a bar in a terminal, else a line; ``summary`` says the end."""
        console = Console(stderr=True)
        shown = self.log == "text" and console.is_terminal
        if not shown:
            self.notify(f"{text} ...")
        bar = RowsBar(console, text, unit, shown)
        feature_store._context.progress = bar
        with bar.running():
            yield bar

    def summary(self, feature_store: FeatureStore, bar: RowsBar, rows: int) -> None:
        """Say on stderr how many rows a job took how long, and what did it: a host of joins, Spark, or this process."""
        started = "spark" in vars(feature_store._context)
        host = bar.first_host or ("Spark" if started else "this process")
        if self.log == "json":
            self._log_line("info", "rows", rows=rows, seconds=round(bar.seconds, 3), host=host)
        else:
            self.notify(f"{counted(rows, 'row')} in {bar.seconds:,.1f} s ({host})")

    def log_end(self, seconds: float) -> None:
        self._log_line("info", "done", seconds=round(seconds, 3))

    def fail(self, error: FeatureStoreError) -> None:
        """Print the error's message on stderr; with ``--json`` also a document on stdout."""
        fault = {"kind": type(error).__name__, "message": str(error), "exit_code": error.exit_code}
        if self.log == "json":
            self._log_line("error", str(error), kind=fault["kind"], exit_code=error.exit_code)
        else:
            self.notify(f"Error: {error}")
        if self.as_json:
            self.answer({"error": fault})
        self.name_spark_log(error)

    def name_spark_log(self, error: Exception) -> None:
        """Say on stderr where Spark's own messages are, if Spark failed and the error does not say it."""
        log = spark_log()
        if log is not None and _failed_in_spark(error) and str(log) not in str(error):
            self.notify(f"Spark's messages are in {log}")


def _failed_in_spark(error: BaseException | None) -> bool:
    """Whether Spark failed while it ran, which caused an error; what it refuses to plan says all in its own message."""
    while error is not None:
        if type(error).__module__.partition(".")[0] in ("pyspark", "py4j"):
            return not isinstance(error, spark_errors.AnalysisException)
        error = error.__cause__ or error.__context__
    return False


def _plain(value: Any) -> str:
    """A value that JSON cannot hold, as text: an instant in ISO 8601, anything else by ``str``."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the common options to a command, which receives them as an Invocation, its first argument.

    An option after the command overrides the same option before it, and that overrides the environment. A
    FeatureStoreError ends the command with the exit code of its class.
    """

    @functools.wraps(command)
    def wrapped(context: typer.Context, **values: Any) -> None:
        before: dict[str, Any] = context.obj or {}
        options: dict[str, Any] = {
            name: values.pop(name) or before.get(name) for name in ("conf", "profile", "tenant", "as_json", "log")
        }
        options["tenant"] = options["tenant"] or os.environ.get(TENANT_VARIABLE) or None
        options["log"] = options["log"] or "text"
        invocation = Invocation(**options, command=context.info_name or "", on_step=before.get("on_step"))
        began = monotonic()
        try:
            with invocation.warnings_on_stderr():
                command(invocation, **values)
        except FeatureStoreError as error:
            invocation.fail(error)
            raise typer.Exit(error.exit_code) from None
        except Exception as error:
            fault = _storage_fault(error)
            if fault is None:
                invocation.name_spark_log(error)
                raise
            invocation.fail(fault)
            raise typer.Exit(fault.exit_code) from None
        if invocation.log == "json":
            invocation.log_end(monotonic() - began)

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    common = inspect.signature(_common, eval_str=True).parameters.values()
    signature = inspect.Signature([*list(common)[:1], *own, *list(common)[1:]])
    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return wrapped


def _storage_fault(error: Exception) -> FeatureStoreError | None:
    """The storage fault that caused an error; None if there is none."""
    # The module needs Spark, which a usage error must not load.
    if not isinstance(error, OSError) and "pyspark" not in sys.modules:
        return None
    from featurestore.stores.storage_faults import storage_error

    return storage_error(error)


def _common(
    context: typer.Context,
    *,
    conf: Conf = None,
    profile: Profile = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    """The parameters that ``common_options`` adds; never called."""
