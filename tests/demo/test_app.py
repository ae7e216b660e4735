import base64
import concurrent.futures
import io
import threading
import zlib

import numpy as np
import pytest
from keras import ops
from page_server import segmenter_with_large_weights
from PIL import Image
from starlette.testclient import TestClient
from tiny import tiny_data

from gss_keras.demo.app import Page
from gss_keras.export import answer as exported_answer

HOME = "http://127.0.0.1"
pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def segmenter():
    return segmenter_with_large_weights()


@pytest.fixture(scope="module")
def page(segmenter):
    return Page(segmenter, max_pixels=4000, max_bytes=100_000)


@pytest.fixture(scope="module")
def client(page):
    # The client returns the server's errors as responses.
    with TestClient(page.app, HOME, raise_server_exceptions=False) as client:
        yield client


def as_file(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def photo_of(height=30, width=44):
    return tiny_data(1, height, width)[0][0]


def unpack(text, shape, kind="uint8"):
    content = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(content, kind).reshape(shape)


def test_segment_returns_the_predictions(client, segmenter):
    photo = photo_of()
    answer = client.post("/api/segment", content=as_file(photo)).json()
    mask = unpack(answer["mask"], (30, 44))
    np.testing.assert_array_equal(mask, segmenter.predict(photo))
    assert answer["size"] == answer["file_size"] == [44, 30]
    columns, rows = answer["grid"]
    assert (columns, rows) == (11, 8)
    tokens = unpack(answer["tokens"], (rows, columns), "<u2")
    assert tokens.max() < 32
    assert unpack(answer["maskige"], (30, 44, 3)).max() > 0
    expected = exported_answer(segmenter, photo[None], ("confidence",))
    np.testing.assert_allclose(
        unpack(answer["confidence"], (30, 44)),
        255 * ops.convert_to_numpy(expected["confidence"])[0],
        atol=0.6,
    )
    assert unpack(answer["token_probability"], (rows, columns)).min() > 0
    shown = Image.open(io.BytesIO(base64.b64decode(answer["photo"])))
    assert shown.size == (44, 30)
    assert min(answer["seconds"].values()) >= 0


def test_scale_changes_the_segmented_size_only(client):
    answer = client.post(
        "/api/segment?scale=0.5", content=as_file(photo_of())
    ).json()
    assert answer["size"] == [22, 15]
    assert answer["full_size"] == answer["file_size"] == [44, 30]


def test_large_photos_are_downscaled_to_max_pixels(client):
    large = np.zeros((600, 800, 3), "uint8")
    answer = client.post("/api/segment", content=as_file(large)).json()
    assert answer["size"] == [73, 54]
    assert answer["file_size"] == [800, 600]
    unpack(answer["mask"], (54, 73))


@pytest.mark.parametrize("size", [(1, 1), (1, 300)])
def test_tiny_and_narrow_photos(client, segmenter, size):
    photo = photo_of(1, 300)[:, : size[1]]
    answer = client.post("/api/segment", content=as_file(photo)).json()
    mask = unpack(answer["mask"], size)
    np.testing.assert_array_equal(mask, segmenter.predict(photo))


def test_masks_do_not_depend_on_the_image_mode(client):
    gray = photo_of()[..., 0]
    rgb = np.stack([gray] * 3, axis=-1)
    alpha = np.concatenate([rgb, 255 - gray[..., None]], axis=-1)
    exif = Image.Exif()
    exif[0x0112] = 3
    files = [
        as_file(gray),
        as_file(rgb),
        as_file(alpha),
        as_file(gray.astype("uint16") * 257),
        as_file(np.ascontiguousarray(rgb[::-1, ::-1]), exif=exif),
    ]
    masks = {client.post("/api/segment", content=f).json()["mask"]
             for f in files}  # fmt: skip
    assert len(masks) == 1


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 400, "empty"),
        (b"no photo at all", 400, "JPEG, PNG"),
        (as_file(photo_of())[:-100], 400, "incomplete"),
        (as_file(photo_of(), "JPEG")[:700], 400, "incomplete"),
        (bytes(100_001), 413, "at most 0.0954 MB"),
    ],
)
def test_bad_files_return_an_error(client, content, status, message):
    answer = client.post("/api/segment", content=content)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    # The next request succeeds.
    good = client.post("/api/segment", content=as_file(photo_of(8, 8)))
    assert good.status_code == 200


def test_the_size_limit_holds_without_a_content_length(client):
    chunks = (bytes(10_000) for _ in range(11))
    answer = client.post("/api/segment", content=chunks)
    assert answer.status_code == 413


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "2", "half", "1e-9", ""])
def test_invalid_scales_return_an_error(client, scale):
    answer = client.post(f"/api/segment?scale={scale}", content=b"x")
    assert answer.status_code == 400
    assert "`scale`" in answer.json()["error"]


def test_model_description(client):
    model = client.get("/api/model").json()
    assert model["classes"] == [f"class {i}" for i in range(5)]
    assert model["codebook_size"] == 32
    own, *others = model["palettes"]
    assert own["smallest_distance"] > 100
    assert all(len(palette["colors"]) == 5 for palette in others)


def test_decode_a_token(client):
    answer = client.get("/api/tokens/31").json()
    side = answer["side"]
    assert unpack(answer["alone"], (side, side, 3)).max() > 0
    assert client.get("/api/tokens/32").status_code == 404


def test_examples_are_images(client):
    picture = client.get("/api/examples/0")
    assert Image.open(io.BytesIO(picture.content)).size == (480, 360)
    assert client.get("/api/examples/99").status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        "/app.py",
        "/../app.py",
        "/%2e%2e/app.py",
        "/..%2fapp.py",
        "/static/page.js",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/page.js%00.html",
        "/api/examples/-1",
        "/api/tokens/../../app.py",
    ],
)
def test_no_url_reads_the_file_system(client, address):
    answer = client.get(address)
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_the_page_links_to_no_other_site(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in ["style.css", "page.js", "png.js", "viewer.js", "icon.svg"]:
        text = client.get(f"/{name}").text
        text = text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "["},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
    ],
)
def test_cross_site_requests_are_rejected(client, headers):
    file = as_file(photo_of())
    answer = client.post("/api/segment", content=file, headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["localhost:80", "127.0.0.1", "[::1]:8000"])
def test_same_origin_requests_are_accepted(client, host):
    headers = {"host": host, "origin": f"http://{host}"}
    assert client.get("/", headers=headers).status_code == 200


def test_an_internal_error_is_reported_and_the_server_keeps_running(
    page, client, monkeypatch
):
    file = as_file(photo_of())
    with monkeypatch.context() as patch:
        patch.setattr(page._analyzer, "analyze", lambda _: 1 // 0)
        answer = client.post("/api/segment", content=file)
        assert answer.status_code == 500
        assert "log" in answer.json()["error"]
    assert client.post("/api/segment", content=file).status_code == 200


def test_too_many_uploads_are_rejected(page, client, monkeypatch):
    monkeypatch.setattr(page, "_max_waiting", 2)
    release, file = threading.Event(), as_file(photo_of())

    def send(_=None):
        return client.post("/api/segment", content=file)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        page._turns.submit("blocker", release.wait, 30)
        waiting = pool.map(send, range(2))
        while page._num_uploads < 2:
            threading.Event().wait(0.01)
        rejected = send()
        release.set()
        assert rejected.status_code == 503
        assert "retry-after" in rejected.headers
        assert [answer.status_code for answer in waiting] == [200, 200]
    assert page._num_uploads == page._upload_bytes == 0


def test_the_total_size_of_uploads_is_limited(page, client, monkeypatch):
    monkeypatch.setattr(page, "_max_held", 50_000)
    answer = client.post("/api/segment", content=bytes(60_000))
    assert answer.status_code == 503
    assert page._upload_bytes == 0
    answer = client.post("/api/segment", content=as_file(photo_of()))
    assert answer.status_code == 200


def test_concurrent_visitors_get_their_own_masks(client, segmenter):
    photos = np.random.default_rng(0).integers(0, 256, (8, 30, 44, 3), "uint8")
    masks = segmenter.predict(photos, batch_size=8)

    def visit(number):
        answers = [
            client.post(
                "/api/segment",
                content=as_file(photos[number]),
                headers={"x-visitor": str(number)},
            )
            for _ in range(5)
        ]
        return [unpack(a.json()["mask"], (30, 44)) for a in answers]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for number, answers in enumerate(pool.map(visit, range(8))):
            for answer in answers:
                # Rounding errors differ between batch sizes, and one token
                # is 1 % of the pixels.
                agreement = (answer == masks).mean(axis=(1, 2))
                assert agreement.argmax() == number
    assert len({mask.tobytes() for mask in masks}) == 8
