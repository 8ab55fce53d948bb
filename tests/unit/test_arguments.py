"""Arguments are read by their annotations, before the function runs; what goes wrong within stays what it is."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import Field

from featurestore.arguments import checked
from featurestore.errors import ExportError, InvalidArgumentError
from featurestore.stores.files.local import write_whole


@checked
def build(
    name: str = "churn",
    rows: Annotated[int, Field(ge=1, le=10)] | None = None,
    share: float = 0.5,
    strict: bool = False,
    order: Literal["oldest", "newest"] = "oldest",
    groups: str | Sequence[str] | None = None,
    spine: Any = None,
    *,
    seed: int = 0,
) -> tuple[Any, ...]:
    """Build it."""
    return name, rows, share, strict, order, groups, spine, seed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": None}, "name is None (NoneType); give a text"),
        ({"name": "a\0"}, "name is 'a\\x00' (str); give a text without NUL characters and halves of surrogate pairs"),
        ({"rows": 0}, "rows is 0 (int); give a number from 1 on or None"),
        ({"rows": 11}, "rows is 11 (int); give a number up to 10 or None"),
        ({"rows": "3"}, "rows is '3' (str); give a whole number or None"),
        ({"rows": True}, "rows is True (bool); give a whole number or None"),
        ({"rows": 2.5}, "rows is 2.5 (float); give a whole number or None"),
        ({"share": float("nan")}, "share is nan (float); give a finite number"),
        ({"share": True}, "share is True (bool); give a number"),
        ({"strict": 1}, "strict is 1 (int); give True or False"),
        ({"order": "last"}, "order is 'last' (str); give 'oldest' or 'newest'"),
        ({"groups": 5}, "groups is 5 (int); give a text or a list of texts or None"),
        ({"groups": {"a": 1}}, "groups is {'a': 1} (dict); give a text or a list of texts or None"),
        ({"groups": ["a", None]}, "groups[1] is None (NoneType); give a text or None"),
        ({"seed": 2**63}, "seed is 9223372036854775808 (int); give a number up to 9223372036854775807"),
        ({"seed": "x" * 500}, f"seed is '{'x' * 37}...{'x' * 38}' (str); give a whole number"),
    ],
)
def test_an_error_names_a_wrong_argument_and_the_possible_values(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        build(**arguments)

    assert str(caught.value) == message


def test_arguments_that_convert_without_loss_are_accepted() -> None:
    arguments = build("a", np.int64(3), np.float32(0.5), np.bool_(True), groups=(name for name in "ab"), seed=-(2**63))

    assert arguments == ("a", 3, 0.5, True, "oldest", ("a", "b"), None, -(2**63))
    assert [type(value) for value in arguments[1:4]] == [int, float, bool]


def test_arguments_that_are_read_by_content_are_passed_unchanged() -> None:
    frame = pd.DataFrame({"user_id": ["ann"]})

    assert build(spine=frame)[6] is frame


def test_the_function_looks_as_it_was_written() -> None:
    assert inspect.signature(build).parameters["seed"].default == 0
    assert build.__doc__ == "Build it."


def test_an_error_inside_the_function_is_unchanged() -> None:
    @checked
    def broken(name: str) -> int:
        return len(5)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match=r"has no len\(\)"):
        broken("a")
    with pytest.raises(TypeError, match="positional"):
        broken("a", "b")  # type: ignore[call-arg]


def test_a_path_that_no_file_system_takes_is_an_error_of_this_package(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot be written: .*File name too long"):
        write_whole(tmp_path / ("x" * 5_000), "text")
