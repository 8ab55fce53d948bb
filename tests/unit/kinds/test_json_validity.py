"""JSON texts about which only Spark can decide."""

import pytest

from featurestore.kinds.arrow_columns.reading import UndecidedError
from featurestore.kinds.json_text.json_validity import is_json_text


@pytest.mark.parametrize("levels", [401, 500, *range(900, 1000, 2), 100_000])
@pytest.mark.parametrize("inner", ["1", '"\\ud83d\\ude00"', '"\\ud83d"'])
def test_deep_json_is_undecided(levels: int, inner: str) -> None:
    with pytest.raises(UndecidedError, match="deeply nested"):
        is_json_text("[" * levels + inner + "]" * levels)


def test_surrogates_in_json() -> None:
    assert is_json_text('["\\ud83d\\ude00"]')
    with pytest.raises(UndecidedError, match="surrogates"):
        is_json_text('["\\ud83d"]')
