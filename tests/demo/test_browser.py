"""What a person does on the page, in a real browser without a window."""

import contextlib
import io
import shutil

import numpy as np
import pytest
from page_server import lively_segmenter, served
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
    return lively_segmenter()


@pytest.fixture(scope="module")
def address(segmenter):
    page = Page(segmenter, max_bytes=2_000_000, max_pixels=10_000)
    with served(page) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright drives the browser"
    )
    if BROWSER is None:
        pytest.skip("no Chromium here; Debian has it as `chromium`")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=SWITCHES)
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(browser, address, **context):
    """Open the page; nothing may fail or be loaded from elsewhere."""
    failures, addresses = [], []
    with browser.new_context(**context) as visitor:
        visitor.set_default_timeout(90_000)
        page = visitor.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(address)
        page.wait_for_selector(".example")
        yield page
    assert not failures
    assert addresses
    own = (address, "data:", "blob:" + address)
    assert [a for a in addresses if not a.startswith(own)] == []


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
    with page.expect_download() as found:
        page.click(button)
    name = found.value.suggested_filename
    return name, Image.open(io.BytesIO(found.value.path().read_bytes()))


def test_a_person_segments_a_photo(
    browser, address, segmenter, photo, photo_path
):
    mask = segmenter.predict(photo)
    with visit(browser, address) as page:
        upload(page, photo_path)
        classes = page.locator("#legend button")
        assert classes.count() == len(np.unique(mask))
        largest = np.bincount(mask.ravel()).argmax()
        assert f"class {largest}" in classes.first.inner_text()

        # Point at a pixel, read what it is, and click its token.
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
        assert page.locator("#picked").is_visible()
        assert page.locator("#shade").is_visible()
        page.click(".token-head .link")
        assert not page.locator("#picked").is_visible()

        # Shrink it.
        page.focus("#scale")
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector(".tried li >> nth=1")
        assert "33 × 22" in page.locator(".tried .current").inner_text()
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(".tried li >> nth=0")

        # Take the mask along, as ids and in colors.
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


def test_a_person_looks_at_every_step(browser, address, photo_path):
    with visit(browser, address) as page:
        upload(page, photo_path)
        pictures = set()
        for view in ["photo", "tokens", "maskige", "mask", "confidence"]:
            page.click(f"#view-{view}")
            button = page.locator(f"#view-{view}")
            assert button.get_attribute("aria-pressed") == "true"
            pictures.add(page.locator("#viewer").screenshot())
        assert len(pictures) == 5

        page.click("#view-mask")
        seen = page.locator("#viewer").screenshot()
        page.locator("#opacity").fill("100")
        opaque = page.locator("#viewer").screenshot()
        page.click(".palette >> nth=2")
        repainted = page.locator("#viewer").screenshot()
        page.locator("#legend button").first.click()
        alone = page.locator("#viewer").screenshot()
        assert len({seen, opaque, repainted, alone}) == 4


def test_a_person_without_a_mouse_picks_a_token(browser, address, photo_path):
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
        assert not page.locator("#picked").is_visible()


def test_bad_files_are_explained_and_the_last_result_stays(
    browser, address, photo_path
):
    bad = [
        ("notes.txt", b"no photo", "JPEG, PNG"),
        ("empty.png", b"", "empty"),
        ("cut.png", photo_path.read_bytes()[:-50], "cut short"),
        ("large.png", bytes(3_000_000), "at most 1.91"),
    ]
    with visit(browser, address) as page:
        for opened in (False, True):
            for name, content, message in bad:
                file = {"name": name, "mimeType": "", "buffer": content}
                page.set_input_files("#file", file)
                page.wait_for_selector(f"#message:has-text('{message}')")
                assert page.locator("#busy").is_hidden()
                page.click("#dismiss")
            if not opened:
                upload(page, photo_path)
        assert page.locator("#legend button").count() > 0


def test_a_large_photo_gives_a_mask_of_its_own_size(
    browser, address, segmenter, tmp_path
):
    path = tmp_path / "large.jpg"
    Image.new("RGB", (1000, 750), (90, 120, 60)).save(path)
    with visit(browser, address) as page:
        upload(page, path)
        _, ids = download(page, "#download-ids")
        assert ids.size == (1000, 750)
        assert np.asarray(ids).max() < segmenter.num_classes


def test_cards_follow_the_picture_however_long_the_side_is(
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
def test_it_fits_a_phone(browser, address, scheme):
    size = {"width": 360, "height": 740}
    with visit(
        browser, address, viewport=size, has_touch=True, color_scheme=scheme
    ) as page:
        for step in range(2):
            widest = page.evaluate("document.documentElement.scrollWidth")
            assert widest == size["width"]
            if step == 0:
                page.tap(".example")
                page.wait_for_selector("#result:not([hidden])")
        page.tap("#viewer")
        page.wait_for_selector(".patches canvas")
        ground = page.evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        brightness = int(ground.removeprefix("rgb(").split(",")[0])
        assert (brightness > 128) == (scheme == "light")
