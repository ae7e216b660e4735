"""End-to-end tests of the page in a headless browser."""

import contextlib
import io
import shutil

import numpy as np
import pytest
from page_server import segmenter_with_large_weights, served
from PIL import Image
from tiny import tiny_data

from gss_keras.demo.app import Page

pytestmark = pytest.mark.any_backend
BROWSER = next(
    filter(
        None,
        map(
            shutil.which,
            ["chromium", "chromium-browser", "google-chrome", "chrome"],
        ),
    ),
    None,
)
SWITCHES = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update "
    "--disable-sync"
).split()


@pytest.fixture(scope="module")
def segmenter():
    return segmenter_with_large_weights()


@pytest.fixture(scope="module")
def address(segmenter):
    page = Page(segmenter, max_bytes=2_000_000, max_pixels=10_000)
    with served(page) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright controls the browser"
    )
    if BROWSER is None:
        pytest.skip("Chromium is not installed; on Debian: `chromium`")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=SWITCHES)
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(browser, address, **context):
    """Open the page; check that no script fails and no other site is loaded."""
    errors, urls = [], []
    with browser.new_context(**context) as visitor:
        visitor.set_default_timeout(90_000)
        page = visitor.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: urls.append(request.url))
        page.goto(address)
        page.wait_for_selector(".example")
        yield page
    assert not errors
    assert urls
    own = (address, "data:", "blob:" + address)
    assert [url for url in urls if not url.startswith(own)] == []


@pytest.fixture(scope="module")
def photo():
    return tiny_data(1, 30, 44)[0][0]


@pytest.fixture(scope="module")
def photo_path(photo, tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "street.png"
    Image.fromarray(photo).save(path)
    return path


def upload(page, path):
    page.set_input_files("#first-file", path)
    page.wait_for_selector("#result:not([hidden])")


def download(page, button):
    with page.expect_download() as event:
        page.click(button)
    name = event.value.suggested_filename
    return name, Image.open(io.BytesIO(event.value.path().read_bytes()))


def test_segment_inspect_and_download(
    browser, address, segmenter, photo, photo_path
):
    mask = segmenter.predict(photo)
    with visit(browser, address) as page:
        upload(page, photo_path)
        classes = page.locator("#legend button")
        assert classes.count() == len(np.unique(mask))
        largest = np.bincount(mask.ravel()).argmax()
        assert f"class {largest}" in classes.first.inner_text()

        # Hover over a pixel, read its class, and click on its token.
        box = page.locator("#viewer").bounding_box()
        x, y = 22.5 / 44 * box["width"], 14.5 / 30 * box["height"]
        page.mouse.move(box["x"] + x, box["y"] + y)
        readout = page.locator("#readout").inner_text()
        assert readout.startswith(f"class {mask[14, 22]} ")
        assert readout.endswith("22, 14")
        page.mouse.click(box["x"] + x, box["y"] + y)
        page.wait_for_selector(".patches canvas")
        token = page.locator(".token-head strong").inner_text()
        assert token.removeprefix("Token ") in readout
        assert page.locator("#selected").is_visible()
        assert page.locator("#shade").is_visible()
        page.click(".token-head .link")
        assert not page.locator("#selected").is_visible()

        # Change the resolution.
        page.focus("#scale")
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector(".tried li >> nth=1")
        assert "33 × 22" in page.locator(".tried .current").inner_text()
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(".tried li >> nth=0")

        # Download the mask, as class ids and in colors.
        name, ids = download(page, "#download-ids")
        assert (name, ids.mode) == ("street-ids.png", "L")
        np.testing.assert_array_equal(np.asarray(ids), mask)
        name, colors = download(page, "#download-colors")
        assert (name, colors.mode) == ("street-colors.png", "P")
        np.testing.assert_array_equal(np.asarray(colors), mask)
        palette = np.rint(segmenter.posterior.palette).astype("uint8")
        np.testing.assert_array_equal(
            np.asarray(colors.convert("RGB")), palette[mask]
        )


def test_all_views_palettes_and_opacity(browser, address, photo_path):
    with visit(browser, address) as page:
        upload(page, photo_path)
        screenshots = set()
        for view in ["photo", "tokens", "maskige", "mask", "confidence"]:
            page.click(f"#view-{view}")
            button = page.locator(f"#view-{view}")
            assert button.get_attribute("aria-pressed") == "true"
            screenshots.add(page.locator("#viewer").screenshot())
        assert len(screenshots) == 5

        page.click("#view-mask")
        transparent = page.locator("#viewer").screenshot()
        page.locator("#opacity").fill("100")
        opaque = page.locator("#viewer").screenshot()
        page.click(".palette >> nth=2")
        recolored = page.locator("#viewer").screenshot()
        page.locator("#legend button").first.click()
        one_class = page.locator("#viewer").screenshot()
        assert len({transparent, opaque, recolored, one_class}) == 4


def test_keyboard_navigation(browser, address, photo_path):
    with visit(browser, address) as page:
        upload(page, photo_path)
        page.focus("#viewer")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        assert page.locator("#cursor").is_visible()
        assert page.locator("#readout").inner_text()
        page.keyboard.press("Enter")
        page.wait_for_selector(".patches canvas")
        page.keyboard.press("Escape")
        assert not page.locator("#selected").is_visible()


def test_bad_files_show_an_error_and_keep_the_last_result(
    browser, address, photo_path
):
    bad = [
        ("notes.txt", b"no photo", "JPEG, PNG"),
        ("empty.png", b"", "empty"),
        ("truncated.png", photo_path.read_bytes()[:-50], "incomplete"),
        ("large.png", bytes(3_000_000), "at most 1.91"),
    ]
    with visit(browser, address) as page:
        for has_result in (False, True):
            for name, content, message in bad:
                file = {"name": name, "mimeType": "", "buffer": content}
                page.set_input_files("#file", file)
                page.wait_for_selector(f"#message:has-text('{message}')")
                assert page.locator("#busy").is_hidden()
                page.click("#dismiss")
            if not has_result:
                upload(page, photo_path)
        assert page.locator("#legend button").count() > 0


def test_a_mask_has_the_original_size_of_a_large_photo(
    browser, address, segmenter, tmp_path
):
    path = tmp_path / "large.jpg"
    Image.new("RGB", (1000, 750), (90, 120, 60)).save(path)
    with visit(browser, address) as page:
        upload(page, path)
        _, ids = download(page, "#download-ids")
        assert ids.size == (1000, 750)
        assert np.asarray(ids).max() < segmenter.num_classes


def test_cards_stay_below_the_image_beside_a_long_sidebar(
    browser, address, photo_path
):
    size = {"width": 1360, "height": 900}
    with visit(browser, address, viewport=size) as page:
        upload(page, photo_path)
        page.evaluate(
            "document.querySelector('aside').style.minHeight = '4000px'"
        )
        stage, more, aside = (
            page.locator(name).bounding_box()
            for name in ("#stage", "#more", "aside")
        )
        assert aside["height"] >= 4000
        assert aside["x"] > more["x"] + more["width"]
        assert 0 < more["y"] - (stage["y"] + stage["height"]) <= 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_mobile_layout(browser, address, scheme):
    size = {"width": 360, "height": 740}
    with visit(
        browser, address, viewport=size, has_touch=True, color_scheme=scheme
    ) as page:
        for step in range(2):
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width == size["width"]
            if step == 0:
                page.tap(".example")
                page.wait_for_selector("#result:not([hidden])")
        page.tap("#viewer")
        page.wait_for_selector(".patches canvas")
        background = page.evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        brightness = int(background.removeprefix("rgb(").split(",")[0])
        assert (brightness > 128) == (scheme == "light")
