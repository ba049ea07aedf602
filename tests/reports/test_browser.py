"""The page in a real browser: nothing wider than the window, nothing in the console, light and dark alike."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from inhouse.reports.decision import render_html
from reports.sample import SAMPLES

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")

_PROBE = """<script>
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(one => one.open = true);
  const wide = [...document.body.querySelectorAll("*")].filter(one => {
    const box = one.getBoundingClientRect();
    return box.right > innerWidth + 1 && box.width > 1 && !one.closest(".scroll");
  });
  const texts = [...document.querySelectorAll("svg text")].filter(one => {
    const box = one.getBoundingClientRect(), home = one.closest("svg").getBoundingClientRect();
    return box.width && (box.left < home.left - 1 || box.right > home.right + 1);
  });
  const overlaps = [...document.querySelectorAll("svg.ticks")].filter(svg => {
    const boxes = [...svg.querySelectorAll("text")].map(one => one.getBoundingClientRect())
      .filter(box => box.width);
    return boxes.some((box, at) => at && box.left < boxes[at - 1].right + 2);
  });
  parent.postMessage(JSON.stringify({
    inner: innerWidth, scroll: document.documentElement.scrollWidth,
    wide: wide.map(one => one.outerHTML.slice(0, 120)),
    texts: texts.map(one => one.textContent), overlaps: overlaps.map(one => one.textContent),
  }), "*");
});
</script>"""
_FRAMES = """<!doctype html><body>FRAMES<pre id="result">[]</pre><script>
addEventListener("message", event => {
  const result = document.getElementById("result");
  result.textContent = JSON.stringify([...JSON.parse(result.textContent), JSON.parse(event.data)]);
});
</script>"""
_WIDTHS = (390, 760, 1280)


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_overflows_and_the_console_stays_empty(name: str, tmp_path: Path) -> None:
    """As wide as a phone, a tablet and a desk, with every fold-out open; only a table in its own box may scroll."""
    page = render_html(SAMPLES[name]())
    (tmp_path / "page.html").write_text(page.replace("</body>", f"{_PROBE}</body>"))
    style = "border:0;height:2000px;width"
    frames = [f'<iframe src="page.html" style="{style}:{width}px"></iframe>' for width in _WIDTHS]
    (tmp_path / "frames.html").write_text(_FRAMES.replace("FRAMES", "".join(frames)))

    seen, errors = browse(tmp_path / "frames.html")

    assert sorted(seen, key=lambda one: one["inner"]) == [
        {"inner": width, "scroll": width, "wide": [], "texts": [], "overlaps": []} for width in _WIDTHS
    ]
    assert errors == []


def browse(page: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What the probe saw, and what the console said."""
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    done = subprocess.run(
        [
            CHROMIUM,
            *flags,
            profile,
            "--window-size=1400,2100",
            "--virtual-time-budget=5000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    text = found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(text), [line for line in done.stderr.splitlines() if "CONSOLE" in line]
