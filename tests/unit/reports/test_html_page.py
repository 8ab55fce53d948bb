"""The checker of pages finds what is wrong: a fault each."""

import pytest

from tests.pages.html_page import faults_of

GOOD = """<!doctype html>
<html lang="en"><head><title>t</title><style>p { color: red }</style></head>
<body><main aria-labelledby="a"><h1 id="a">A</h1><a href="#b">b</a><svg role="img" aria-label="x"></svg>
<table id="b"><tr><th scope="row">1</th><td>2</td></tr></table></main></body></html>"""


def test_a_good_page_has_no_faults() -> None:
    assert faults_of(GOOD) == []


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ('href="#b"', 'href="#c"', "nothing has the id 'c' that is referred to"),
        ('aria-labelledby="a"', 'aria-labelledby="a z"', "nothing has the id 'z' that is referred to"),
        ('id="b"', 'id="a"', "id 'a' is used twice"),
        ('id="b"', 'id="b c"', "id 'b c' is empty or has a space"),
        ('href="#b"', 'href="https://example.org"', "<a href='https://example.org'> is outside the page"),
        ("<h1", '<img src="x.png" alt="x"><h1', "<img src='x.png'> is outside the page"),
        ("<h1", "<script>x</script><h1", "<script> loads or runs something"),
        ("<h1", '<h1 onclick="x"', "<h1 onclick> runs something"),
        ("color: red", "background: url(http://x/y.png)", "the style loads url(http://x/y.png)"),
        (' role="img" aria-label="x"', "", "an <svg> is no named image: {}"),
        (' scope="row"', "", "a <th> has no scope: {}"),
        (' lang="en"', "", "the page has no language"),
        ("</h1>", "</h1><h3>x</h3>", "h3 follows h1"),
    ],
)
def test_a_fault_is_found(good: str, bad: str, fault: str) -> None:
    assert good in GOOD

    assert fault in faults_of(GOOD.replace(good, bad))


def test_elements_are_closed_in_order() -> None:
    with pytest.raises(AssertionError):
        faults_of(GOOD.replace("</td>", ""))
