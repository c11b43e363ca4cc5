"""The whole demo at a small size, and its page in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from mlimages import AnnotationTable
from mlimages.annotate import Origin
from mlimages.demo.learning.measures import MEASURES
from mlimages.demo.learning.smallnetwork import SIDE
from mlimages.demo.report.results import Results
from mlimages.demo.run import RIGHT, UNREACHED, WRONG
from mlimages.models import read_card

QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip


def test_tables_hold_what_the_steps_say(demo_results: Results, demo_folder: Path) -> None:
    tables = {name: AnnotationTable.open(demo_folder / "tables" / name) for name in ("single", "regenerated", "truth")}
    assert {name: len(table) for name, table in tables.items()} == dict.fromkeys(tables, 192)
    labels = {title: counted.labels for title, counted in demo_results.statistics.items()}
    assert list(labels) == ["published labels", "with ancestors", "with ancestors and rules", "truth"]
    assert labels["published labels"] == 192
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
    single, ancestors, regenerated, complete = (
        "single labels",
        "with ancestors",
        "regenerated labels",
        "complete labels",
    )
    assert [run.labels for run in demo_results.runs] == [single, regenerated]
    assert [run.labels for run in demo_results.layers] == [single, ancestors, regenerated, complete]
    for run in [*demo_results.runs, *demo_results.layers]:
        assert set(run.scores) == set(MEASURES)
        assert all(0 <= score <= 1 for score in run.scores.values())
        assert run.curve[-1][1] < run.curve[0][1]  # it learned
    assert all(run.scores["map_objects"] > 0.5 for run in demo_results.layers)  # chance is below 0.2


def test_networks_were_trained_by_our_trainer_from_the_tables(demo_results: Results, demo_folder: Path) -> None:
    for kind in ("single", "regenerated"):
        run = demo_folder / "network" / f"{kind}-0"
        card = read_card(run / "model.safetensors")
        assert card.categories == demo_results.world.hierarchy.keys
        assert card.preprocessing.size == SIDE
        assert (run / "log.csv").read_text().startswith("step,epoch,images,broken,loss,")


def test_pictures_explained_are_one_of_each_kind(demo_results: Results) -> None:
    assert [kind for kind, _, _ in demo_results.explanations] == [RIGHT, WRONG, UNREACHED]
    reached = [
        any(row.origin == Origin.COOCCURRENCE for row in explanation.rows)
        for _, _, explanation in demo_results.explanations
    ]
    assert reached == [True, True, False]


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
        widths = page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
        explained = page.locator(".explained").count()
        charts = page.locator("svg polyline").count()
        tree = page.frame_locator("iframe").locator("[role=treeitem]")
        expect(tree.first).to_contain_text("entity")
        page.frame_locator("iframe").locator("#query").fill("balloon")
        expect(page.frame_locator("iframe").locator("#results")).to_contain_text("balloon")
        colors = [_paper_and_ink(page, scheme) for scheme in ("light", "dark")]
        page.set_viewport_size({"width": 400, "height": 800})
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()
    assert headings == ["The pictures", "The labels", "The teacher", "The rules", "Three pictures explained",
                        "Does it help?", "The hierarchy", "How long it took"]  # fmt: skip
    assert widths == [144] * (24 + 3)
    assert (explained, charts) == (3, 10)
    assert overflow <= 0
    (light_paper, light_ink), (dark_paper, dark_ink) = colors
    assert light_paper > 200 > 100 > light_ink
    assert dark_ink > 200 > 100 > dark_paper
    assert trouble == []
    assert {url for url in requests if not url.startswith(("data:", "about:"))} == {page_path.as_uri()}


def _paper_and_ink(page: Page, scheme: Literal["light", "dark"]) -> tuple[int, int]:
    """The red of the background and of the text, 0 to 255, in a color scheme."""
    page.emulate_media(color_scheme=scheme)
    style = "getComputedStyle(document.body)"
    return tuple(page.evaluate(f"parseInt({style}.{name}.match(/[0-9]+/)[0])") for name in ("backgroundColor", "color"))
