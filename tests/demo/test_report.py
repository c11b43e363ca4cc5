"""The whole demo at a small size, and its page in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from mlimages import AnnotationTable
from mlimages.demo.results import Results
from mlimages.demo.training import MEASURES

QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip


def test_tables_hold_what_the_steps_say(demo_results: Results, demo_folder: Path) -> None:
    tables = {name: AnnotationTable.open(demo_folder / "tables" / name) for name in ("single", "regenerated", "truth")}
    assert {name: len(table) for name, table in tables.items()} == dict.fromkeys(tables, 240)
    labels = {title: counted.labels for title, counted in demo_results.statistics.items()}
    assert list(labels) == ["published labels", "with ancestors", "with ancestors and rules", "truth"]
    assert labels["published labels"] == 240
    chosen = demo_results.chosen
    assert chosen is not None
    assert labels["with ancestors and rules"] == labels["with ancestors"] + chosen.added
    assert labels["truth"] == labels["with ancestors"] + chosen.missing


def test_rules_are_mostly_those_that_were_planted(demo_results: Results) -> None:
    rules = demo_results.rules
    assert rules is not None
    planted = {each.key for each in demo_results.world.collection.companions if each.probability > 0.5}
    assert len(rules) > 0
    assert rules["target"].isin(planted).mean() > 0.5


def test_judgements_grow_stricter_with_the_threshold(demo_results: Results) -> None:
    for threshold in {each.teacher_threshold for each in demo_results.judgements}:
        counts = [each.rules for each in demo_results.judgements if each.teacher_threshold == threshold]
        assert counts == sorted(counts, reverse=True)


def test_trainings_on_every_kind_of_labels_are_measured(demo_results: Results) -> None:
    assert [run.labels for run in demo_results.runs] == [
        "single labels",
        "with ancestors",
        "regenerated labels",
        "complete labels",
    ]
    for run in demo_results.runs:
        assert set(run.scores) == set(MEASURES)
        assert all(0 <= score <= 1 for score in run.scores.values())


def test_page_shows_everything_and_asks_for_nothing(demo_results: Results, demo_folder: Path) -> None:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no browser is installed (chromium): the demo's page is not tested")
    page_path = demo_folder / "index.html"
    trouble: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_path.as_uri())
        headings = page.locator("h2").all_text_contents()
        figures = page.locator("#pictures ~ .grid").first.locator("img")
        widths = figures.evaluate_all("images => images.map(image => image.naturalWidth)")
        explained = page.locator(".explained").count()
        charts = page.locator("svg polyline").count()
        tree = page.frame_locator("iframe").locator("[role=treeitem]")
        expect(tree.first).to_contain_text("entity")
        page.frame_locator("iframe").locator("#query").fill("balloon")
        expect(page.frame_locator("iframe").locator("#results")).to_contain_text("balloon")
        page.set_viewport_size({"width": 400, "height": 800})
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()
    assert headings == ["The pictures", "The labels", "The teacher", "The rules", "Three pictures explained",
                        "Does it help?", "The hierarchy", "How long it took"]  # fmt: skip
    assert widths == [144] * 24
    assert (explained, charts) == (3, 12)
    assert overflow <= 0
    assert trouble == []
    assert {url for url in requests if not url.startswith(("data:", "about:"))} == {page_path.as_uri()}
