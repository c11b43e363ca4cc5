"""The HTML explorer, in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from mlimages import Hierarchy
from mlimages.errors import MlimagesError
from mlimages.hierarchy.drawing.explorer import explorer, write_explorer

QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
IMAGES = [5, 2, 9, 7, 3, 4, 3, 1, 1, 9]  # images of each category of the zoo
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")  # not longer: while it runs, this thread has an event loop
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no browser is installed (chromium): the explorer is not tested")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[OpenPage]:
    """Open the explorer of a hierarchy; in the end no page may have met an error or asked for anything."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    trouble: list[str] = []
    requests: list[str] = []
    opened: list[str] = []

    def open_one(hierarchy: Hierarchy, address: str = "", **options) -> Page:
        path = tmp_path / f"explorer{len(opened)}.html"
        write_explorer(hierarchy, path, **options)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri() + address)
        opened.append(path.as_uri())
        return page

    yield open_one
    context.close()
    assert trouble == []
    assert {url.partition("#")[0] for url in requests} == set(opened)  # the files themselves, nothing else


def rows(page: Page) -> list[str]:
    """The rows of the tree, each indented by its level."""
    return page.locator("[role=treeitem]").evaluate_all(
        "rows => rows.map(r => ' '.repeat(r.ariaLevel - 1) + r.querySelector('.name').textContent)"
    )


def selected(page: Page) -> str:
    """Name of the selected category, which must be the one in the details and the only tab stop."""
    names = page.locator("[role=treeitem][aria-selected=true] .name").all_text_contents()
    assert page.locator("[role=treeitem][tabindex='0'] .name").all_text_contents() == names
    assert page.locator("#details h2").all_text_contents() == names
    return names[0]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def facts(page: Page) -> dict[str, str]:
    terms = page.locator("#details dt").all_text_contents()
    return dict(zip(terms, page.locator("#details dd").all_text_contents(), strict=True))


# Opening -----------------------------------------------------------------------------------------------------------


def test_published_hierarchy_opens_in_under_two_seconds(ml_images: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(ml_images)
    # milliseconds from the start of the navigation until the frame after the one that has the rows
    painted = page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(page.locator("#summary")).to_have_text("11,166 categories · 9,219 leaves · 4 roots")
    assert rows(page)[:3] == ["thing", " body part", " body of water"]
    assert painted < 2000


def test_only_the_rows_in_view_are_in_the_document(open_page: OpenPage) -> None:
    n = 21_841
    page = open_page(Hierarchy(["root", *(f"k{i}" for i in range(1, n))], [[], *([[0]] * (n - 1))]), "#root")
    press(page, "Tab", "Tab", "Tab", "ArrowRight")
    press(page, "End")
    assert selected(page) == "k21840"
    expect(page.locator("[role=treeitem][aria-selected=true]")).to_be_in_viewport()
    assert page.locator("[role=treeitem]").count() < 100
    last = page.locator("[role=treeitem]").last
    assert (last.get_attribute("aria-posinset"), last.get_attribute("aria-setsize")) == ("21840", "21840")
    spent = page.evaluate(
        """async () => {
            const began = performance.now(), key = (name) => new KeyboardEvent("keydown", {key: name, bubbles: true});
            for (const name of ["Home", "ArrowDown", "PageDown", "End", "ArrowLeft"])
                document.activeElement.dispatchEvent(key(name));
            await new Promise(requestAnimationFrame);
            return performance.now() - began;
        }"""
    )
    assert selected(page) == "root"
    assert spent < 2000  # five moves; some 50 ms on an idle machine


def test_selected_row_keeps_the_focus_while_it_is_scrolled_out_of_view(open_page: OpenPage) -> None:
    page = open_page(Hierarchy([f"k{i}" for i in range(5000)], [[]] * 5000), "#k7")
    press(page, "Tab", "Tab", "Tab")
    for top, shown in ((90_000, "k3000"), (0, "k0")):
        page.locator("#tree").evaluate("(tree, top) => { tree.scrollTop = top; }", top)
        expect(page.get_by_role("treeitem", name=shown, exact=True)).to_be_in_viewport()
        assert page.evaluate("document.activeElement.querySelector('.name').textContent") == "k7"
        assert page.locator("[role=treeitem]").count() < 100
    page.locator("#tree").evaluate("tree => { tree.scrollTop = 90000; }")
    press(page, "ArrowDown")
    assert selected(page) == "k8"
    expect(page.locator("[role=treeitem][aria-selected=true]")).to_be_in_viewport()


def test_flat_vocabulary_without_a_tree_opens(open_page: OpenPage) -> None:
    page = open_page(Hierarchy([f"k{i}" for i in range(21_000)], [[]] * 21_000))
    assert 10 < page.locator("[role=treeitem]").count() < 100
    assert selected(page) == "k0"


def test_empty_hierarchy_says_so(open_page: OpenPage) -> None:
    page = open_page(Hierarchy([], []))
    assert page.locator("#details").text_content() == "This hierarchy has no categories."


# Moving ------------------------------------------------------------------------------------------------------------


def test_tree_opens_and_closes_by_keyboard(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo)
    whole = ["Stuff", " Water", "Thing", " Animal", "  Dog", "   Puppy", "  Pet", "   Dog", "    Puppy", "   Cat",
             " Plant", "  Rose"]  # fmt: skip
    assert rows(page) == whole  # so small that all of it is open
    press(page, "Tab", "Tab", "Tab")  # the search, the order, the tree
    assert page.evaluate("document.activeElement.role") == "treeitem"
    press(page, "ArrowLeft")
    assert rows(page) == ["Stuff", *whole[2:]]
    press(page, "ArrowDown", "ArrowRight")  # already open: to its first child
    assert selected(page) == "Animal"
    press(page, "Enter")
    assert rows(page) == ["Stuff", "Thing", " Animal", " Plant", "  Rose"]
    assert page.locator("[role=treeitem][aria-selected=true]").get_attribute("aria-expanded") == "false"
    press(page, "End")
    assert selected(page) == "Rose"
    press(page, "ArrowLeft", "ArrowLeft", "*")  # to the parent, close it, open all siblings
    assert selected(page) == "Plant"
    assert rows(page) == ["Stuff", *whole[2:]]
    press(page, "Home")
    assert selected(page) == "Stuff"
    press(page, "p", "u")  # type ahead
    assert selected(page) == "Puppy"
    press(page, "Space")  # a leaf has nothing to open
    assert rows(page) == ["Stuff", *whole[2:]]


def test_tree_opens_and_closes_by_click(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo)
    page.locator("[role=treeitem]", has_text="Pet").locator(".twist").click()
    assert rows(page)[-3:] == ["  Pet", " Plant", "  Rose"]
    assert selected(page) == "Pet"
    page.locator("[role=treeitem]", has_text="Pet").dblclick()
    assert rows(page)[-4:] == ["    Puppy", "   Cat", " Plant", "  Rose"]
    page.get_by_role("treeitem", name="Cat").click()
    assert selected(page) == "Cat"
    page.locator("[role=treeitem]", has_text="Animal").locator(".twist").click()
    press(page, "ArrowDown")  # the keyboard goes on where the mouse was
    assert selected(page) == "Plant"


def test_closing_above_the_selected_category_selects_the_closed_one(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo, "#puppy")
    assert selected(page) == "Puppy"
    page.get_by_role("treeitem", name="Thing").locator(".twist").click()
    assert selected(page) == "Thing"
    assert rows(page) == ["Stuff", " Water", "Thing"]


def test_order_sorts_siblings_by_name_or_size(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo, "#cat", counts=IMAGES)
    page.select_option("#order", "size")
    assert rows(page)[:5] == ["Thing", " Animal", "  Pet", "   Dog", "    Puppy"]
    page.select_option("#order", "name")
    assert rows(page)[-6:] == ["  Pet", "   Cat", "   Dog", "    Puppy", " Plant", "  Rose"]
    assert selected(page) == "Cat"


# Searching ---------------------------------------------------------------------------------------------------------


def test_search_ranks_exact_then_prefix_then_word_then_substring(open_page: OpenPage) -> None:
    names = [["underdog"], ["hot dog"], ["dogwood"], ["firedog", "Dog"], ["cat"]]
    page = open_page(Hierarchy(["a1", "a2", "a3", "a4", "dog5"], [[]] * 5, names))
    press(page, "/")
    page.keyboard.type("DOG")
    options = page.locator("[role=option] .name")
    assert options.all_text_contents() == ["firedog, Dog", "dogwood", "cat", "hot dog", "underdog"]
    assert page.locator("#matches").text_content() == "5 matches"
    assert page.locator("[role=option] mark").all_text_contents() == ["dog", "Dog", "dog", "dog", "dog", "dog"]
    page.locator("#query").fill("unicorn")
    assert page.locator("#matches").text_content() == "No category matches."


def test_search_and_enter_selects_in_the_published_hierarchy(ml_images: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(ml_images)
    press(page, "/")
    page.keyboard.type("dog")
    query = page.locator("#query")
    assert query.get_attribute("aria-expanded") == "true"
    assert query.get_attribute("aria-activedescendant") == "option-0"
    press(page, "ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp", "Enter")
    assert selected(page) == "dog"
    assert page.evaluate("document.activeElement.querySelector('.name').textContent") == "dog"
    assert page.locator("#details code").text_content() == "n02084071"
    assert facts(page) == {"Index": "6,912", "Depth": "11", "Children": "18", "Descendants": "165"}
    assert page.locator("#found").is_hidden()
    press(page, "/")
    page.keyboard.type("n02099601")
    press(page, "Enter")
    assert selected(page) == "golden retriever"


def test_search_closes_on_escape_and_gives_the_focus_back(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo)
    press(page, "/", "d")
    expect(page.locator("#found")).to_be_visible()
    press(page, "Escape")
    expect(page.locator("#found")).to_be_hidden()
    press(page, "Escape", "Escape")
    assert page.evaluate("document.activeElement.role") == "treeitem"
    assert page.locator("#query").input_value() == ""


def test_search_result_is_selected_by_click(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo)
    page.locator("#query").fill("ros")
    page.locator("[role=option]").click()
    assert selected(page) == "Rose"


# Details -----------------------------------------------------------------------------------------------------------


def test_all_paths_of_a_dag_are_shown_and_lead_up(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo, "#puppy")
    paths = [path.split("|") for path in page.locator("nav ol").evaluate_all(
        "lists => lists.map(list => [...list.children].map(item => item.textContent).join('|'))")]  # fmt: skip
    assert paths == [["Thing", "Animal", "Dog", "Puppy"], ["Thing", "Animal", "Pet", "Dog", "Puppy"]]
    assert page.locator("h3").first.text_content() == "2 paths from a root"
    assert facts(page)["Depth"] == "3 to 4"
    page.locator("nav ol").nth(1).get_by_text("Dog").click()
    row = page.locator("[role=treeitem][aria-selected=true]")
    assert (row.locator(".name").text_content(), row.get_attribute("aria-level")) == ("Dog", "4")  # that below Pet
    assert page.locator("#details ul").first.locator("a").all_text_contents() == ["Animal", "Pet"]  # its parents
    page.locator("#details ul").nth(1).get_by_text("Puppy").click()
    assert selected(page) == "Puppy"
    assert row.get_attribute("aria-level") == "5"


def test_paths_are_bounded_where_a_dag_has_very_many(open_page: OpenPage) -> None:
    keys, parents = ["top"], [[]]
    for step in range(40):
        above = len(keys) - 1
        keys += [f"left{step}", f"right{step}", f"end{step}"]
        parents += [[above], [above], [above + 1, above + 2]]
    page = open_page(Hierarchy(keys, parents), "#end39")
    assert page.locator("h3").first.text_content() == "1,099,511,627,776 paths from a root"  # 2 ** 40
    assert page.locator("nav ol").count() == 12
    assert page.locator("#details .muted").text_content() == "The first 12 are shown."


def test_children_of_a_wide_category_come_in_portions(open_page: OpenPage) -> None:
    page = open_page(Hierarchy(["root", *(f"k{i}" for i in range(450))], [[], *([[0]] * 450)]), "#root")
    assert page.locator("#details li a").count() == 201  # and the root's own path
    page.get_by_role("button", name="Show 200 more of 250").click()
    page.get_by_role("button", name="Show 50 more of 50").click()
    assert page.locator("#details li a").count() == 451
    assert page.get_by_role("button").count() == 0


def test_counts_are_shown_for_category_and_subtree(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo, "#pet", counts=[0, *IMAGES[1:]])
    shown = dict(zip(
        page.locator("[role=treeitem] .name").all_text_contents(),
        page.locator("[role=treeitem] .size").all_text_contents(), strict=True))  # fmt: skip
    assert shown["Pet"] == "7"
    assert page.locator("#unit").text_content() == "images"
    assert page.get_by_role("treeitem", name="Pet, 7 images").count() == 1
    assert facts(page)["Images"] == "7 77.8% of Animal"
    assert facts(page)["Subtree: labels"] == "13 on it and below"  # pet 7, cat 4, puppy 2, dog 0
    assert facts(page)["Subtree: in use"] == "3 of 4 categories"
    assert page.locator("#details ul").nth(1).locator("li").all_text_contents() == ["Dog 0", "Cat 4"]


def test_descendants_are_shown_without_counts(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo, "#animal")
    assert page.locator("#unit").text_content() == "descendants"
    assert page.get_by_role("treeitem", name="Animal, 4 descendants").count() == 1
    assert "Images" not in facts(page)


# Address -----------------------------------------------------------------------------------------------------------


def test_rules_are_shown_with_their_shares_and_lead_to_the_other_category(zoo: Hierarchy, open_page: OpenPage) -> None:
    rules = {"source": ["rose", "rose", "cat"], "target": ["water", "cat", "water"], "p": [0.6, 0.9, 0.75]}
    page = open_page(zoo, "#rose", counts=IMAGES, rules=rules)
    panel = page.get_by_role("region", name="Also on its images")
    assert panel.locator("h3 .size").text_content() == "2"
    assert panel.locator("li").all_text_contents() == ["Cat 90%", "Water 60%"]
    expect(page.get_by_role("region", name="On the images of")).to_have_count(0)
    panel.get_by_role("link", name="Water").click()
    assert selected(page) == "Water"
    panel = page.get_by_role("region", name="On the images of")
    assert panel.locator("li").all_text_contents() == ["Cat 75%", "Rose 60%"]
    expect(page.get_by_role("region", name="Also on its images")).to_have_count(0)
    page = open_page(zoo, "#rose")
    expect(page.locator("#details .rules")).to_have_count(0)


def test_rules_that_do_not_fit_are_an_error(zoo: Hierarchy) -> None:
    with pytest.raises(MlimagesError, match="unknown category 'rain'"):
        explorer(zoo, rules={"source": ["rose"], "target": ["rain"], "p": [1.0]})


def test_deep_link_opens_at_a_category_and_back_returns(ml_images: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(ml_images, "#n02084071")
    assert selected(page) == "dog"
    row = page.locator("[role=treeitem][aria-selected=true]")
    expect(row).to_be_in_viewport()
    assert row.get_attribute("aria-level") == "12"
    page.locator("nav").get_by_text("carnivore").click()
    assert selected(page) == "carnivore"
    assert page.url.endswith("#n02075296")
    page.go_back()
    expect(page.locator("#details h2")).to_have_text("dog")
    assert selected(page) == "dog"


def test_address_follows_the_selection(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo, "#pet")
    page.get_by_role("treeitem", name="Pet").click()
    press(page, "ArrowUp")
    page.wait_for_url("**#puppy")


@pytest.mark.parametrize("key", ["/m/0bt9lr", "100% wool", 'a"b<c>&d', "ключ"])
def test_deep_link_holds_any_key(open_page: OpenPage, key: str) -> None:
    page = open_page(Hierarchy(["top", key], [[], [0]]), "#top")
    page.locator("#details ul a").click()
    assert selected(page) == key
    page.reload()
    assert selected(page) == key


def test_deep_link_to_an_unknown_key_says_so(zoo: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(zoo, "#unicorn%")
    assert page.locator("#details").text_content() == "Not foundNo category has the key unicorn%."
    page.get_by_role("treeitem", name="Cat").click()
    assert selected(page) == "Cat"


# Safety and looks --------------------------------------------------------------------------------------------------


def test_names_that_look_like_markup_stay_text(open_page: OpenPage) -> None:
    evil = "</script><script>document.title = 'owned'</script><!--<script>"
    image = "<img src=x onerror=alert(1)>\u2028{{data}}"
    page = open_page(Hierarchy(["a", "b<i>"], [[], [0]], [[evil], [image, evil]]), title=f"{{{{data}}}} {evil}")
    assert page.title() == f"{{{{data}}}} {evil}"
    assert page.locator("h1").text_content() == f"{{{{data}}}} {evil}"
    assert page.locator("[role=treeitem] .name").all_text_contents() == [evil, image]
    assert page.locator("h2").text_content() == evil
    page.locator("#query").fill("<")
    assert page.locator("[role=option]").count() == 2
    assert page.locator("script").count() == 2
    assert page.locator("img, i").count() == 0


def test_injected_script_would_not_run(browser: Browser, tmp_path: Path, zoo: Hierarchy) -> None:
    page_text = explorer(zoo).replace("</body>", "<script>document.title = 'owned'</script></body>")
    (tmp_path / "injected.html").write_text(page_text, encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "injected.html").as_uri())
    assert page.locator("[role=treeitem]").count() == 12  # the page's own script ran
    assert page.title() == "Category hierarchy"
    page.close()


# WCAG 2.1: relative luminance, and the contrast of an element's text with the first opaque background behind it
CONTRAST = """elements => Math.min(...elements.map((element) => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => channels(color).slice(0, 3).map((c) => c / 255)
        .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    let behind = element;
    const clear = (node) => (channels(getComputedStyle(node).backgroundColor)[3] ?? 1) === 0;
    while (clear(behind)) behind = behind.parentElement;
    const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(zoo: Hierarchy, open_page: OpenPage, scheme: str) -> None:
    page = open_page(zoo, "#cat", counts=IMAGES)
    page.emulate_media(color_scheme=scheme)
    page.locator("#query").fill("a")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(246, 247, 249)", "dark": "rgb(14, 18, 23)"}[scheme]
    texts = ("h1", "#summary", "#query", "#unit", "footer span", "kbd", ".order", "select", "#matches", "mark",
                 "[aria-selected=true] .name", "[aria-selected=true] .also", "[aria-selected=true] .size",
                 "[aria-selected=false] .name", "[aria-selected=false] .also", "[aria-selected=false] .size",
                 "[role=option][aria-selected=true] .where", "[role=option][aria-selected=false] .where",
                 "h2", "dt", "dd", "dd small", "nav a", "nav [aria-current]", ".links a", ".links .size")  # fmt: skip
    lowest = {text: page.locator(text).evaluate_all(CONTRAST) for text in texts}
    assert {text: ratio for text, ratio in lowest.items() if not 4.5 <= ratio <= 21} == {}  # WCAG level AA


def test_narrow_screen_has_no_sideways_scrolling(ml_images: Hierarchy, open_page: OpenPage) -> None:
    page = open_page(ml_images, "#n02084071", counts=[1] * len(ml_images), title="A rather long title " * 5)
    for width in (320, 480, 760, 1000):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("#details").evaluate("e => e.scrollWidth - e.clientWidth") == 0
        size = page.locator("[role=treeitem][aria-selected=true] .size").bounding_box()
        assert size is not None
        assert size["x"] + size["width"] <= width


def test_deep_levels_stay_indented_and_on_a_narrow_screen(open_page: OpenPage) -> None:
    page = open_page(Hierarchy([f"k{i}" for i in range(30)], [[], *([i] for i in range(29))]), "#k29")
    page.set_viewport_size({"width": 360, "height": 2000})
    expect(page.locator("[role=treeitem]")).to_have_count(30)
    starts = page.locator("[role=treeitem] .name").evaluate_all("all => all.map(e => e.getBoundingClientRect().left)")
    assert all(below - above >= 5 for above, below in pairwise(starts))
    assert starts[-1] < 360 * 0.65


# The file ----------------------------------------------------------------------------------------------------------


def test_page_is_self_contained_and_deterministic(zoo: Hierarchy, tmp_path: Path) -> None:
    page = explorer(zoo, counts=IMAGES, title="Zoo")
    assert page == explorer(zoo, counts=IMAGES, title="Zoo")
    assert re.findall(r"""(?:src|href)=(?!"data:,")[^"'\s>]*|url\([^)]*\)|https?:""", page) == []
    write_explorer(zoo, tmp_path / "zoo.html", counts=IMAGES, title="Zoo")
    assert (tmp_path / "zoo.html").read_bytes() == page.encode()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is not None
    data = json.loads(found[1])
    assert list(data) == ["keys", "names", "parents", "descendants", "counts"]
    assert data["parents"][0] == [2, 3]
    assert data["descendants"] == [1, 0, 4, 3, 1, 0, 0, 1, 0, 7]
    assert "counts" not in explorer(zoo).split('id="data">')[1].split("</script>")[0]


def test_counts_that_do_not_fit_are_an_error(zoo: Hierarchy, tmp_path: Path) -> None:
    with pytest.raises(MlimagesError, match=r"counts have the shape \(3,\): expected \(10,\)"):
        write_explorer(zoo, tmp_path / "zoo.html", counts=[1, 2, 3])
    assert not (tmp_path / "zoo.html").exists()
