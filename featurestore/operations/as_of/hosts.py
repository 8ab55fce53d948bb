"""Where an as-of join runs: a decision by what is known of the spine and the tables before any row is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from featurestore.display.description import size
from featurestore.errors import InvalidArgumentError

Host: TypeAlias = Literal["in_process", "in_tasks", "by_shuffle"]
HOSTS: tuple[Host, ...] = get_args(Host)


@dataclass(frozen=True)
class JoinFacts:
    """What decides where a join runs.

    - ``has_local_spine``: whether the spine is pandas or Arrow, so that it is in this process already;
    - ``obstacles``: by host, why it cannot make the join;
    - ``local_bytes``: what spine and result would take in this process; None for a spine of Spark, not counted yet;
    - ``most_local_bytes``: the setting ``local_join_bytes``.
    """

    has_local_spine: bool
    obstacles: Mapping[Host, str]
    local_bytes: int | None
    most_local_bytes: int


@dataclass(frozen=True)
class HostChoice:
    """The host of a join, and why it was chosen."""

    host: Host
    why: str


def choose_host(facts: JoinFacts, forced: Host | None) -> HostChoice:
    """The host of a join; ``forced``: the one that the caller or the settings name.

    Raises InvalidArgumentError if that host cannot make the join.
    """
    if forced is not None:
        if forced in facts.obstacles:
            raise InvalidArgumentError(
                f"host {forced!r} cannot make this join: {facts.obstacles[forced]}; possible: "
                f"{', '.join(host for host in HOSTS if host not in facts.obstacles)}"
            )
        return HostChoice(forced, "it was asked for")
    if facts.has_local_spine and "in_process" not in facts.obstacles and not _is_too_large(facts):
        return HostChoice("in_process", "the spine is in this process, which reads the files itself")
    if "in_tasks" not in facts.obstacles:
        return HostChoice("in_tasks", f"{_why_spark(facts)}, and its tasks read the files themselves")
    return HostChoice("by_shuffle", f"{_why_spark(facts)}, and {facts.obstacles['in_tasks']}")


def _is_too_large(facts: JoinFacts) -> bool:
    return facts.local_bytes is not None and facts.local_bytes > facts.most_local_bytes


def _why_spark(facts: JoinFacts) -> str:
    if not facts.has_local_spine:
        return "the spine is a Spark DataFrame"
    if "in_process" in facts.obstacles:
        return f"this process cannot make the join ({facts.obstacles['in_process']})"
    return (
        f"spine and result would take about {size(facts.local_bytes or 0)}, more than local_join_bytes "
        f"({size(facts.most_local_bytes)})"
    )
