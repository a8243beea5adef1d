"""The studio's page in a browser: what a user sees and does."""

import os
import shutil
from pathlib import Path

import pytest

from fingergen.runtime import load
from fingergen.runtime.minutiae import read_template

from .studio_server import served

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra [dev])")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
TEMPLATE = Path(__file__).parent.parent / "data" / "minutiae" / "sample.fmr"
MOST_MS = 60_000


@pytest.fixture(scope="module")
def browser():
    # As root, as in containers, Chromium starts only without its sandbox; it loads nothing but our page.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as found:
        browser = found.chromium.launch(executable_path=BROWSER, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def port():
    with load() as model, served(model) as port:
        yield port


@pytest.fixture
def page(browser, port: int):
    page = browser.new_page()
    page.set_default_timeout(MOST_MS)
    playwright.expect.set_options(timeout=MOST_MS)
    problems: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"http://127.0.0.1:{port}/")
    yield page
    page.close()
    assert not problems
    assert all(url.startswith((f"http://127.0.0.1:{port}/", "data:", "blob:")) for url in requests)


def shows(page, text: str) -> None:
    playwright.expect(page.locator("#caption")).to_contain_text(text)


def image(page) -> str:
    return page.locator("#view image").first.get_attribute("href")


def test_seeds_and_the_look(page):
    shows(page, "seed 7, impression 0")
    first = image(page)
    assert page.locator("#view .minutia").count() > 20
    page.locator("#trait-moisture").fill("6")
    playwright.expect(page.locator("#view image")).not_to_have_attribute("href", first)
    page.click("#reset")
    playwright.expect(page.locator("#view image")).to_have_attribute("href", first)
    page.uncheck("#show-minutiae")
    assert not page.locator("#view .minutia").first.is_visible()
    page.click("#next")
    shows(page, "seed 8, impression 0")


def test_the_truncation_that_is_shown_is_the_print_s(page):
    slider = page.locator("#truncation")
    playwright.expect(slider).to_have_value("0.85")
    page.select_option("#preset", "medium")
    playwright.expect(slider).to_have_value("1")
    given = image(page)
    slider.fill("0.85")
    playwright.expect(page.locator("#view image")).not_to_have_attribute("href", given)
    page.click("#reset")
    playwright.expect(slider).to_have_value("1")
    playwright.expect(page.locator("#view image")).to_have_attribute("href", given)


def test_a_mated_pair(page):
    page.select_option("#preset", "medium")
    page.click("#tab-pair")
    shows(page, "minutiae in both")
    assert page.locator("#view image").count() == 2
    assert page.locator("#view .mate").count() > 10
    page.fill("#right", "2")
    shows(page, "impression 2")


def test_a_template_is_reconstructed_and_downloaded(page, tmp_path: Path):
    shows(page, "seed 7")
    page.set_input_files("#file", TEMPLATE)
    shows(page, "reconstruction of sample.fmr")
    page.select_option("#to", "iso19794-2-2011")
    with page.expect_download() as started:
        page.click("#save-left")
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    assert path.name == "sample.fmr2011"
    assert len(read_template(path).minutiae) == page.locator("#view .minutia:not(.core):not(.delta)").count()
    page.click("#remove")
    shows(page, "seed 7")


def test_a_dropped_file(page):
    shows(page, "seed 7")
    page.evaluate(
        """data => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(data)], "dropped.fmr"));
            document.querySelector("#drop").dispatchEvent(
                new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
        }""",
        list(TEMPLATE.read_bytes()),
    )
    shows(page, "reconstruction of dropped.fmr")


def test_bad_input_is_a_line_in_the_page(page, tmp_path: Path):
    shows(page, "seed 7")
    page.fill("#seed", "<b>no</b>")
    error = page.locator("#error")
    playwright.expect(error).to_have_text("seed '<b>no</b>': give a whole number from 0 to 2**64 - 1")
    page.fill("#seed", "9")
    shows(page, "seed 9")
    playwright.expect(error).to_be_hidden()
    broken = tmp_path / "broken.fmr"
    broken.write_bytes(TEMPLATE.read_bytes()[:40])
    page.set_input_files("#file", broken)
    playwright.expect(error).to_contain_text("broken.fmr")
    large = tmp_path / "large.fmr"
    large.write_bytes(bytes(1 << 21))
    page.set_input_files("#file", large)
    playwright.expect(error).to_have_text("large.fmr: has more than 1 MiB: give a minutiae template")
