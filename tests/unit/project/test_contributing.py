"""What CONTRIBUTING.md, SECURITY.md and the forms say is so: files are there, hooks are `make check`, forms are forms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[3]
PAGES = ["CONTRIBUTING.md", "SECURITY.md"]
FORMS = sorted(path.name for path in (PROJECT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
ENDINGS = ("/", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml")


def text_of(file: str) -> str:
    return (PROJECT / file).read_text(encoding="utf-8")


def named_paths(page: str) -> set[str]:
    """Links to files, and words in backticks that end as a file or a folder does."""
    text = text_of(page)
    words = {word for word in re.findall(r"`([^`\s]+)`", text) if word.endswith(ENDINGS) or word.startswith(".ci")}
    return words | {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}


@pytest.mark.parametrize("page", PAGES)
def test_every_named_file_exists(page: str) -> None:
    named = named_paths(page)

    assert len(named) > 3
    assert sorted(name for name in named if not (PROJECT / name).exists()) == []


def test_the_tour_names_every_folder_and_module_of_the_package() -> None:
    parts = {
        f"featurestore/{path.name}{'/' if path.is_dir() else ''}"
        for path in (PROJECT / "featurestore").iterdir()
        if not path.name.startswith("_") and path.name != "py.typed"
    }

    assert sorted(parts - named_paths("CONTRIBUTING.md")) == []


def test_the_readme_leads_to_both() -> None:
    assert [page for page in PAGES if f"({page})" not in text_of("README.md")] == []


def test_the_hooks_run_what_make_check_runs() -> None:
    [repository] = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"]
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", text_of("Makefile"), re.MULTILINE)
    assert recipe is not None
    wanted = [line.strip().replace("$(PYTHON_IN_VENV)", ".venv/bin/python") for line in recipe[1].splitlines()]

    assert [hook["entry"] for hook in repository["hooks"]] == wanted
    assert repository["repo"] == "local", "nothing is fetched for them"
    assert not any(hook["pass_filenames"] for hook in repository["hooks"]), "they look at the whole tree, as it does"


def test_there_is_a_form_for_each_kind_of_issue() -> None:
    assert FORMS == ["bug.yml", "feature.yml", "question.yml"]


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_one_that_a_code_host_shows(form: str) -> None:
    """GitHub's syntax for issue forms: https://docs.github.com/communities/using-templates-to-encourage-useful-issues."""
    document: dict[str, Any] = yaml.safe_load(text_of(f".github/ISSUE_TEMPLATE/{form}"))

    assert set(document) == {"name", "description", "labels", "body"}
    fields = [part for part in document["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in fields} <= {"checkboxes", "dropdown", "input", "textarea"}
    identifiers = [part["id"] for part in fields]
    assert len(set(identifiers)) == len(identifiers)
    assert all(re.fullmatch(r"[\w-]+", identifier) for identifier in identifiers)
    assert all(part["attributes"]["label"] for part in fields)
    assert all(part["attributes"]["options"] for part in fields if part["type"] in ("checkboxes", "dropdown"))
    assert "doctor" in identifiers or form == "feature.yml"
