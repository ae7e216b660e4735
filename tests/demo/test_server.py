import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from page_server import served
from tiny import tiny_prior

import gss_keras
from gss_keras.demo import serve
from gss_keras.demo.app import Page

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preset") / "tiny"
    gss_keras.GenerativeSegmenter(tiny_prior()).save_to_preset(folder)
    return folder


def test_serves_on_localhost_until_interrupted(preset):
    # The preset needs the custom backbone of the tests.
    start = (
        "import tiny; from gss_keras.demo import serve; "
        f"serve({str(preset)!r}, port=0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", start],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as server:
        try:
            line = server.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
            with urllib.request.urlopen(address, timeout=60) as page:
                assert b"Drop a photo" in page.read()
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0


def test_a_port_in_use_raises():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ValueError, match=f"port={port}"):
            serve(port=port)


@pytest.mark.parametrize("port", [-1, 70000])
def test_ports_out_of_range_raise(port):
    with pytest.raises(ValueError, match=f"port={port}"):
        serve(port=port)


def test_max_pixels_must_be_positive():
    with pytest.raises(ValueError, match="`max_pixels`"):
        serve(max_pixels=0)


def test_presets_of_other_models_raise():
    with pytest.raises(ValueError, match="GenerativeSegmenter"):
        serve("maskige", port=0)


def test_missing_dependencies_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"gss-keras\[demo\]"):
        serve()


def test_a_rejected_upload_gets_its_response():
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior())
    with served(Page(segmenter, max_bytes=10_000)) as address:
        for _ in range(3):
            with pytest.raises(urllib.error.HTTPError) as rejected:
                urllib.request.urlopen(
                    f"{address}/api/segment", bytes(20_000_000), timeout=60
                )
            with rejected.value:
                assert rejected.value.code == 413
                assert "19.1 MB" in json.load(rejected.value)["error"]
