"""The pages in a real browser: what is drawn, what it says on its console, light, dark and phone."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest

from volassets.reporting.panel_page import panel_page
from volassets.reporting.ticker_page import ticker_page
from volassets.settings import Settings
from volassets.warehouse.store import Warehouse
from volassets_tests.reporting.conftest import MODELS, TICKER

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]
# Asked for inside a frame of the given width, because a window has a least width of its own.
MEASURE = """
<!DOCTYPE html><meta charset="utf-8"><iframe id="frame" style="width:%dpx;height:4000px;border:0" srcdoc="%s"></iframe>
<pre id="found"></pre>
<script>
document.getElementById("frame").onload = () => {
  const page = document.getElementById("frame").contentDocument;
  const boxes = [...page.querySelectorAll("figure canvas")].map(e => e.getBoundingClientRect());
  const inks = (canvas) => {
    const found = new Set();
    const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 0; i < dots.length; i += 4) if (dots[i + 3] === 255) found.add(dots.slice(i, i + 3).join(", "));
    return [...found].map(dot => `rgb(${dot})`);
  };
  const act = (page) => {
    const keys = [...page.querySelectorAll("#figure-forecast .keys button")];
    if (!keys.length) return {};
    const name = key => key.textContent.split(" ")[0], pressed = Object.fromEntries(
      keys.map(key => [name(key), key.getAttribute("aria-pressed")]));
    const off = keys.find(key => key.getAttribute("aria-pressed") === "false");
    off.click();
    const table = page.querySelector("#leaderboard table"), head = table.tHead.rows[0].cells[2];
    const column = () => [...table.tBodies[0].rows].map(row => +row.cells[2].textContent);
    head.querySelector("button").click();
    const ascending = column();
    head.querySelector("button").click();
    return {pressed, switched: off.getAttribute("aria-pressed"), ascending, descending: column()};
  };
  document.getElementById("found").textContent = JSON.stringify({
    width: page.documentElement.clientWidth,
    needed: page.documentElement.scrollWidth,
    pictures: boxes.map(b => [Math.round(b.width), Math.round(b.height)]),
    tables: page.querySelectorAll("table").length,
    rows: page.querySelectorAll("tbody tr").length,
    ink: getComputedStyle(page.body).color,
    paper: getComputedStyle(page.body).backgroundColor,
    inks: page.querySelector("figure canvas") ? inks(page.querySelector("figure canvas")) : [],
    first: page.querySelector("#figure-forecast .tools label:last-child select")?.value,
    ...act(page),
    hints: page.querySelectorAll(".how").length,
    keys: [...page.querySelectorAll("#figure-forecast .keys button")].map(e => e.textContent),
  });
};
</script>
"""


class Browser:
    """Chromium on one directory; no name resolves, so nothing can be fetched."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def run(self, page: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Load `page` and return what the browser printed."""
        file = self.place / "page.html"
        file.write_text(page, "utf-8")
        profile = self.place / "profile"
        shutil.rmtree(profile, ignore_errors=True)
        command = [str(CHROMIUM), *FLAGS, "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}"]
        return subprocess.run(
            [*command, *arguments, file.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )

    def measure(self, page: str, width: int, *arguments: str) -> dict:  # type: ignore[type-arg]
        """Return sizes and colours of `page` in a frame of `width` pixels."""
        harness = MEASURE % (width, escape(page))
        printed = self.run(harness, "--dump-dom", "--virtual-time-budget=10000", *arguments).stdout
        found = re.search(r'<pre id="found">(.*?)</pre>', printed, re.S)
        assert found is not None, printed[-2000:]
        assert found[1], "the page was not measured in time"
        return dict(json.loads(unescape(found[1])))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def pages(full_store: Warehouse, settings: Settings) -> dict[str, str]:
    return {
        "ticker": ticker_page(full_store, settings, TICKER),
        "panel": panel_page(full_store, settings, {TICKER: f"{TICKER}.html"}),
    }


def console(printed: str) -> list[str]:
    """Return the lines of the page's console, which lists refused requests and errors."""
    return [line for line in printed.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("name", ["ticker", "panel"])
def test_no_error_and_no_request(name: str, browser: Browser, pages: dict[str, str]) -> None:
    log = browser.place / f"{name}.json"
    result = browser.run(pages[name], "--dump-dom", f"--log-net-log={log}")
    assert "</footer>" in result.stdout
    assert console(result.stderr) == []
    asked = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text("utf-8", "replace")))
    own = {url for url in asked if not re.search(r"google|gvt1|chrome|gstatic", url)}
    assert own == set()


def test_the_console_would_tell(browser: Browser, pages: dict[str, str]) -> None:
    spoiled = pages["panel"].replace("</main>", '<img src="https://example.org/x.png"></main>')
    assert any("example.org" in line for line in console(browser.run(spoiled, "--dump-dom").stderr))


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", ["ticker", "panel"])
def test_everything_is_drawn_and_nothing_sticks_out(
    name: str, width: int, browser: Browser, pages: dict[str, str]
) -> None:
    found = browser.measure(pages[name], width)
    assert found["width"] == width
    assert found["needed"] <= width
    assert len(found["pictures"]) == pages[name].count("<figure")
    assert all(300 < wide <= width and high > 80 for wide, high in found["pictures"])
    assert found["hints"] == 0
    assert found["tables"] == pages[name].count("<table>")
    assert found["rows"] > found["tables"]


def test_a_name_switches_its_line_and_a_heading_sorts(browser: Browser, pages: dict[str, str]) -> None:
    found = browser.measure(pages["ticker"], 1000)
    names = [key.split()[0] for key in found["keys"]]
    assert names == ["realised", *MODELS]
    shown = next(name for name in MODELS if name == found["first"])
    other = next(name for name in MODELS if name != shown)
    assert found["pressed"][shown] == "true"
    assert found["pressed"][other] == "false"
    assert found["switched"] == "true"
    assert found["ascending"] == sorted(found["ascending"])
    assert found["descending"] == sorted(found["descending"], reverse=True)
    assert len(set(found["ascending"])) > 1


def test_the_ages_of_the_newest_bar_and_forecast_are_counted_when_the_page_is_read(
    browser: Browser, pages: dict[str, str]
) -> None:
    spans = re.findall(r'data-sessions="[^"]*"', pages["ticker"])
    assert len(spans) == 2
    for passed, shown in [(0, "0 sessions"), (1, "1 session"), (2, "2 sessions"), (5, "5 sessions"), (6, "6 sessions")]:
        days = " ".join([*(f"2020-01-0{day}" for day in range(1, passed + 1)), "2999-01-01"])
        page = re.sub(r'data-sessions="[^"]*"', f'data-sessions="{days}"', pages["ticker"])
        printed = browser.run(page, "--dump-dom").stdout
        found = re.findall(r'<span data-sessions=[^>]*?(?: class="(\w*)")?>([^<]*)</span>', printed)
        kind = "bad" if passed > 5 else "old" if passed > 1 else ""
        assert found == [(kind, f"{shown} old today" + (": too old" if kind == "bad" else ""))] * 2


def test_dark_and_light_follow_the_system(browser: Browser, pages: dict[str, str]) -> None:
    light = browser.measure(pages["ticker"], 1000, "--blink-settings=preferredColorScheme=1")
    dark = browser.measure(pages["ticker"], 1000, "--blink-settings=preferredColorScheme=0")
    assert (light["paper"], dark["paper"]) == ("rgb(255, 255, 255)", "rgb(21, 24, 29)")
    assert light["ink"] in light["inks"]
    assert dark["ink"] in dark["inks"]
    assert light["ink"] not in dark["inks"]


@pytest.mark.parametrize(("scheme", "background"), [(1, (255, 255, 255)), (0, (21, 24, 29))])
def test_screenshot_has_ink_and_colour(
    scheme: int, background: tuple[int, int, int], browser: Browser, pages: dict[str, str]
) -> None:
    from PIL import Image

    file = browser.place / f"shot{scheme}.png"
    settings = (f"--screenshot={file}", "--window-size=1000,5000", f"--blink-settings=preferredColorScheme={scheme}")
    browser.run(pages["ticker"], *settings)
    picture = Image.open(io.BytesIO(file.read_bytes())).convert("RGB")
    assert picture.getpixel((2, 2)) == background
    counts = picture.resize((500, 2500)).getcolors(maxcolors=2_000_000)
    assert len(counts) > 500


def test_it_prints_to_paper(browser: Browser, pages: dict[str, str]) -> None:
    file = browser.place / "page.pdf"
    browser.run(pages["ticker"], f"--print-to-pdf={file}", "--no-pdf-header-footer")
    data = file.read_bytes()
    assert data.startswith(b"%PDF")
    assert 5 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 40
