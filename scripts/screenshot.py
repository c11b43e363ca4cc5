"""Take the README's picture of the explorer: ``python scripts/screenshot.py imagenet-1k docs/images/explorer.png``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from mlimages import load_hierarchy
from mlimages.hierarchy.drawing.explorer import write_explorer

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    """Write the explorer page of a hierarchy to a temporary file and save a screenshot of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hierarchy", help="a name such as imagenet-1k, or a path")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument("--at", default="", help="key of the category to open at (default: the first root)")
    parser.add_argument("--search", default="", help="text to type into the search")
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    parser.add_argument("--size", type=int, nargs=2, default=[1200, 720], metavar=("WIDTH", "HEIGHT"))
    options = parser.parse_args()
    browser_path = shutil.which("chromium") or sys.exit("screenshot: chromium is not installed")
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_path = Path(folder) / "explorer.html"
        write_explorer(load_hierarchy(options.hierarchy), page_path, title=options.hierarchy)
        browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        width, height = options.size
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=options.scheme)
        page.goto(f"{page_path.as_uri()}#{options.at}")
        if options.search:
            page.locator("#query").fill(options.search)
        page.screenshot(path=options.picture)
        browser.close()
    print(f"{options.picture}: {options.picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
