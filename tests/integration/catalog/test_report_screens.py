"""The reports in a real browser: light, dark, narrow and printed. Nothing is blank, nothing is cut off, nothing fails."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from featurestore.reports.drift_report import drift_html
from featurestore.reports.profile_report import profile_html
from featurestore.reports.training_set_report import training_set_html
from tests.pages.html_page import faults_of
from tests.pages.profiles import drifted, profiled
from tests.pages.training_set_reports import manifest, numbers
from tests.processes.waiting import PATIENCE

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH to look at pages with"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]
DARK, LIGHT = "--blink-settings=preferredColorScheme=0", "--blink-settings=preferredColorScheme=1"
# The area between the margins of an A4 page, in CSS pixels.
WIDTH_IN_PRINT = 718
MEASURE = """<script>
const box = document.documentElement;
const beyond = [...document.body.querySelectorAll("*")].filter(one => {
  const right = one.getBoundingClientRect().right;
  return right > innerWidth + 1 && !one.closest(".scroll");
});
parent.document.title = JSON.stringify({inner: innerWidth, scroll: box.scrollWidth, beyond: beyond.map(one => one.outerHTML.slice(0, 80))});
</script></body>"""
REPORTS: dict[str, Callable[[], str]] = {
    "profile": lambda: profile_html(profiled()),
    "drift": lambda: drift_html(drifted()),
    "training_set": lambda: training_set_html(manifest(), numbers()),
}


class Browser:
    """Chromium with a profile of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, html: str, *flags: str) -> subprocess.CompletedProcess[str]:
        page = self.folder / "page.html"
        page.write_text(html, encoding="utf-8")
        own = [f"--user-data-dir={self.folder / 'data'}", "--window-size=1280,2000"]
        return subprocess.run(
            [str(CHROMIUM), *FLAGS, *own, *flags, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )

    def screen(self, html: str, flag: str) -> tuple[np.ndarray[Any, Any], list[str]]:
        """The pixels, from 0 to 1, and what stood in the console."""
        picture = self.folder / "screen.png"
        done = self.run(html, flag, f"--screenshot={picture}")
        return imread(picture)[..., :3], re.findall(r"CONSOLE.*", done.stderr)

    def measured(self, html: str, width: int) -> dict[str, Any]:
        """How wide the window is, how wide the page, and what is beyond the window's edge."""
        assert html.count("</body>") == 1
        # In a frame: a window of Chromium's own is never narrower than 500.
        inside = escape(html.replace("</body>", MEASURE))
        frame = f'<iframe style="width: {width}px; height: 2000px; border: 0" srcdoc="{inside}"></iframe>'
        done = self.run(f"<!doctype html><title></title>{frame}", "--dump-dom")
        title = re.search(r"<title>(.*?)</title>", done.stdout, flags=re.DOTALL)
        assert title is not None
        measures: dict[str, Any] = json.loads(unescape(title.group(1)))
        return measures


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module", params=REPORTS)
def report(request: pytest.FixtureRequest) -> str:
    html = REPORTS[request.param]()
    assert faults_of(html) == []
    return html


def test_the_page_is_there_in_light_and_in_dark(browser: Browser, report: str) -> None:
    light, told_in_light = browser.screen(report, LIGHT)
    dark, told_in_dark = browser.screen(report, DARK)

    assert (told_in_light, told_in_dark) == ([], [])
    # The corner is the page's background; letters and pictures are on it.
    assert light[2, 2].mean() > 0.95
    assert dark[2, 2].mean() < 0.15
    for pixels in (light, dark):
        assert (np.abs(pixels - pixels[2, 2]).max(axis=2) > 0.3).mean() > 0.01


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_window(browser: Browser, report: str, width: int) -> None:
    assert browser.measured(report, width) == {"inner": width, "scroll": width, "beyond": []}


def test_nothing_is_wider_than_a_printed_page(browser: Browser, report: str) -> None:
    # Rules for paper, at a paper's width; a box that is scrolled on the screen is not on paper.
    printed = report.replace("@media print", "@media all").replace('class="scroll"', "")

    assert browser.measured(printed, WIDTH_IN_PRINT) == {
        "inner": WIDTH_IN_PRINT,
        "scroll": WIDTH_IN_PRINT,
        "beyond": [],
    }


def test_it_is_printed(browser: Browser, report: str, tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"

    browser.run(report, "--no-pdf-header-footer", f"--print-to-pdf={file}")

    assert file.read_bytes().startswith(b"%PDF")
    assert file.stat().st_size > 20_000


def test_the_checks_detect_a_faulty_page(browser: Browser) -> None:
    bad = """<!doctype html><html lang="en"><head><title>t</title></head><body><main><h1>t</h1><p style="width: 2000px">wide</p>
    </main><script>console.error("it broke")</script></body></html>"""

    pixels, console = browser.screen(bad, DARK)
    measured = browser.measured(bad, 400)

    assert len(console) == 1
    assert "it broke" in console[0]
    assert pixels[2, 2].mean() > 0.95
    assert measured["scroll"] > 2000
    assert "wide" in measured["beyond"][0]
