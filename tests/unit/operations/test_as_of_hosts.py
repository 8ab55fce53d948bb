"""Where an as-of join runs: the decision as a table."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from featurestore.errors import InvalidArgumentError
from featurestore.operations.as_of.hosts import Host, JoinFacts, choose_host

MOST = 1000
VECTORS = "table scores has deletion vectors"
VARIANT = "the spine's column 'z' is variant"


@dataclass(frozen=True)
class Question:
    """What is known of a join, and the host that is forced."""

    local: bool = True
    size: int | None = MOST
    files: str | None = None
    spine: str | None = None
    forced: Host | None = None

    @property
    def facts(self) -> JoinFacts:
        obstacles: dict[Host, str] = {}
        if self.files is not None:
            obstacles["in_process"] = self.files
        if (self.files or self.spine) is not None:
            obstacles["in_tasks"] = self.files or self.spine or ""
        return JoinFacts(self.local, obstacles, self.size if self.local else None, MOST)


CHOICES: list[tuple[Question, Host, str]] = [
    (Question(), "in_process", "the spine is in this process, which reads the files itself"),
    (Question(size=0), "in_process", "the spine is in this process, which reads the files itself"),
    (Question(size=None), "in_process", "the spine is in this process, which reads the files itself"),
    (
        Question(size=MOST + 1),
        "in_tasks",
        "spine and result would take about 1001 B, more than local_join_bytes (1000 B), and its tasks read the files "
        "themselves",
    ),
    (Question(files=VECTORS), "by_shuffle", f"this process cannot make the join ({VECTORS}), and {VECTORS}"),
    (
        Question(files=VECTORS, size=MOST + 1),
        "by_shuffle",
        f"this process cannot make the join ({VECTORS}), and {VECTORS}",
    ),
    (Question(spine=VARIANT), "in_process", "the spine is in this process, which reads the files itself"),
    (
        Question(spine=VARIANT, size=MOST + 1),
        "by_shuffle",
        f"spine and result would take about 1001 B, more than local_join_bytes (1000 B), and {VARIANT}",
    ),
    (Question(local=False), "in_tasks", "the spine is a Spark DataFrame, and its tasks read the files themselves"),
    (Question(local=False, spine=VARIANT), "by_shuffle", f"the spine is a Spark DataFrame, and {VARIANT}"),
    (Question(local=False, files=VECTORS), "by_shuffle", f"the spine is a Spark DataFrame, and {VECTORS}"),
    (Question(forced="in_process"), "in_process", "it was asked for"),
    (Question(forced="in_process", size=MOST + 1), "in_process", "it was asked for"),
    (Question(forced="in_process", local=False), "in_process", "it was asked for"),
    (Question(forced="in_process", local=False, spine=VARIANT), "in_process", "it was asked for"),
    (Question(forced="in_tasks"), "in_tasks", "it was asked for"),
    (Question(forced="by_shuffle"), "by_shuffle", "it was asked for"),
    (Question(forced="by_shuffle", files=VECTORS, local=False), "by_shuffle", "it was asked for"),
]


@pytest.mark.parametrize(("question", "host", "why"), CHOICES)
def test_a_join_runs_where_its_facts_say(question: Question, host: Host, why: str) -> None:
    choice = choose_host(question.facts, question.forced)

    assert (choice.host, choice.why) == (host, why)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question(forced="in_process", files=VECTORS), f"'in_process' cannot make this join: {VECTORS}; possible: by_shuffle$"),
        (Question(forced="in_tasks", files=VECTORS), f"'in_tasks' cannot make this join: {VECTORS}; possible: by_shuffle$"),
        (
            Question(forced="in_tasks", spine=VARIANT),
            f"'in_tasks' cannot make this join: {VARIANT}; possible: in_process, by_shuffle$",
        ),
    ],
)  # fmt: skip
def test_a_forced_host_that_cannot_make_the_join_is_refused_with_the_reason(question: Question, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        choose_host(question.facts, question.forced)
