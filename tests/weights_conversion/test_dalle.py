import hashlib
import http.server
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tyro
from keras import ops

from gss_keras.tokenizer import DiscreteVAE
from weights_conversion import dalle
from weights_conversion.download import download

ROOT = pathlib.Path(__file__).parents[2]
FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "old"])
SIDES = ("encoder", "decoder")


def make_modules(hidden, codebook_size, initial):
    torch = pytest.importorskip("torch")
    encoder = pytest.importorskip("dall_e.encoder").Encoder
    decoder = pytest.importorskip("dall_e.decoder").Decoder
    torch.manual_seed(0)
    sizes = {
        "n_hid": hidden,
        "vocab_size": codebook_size,
        "device": torch.device("cpu"),
        "use_mixed_precision": False,
    }
    modules = {
        "encoder": encoder(**sizes),
        "decoder": decoder(**sizes, n_init=initial),
    }
    with torch.no_grad():
        for module in modules.values():
            for name, parameter in module.named_parameters():
                # Biases are initialized to zero, which would hide errors.
                if name.endswith(".b"):
                    parameter.normal_(std=0.1)
    return modules


def save(value, path, is_zip=True):
    import torch

    torch.save(value, path, _use_new_zipfile_serialization=is_zip)
    return path


def relative_differences(modules, tokenizer, maskige):
    """Return maximum differences of logits and decoder outputs over std."""
    import torch

    def channels_last(tensor):
        return tensor.permute(0, 2, 3, 1).numpy()

    with torch.no_grad():
        pixels = torch.from_numpy(0.8 * maskige + 0.1).permute(0, 3, 1, 2)
        logits = modules["encoder"](pixels)
        tokens = logits.argmax(1)
        one_hot = torch.nn.functional.one_hot(tokens, logits.shape[1])
        decoded = modules["decoder"](one_hot.permute(0, 3, 1, 2).float())
    features = tokenizer.lookup(ops.convert_to_tensor(tokens.numpy()))
    pairs = {
        "logits": (logits, tokenizer.encode_logits(maskige)),
        "decoded": (decoded, tokenizer.decoder(features)),
    }
    differences = {}
    for name, (theirs, ours) in pairs.items():
        expected = channels_last(theirs)
        difference = np.abs(ops.convert_to_numpy(ours) - expected).max()
        differences[name] = float(difference / expected.std())
    return differences


def random_maskige(height, width):
    generator = np.random.default_rng(0)
    return generator.uniform(size=(1, height, width, 3)).astype("float32")


@pytest.fixture(scope="module")
def modules():
    return make_modules(hidden=16, codebook_size=24, initial=6)


@pytest.fixture(scope="module")
def files(modules, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dalle")
    return [save(modules[side], folder / f"{side}.pkl") for side in SIDES]


@pytest.fixture(scope="module")
def tensors(files):
    return dalle.read(*files)


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    monkeypatch.setattr(dalle, "_CHECKED_SIZE", 32)
    monkeypatch.setenv("GSS_KERAS_HOME", str(tmp_path / "home"))


@FORMATS
def test_a_converted_preset_matches_the_pytorch_modules(
    modules, tmp_path, is_zip
):
    files = [
        save(modules[side], tmp_path / f"{side}.pkl", is_zip) for side in SIDES
    ]
    dalle.convert(*files, tmp_path / "out" / "preset", any_size=True)
    tokenizer = DiscreteVAE.from_preset(tmp_path / "out" / "preset")
    differences = relative_differences(
        modules, tokenizer, random_maskige(24, 40)
    )
    assert max(differences.values()) < 1e-4, differences
    expected = DiscreteVAE(24, 16, decoder_initial=6).count_params()
    assert tokenizer.count_params() == expected

    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["preset", "preset_check.png"]
    card = (tmp_path / "out/preset/README.md").read_text()
    assert "indicate\n  clearly that it was used" in card
    for file in files:
        assert hashlib.sha256(file.read_bytes()).hexdigest() in card


@pytest.mark.any_backend
def test_the_check_picture_shows_both_maskiges(files, tmp_path):
    from PIL import Image

    _, check = dalle.convert(*files, tmp_path / "preset", any_size=True)
    with Image.open(tmp_path / "preset_check.png") as picture:
        left = np.asarray(picture)[-32:, :32]
        right = np.asarray(picture)[-32:, -32:]
    assert picture.width > 2 * 32 and picture.height > 32
    # Several classes; random weights do not reconstruct them.
    assert len(np.unique(left.reshape(-1, 3), axis=0)) > 2
    assert np.any(left != right)
    assert 0 < check.psnr < dalle.MINIMAL_PSNR


@pytest.mark.any_backend
def test_a_trained_tokenizer_passes_the_check(monkeypatch):
    monkeypatch.setattr(dalle, "_CHECKED_SIZE", 128)
    check = dalle.check(DiscreteVAE.from_preset("maskige"))
    assert check.psnr > dalle.MINIMAL_PSNR


_COMMAND = """
import sys
sys.modules.update(dict.fromkeys({blocked!r}))
from weights_conversion import dalle
dalle._CHECKED_SIZE = 32
dalle.main(*sys.argv[1:3], any_size=True)
from gss_keras import DiscreteVAE
print(DiscreteVAE.from_preset("dalle").codebook_size)
"""


@pytest.mark.any_backend
def test_neither_pytorch_nor_dall_e_is_needed(files, tmp_path):
    blocked = {"dall_e", "torch"} - {keras.backend.backend()}
    code = _COMMAND.format(blocked=blocked)
    result = subprocess.run(
        [sys.executable, "-c", code, *files],
        cwd=ROOT,
        env={**os.environ, "GSS_KERAS_HOME": str(tmp_path / "mine")},
        capture_output=True,
        check=True,
        text=True,
    )
    assert result.stdout.endswith("\n24\n")
    assert "PSNR" in result.stdout and "warning: below" in result.stdout
    assert (tmp_path / "mine/dalle_check.png").is_file()


@pytest.mark.any_backend
@FORMATS
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("place", ["attribute", "module", "parameter", "hook"])
def test_no_code_from_a_module_is_executed(tmp_path, place, side, is_zip):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'flag'}",)

    module = make_modules(hidden=16, codebook_size=24, initial=6)[side]
    inner = module.blocks.group_2.block_1
    if place == "attribute":
        inner.n_in = Evil()
    elif place == "module":
        inner._modules["id_path"] = Evil()
    elif place == "parameter":
        inner.id_path._parameters["w"] = Evil()
    else:
        inner.id_path._forward_hooks[0] = Evil()
    path = save(module, tmp_path / "evil.pkl", is_zip)
    kind = f"dall_e.{side}.{side.capitalize()}"
    message = r"evil\.pkl references `\w+\.system`"
    with pytest.raises(ValueError, match=message):
        dalle.read_module(path, kind, {*dalle._PARTS, f"{kind}Block"})
    assert [file.name for file in tmp_path.iterdir()] == ["evil.pkl"]


@pytest.mark.any_backend
def test_other_files_are_errors(modules, files, tmp_path):
    encoder, decoder = files
    with pytest.raises(ValueError, match="references `dall_e.decoder.Decoder`"):
        dalle.read(decoder, encoder)
    state = save(modules["encoder"].state_dict(), tmp_path / "state.pkl")
    with pytest.raises(ValueError, match="of class `dall_e.encoder.Encoder`"):
        dalle.read(state, decoder)
    part = save(modules["encoder"].blocks, tmp_path / "part.pkl")
    with pytest.raises(ValueError, match="Received: `torch.nn.modules.contai"):
        dalle.read(part, decoder)


@pytest.mark.any_backend
def test_a_module_must_be_a_tree(modules, tmp_path):
    kind = "torch.nn.modules.container.Sequential"
    parts = {*dalle._PARTS, "dall_e.encoder.EncoderBlock"}
    blocks = pickle.loads(pickle.dumps(modules["encoder"].blocks))
    blocks.group_1._modules["again"] = blocks
    path = save(blocks, tmp_path / "knot.pkl")
    with pytest.raises(ValueError, match="`group_1.again` is of another type"):
        dalle.read_module(path, kind, parts)
    blocks.group_1._modules["again"] = 3
    save(blocks, path)
    with pytest.raises(ValueError, match="again` .* Received: int"):
        dalle.read_module(path, kind, parts)
    blocks.group_1._modules = None
    save(blocks, path)
    with pytest.raises(ValueError, match="group_1._modules` .* NoneType"):
        dalle.read_module(path, kind, parts)


@pytest.mark.any_backend
def test_each_tensor_is_converted_once(tensors):
    name = "encoder.blocks.group_3.block_1.id_path.b"
    assert len(tensors) == 74 + 76
    with pytest.raises(ValueError, match=f"no tensor `{name}`"):
        lacking = {k: v for k, v in tensors.items() if k != name}
        dalle.build(lacking, any_size=True)
    extra = {**tensors, "decoder.blocks.extra.w": np.ones(2)}
    with pytest.raises(ValueError, match=r"\['decoder.blocks.extra.w'\] left"):
        dalle.build(extra, any_size=True)
    bent = {**tensors, name: np.ones(3, "float32")}
    with pytest.raises(ValueError, match="layer `shortcut` must have the shap"):
        dalle.build(bent, any_size=True)
    with pytest.raises(ValueError, match="a convolution `encoder.blocks.outp"):
        dalle.build({}, any_size=True)


@pytest.mark.any_backend
def test_other_sizes_must_be_allowed_explicitly(files, tmp_path):
    with pytest.raises(ValueError, match="53786240, 'decoder': 43829766"):
        dalle.convert(*files, tmp_path / "preset")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.any_backend
def test_sizes_are_inferred_from_the_tensors(tensors):
    tokenizer = DiscreteVAE(**dalle.infer_sizes(tensors))
    expected = {
        "codebook_size": 24,
        "hidden": 16,
        "decoder_hidden": 16,
        "groups": 4,
        "blocks": 2,
        "decoder_initial": 6,
        "input_kernel": 7,
        "output_channels": 6,
    }
    assert dalle.infer_sizes(tensors) == expected
    assert tokenizer.stride == 8


@pytest.mark.any_backend
def test_a_failure_does_not_change_the_output(files, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    output = tmp_path / "preset"
    with monkeypatch.context() as patch:
        patch.setattr(DiscreteVAE, "save_weights", fail)
        with pytest.raises(SystemExit, match="error: disk full"):
            dalle.main(*files, output, any_size=True)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thesis.tex").write_text("precious")
    with pytest.raises(SystemExit, match="error: `folder` must be new"):
        dalle.main(*files, tmp_path / "precious", any_size=True)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.any_backend
def test_files_must_be_given_or_downloaded(files, tmp_path):
    with pytest.raises(SystemExit, match="Received: encoder.pkl and decoder"):
        dalle.main()
    with pytest.raises(SystemExit, match="Received: decoder.pkl not given"):
        dalle.main(files[0])
    with pytest.raises(SystemExit, match="which does not exist"):
        dalle.main(tmp_path / "no.pkl", files[1])


@pytest.mark.any_backend
def test_the_preset_is_found_by_name_after_conversion(files):
    with pytest.raises(ValueError, match="weights_conversion.dalle --download"):
        DiscreteVAE.from_preset("dalle")
    encoder, decoder = map(str, files)
    flags = ["--encoder", encoder, "--decoder", decoder, "--any-size"]
    tyro.cli(dalle.main, args=flags)
    assert DiscreteVAE.from_preset("dalle").codebook_size == 24


@pytest.fixture
def server(files):
    """Serve the files over HTTP, optionally with a failure."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            _, kind, name = self.path.split("/")
            content = files[0].with_name(name).read_bytes()
            self.send_response(404 if kind == "missing" else 200)
            if kind != "unsized":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if kind != "missing":
                is_cut = kind == "cut"
                self.wfile.write(content[: len(content) // (1 + is_cut)])

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.any_backend
def test_downloads_and_converts(server, files, tmp_path, capsys):
    url = f"{server}/whole/"
    dalle.main(download=True, base_url=url, any_size=True)
    folder = tmp_path / "home" / "downloads"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["decoder.pkl", "encoder.pkl"]
    for file in files:
        assert (folder / file.name).read_bytes() == file.read_bytes()
    size = files[0].stat().st_size / 1e6
    assert (
        f"encoder.pkl: {size:.1f} of {size:.1f} MB" in capsys.readouterr().err
    )
    assert DiscreteVAE.from_preset("dalle").stride == 8
    # An existing file is not downloaded again.
    download(f"{server}/missing/encoder.pkl", folder / "encoder.pkl")
    assert "already exists" in capsys.readouterr().err
    download(f"{server}/unsized/encoder.pkl", tmp_path / "encoder.pkl")
    assert (tmp_path / "encoder.pkl").read_bytes() == files[0].read_bytes()


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("kind", "message"), [("cut", "could not be downl"), ("missing", "404")]
)
def test_a_failed_download_leaves_no_file(server, tmp_path, kind, message):
    with pytest.raises(SystemExit, match=message):
        dalle.main(download=True, base_url=f"{server}/{kind}")
    assert list((tmp_path / "home/downloads").iterdir()) == []
    assert not (tmp_path / "home/dalle").exists()


@pytest.mark.any_backend
def test_an_invalid_download_can_be_deleted(tmp_path):
    folder = tmp_path / "home/downloads"
    folder.mkdir(parents=True)
    for side in SIDES:
        (folder / f"{side}.pkl").write_text("<html>Sign in</html>")
    with pytest.raises(SystemExit, match="Delete .* to download them again"):
        dalle.main(download=True)


@pytest.mark.any_backend
def test_a_download_needs_a_valid_url_and_a_server(tmp_path):
    with pytest.raises(ValueError, match="must start with https://"):
        download("file:///etc/hostname", tmp_path / "x")
    with pytest.raises(ValueError, match="could not be downloaded"):
        download("http://127.0.0.1:1/x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


_MEASURE = """
import json, resource, sys, time
start = time.perf_counter()
from weights_conversion import dalle
imported = time.perf_counter()
dalle.main(*sys.argv[1:3])
elapsed = time.perf_counter() - imported
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps({"seconds": elapsed, "peak_gb": peak}))
"""


@pytest.mark.slow
def test_modules_of_the_released_size_are_converted(tmp_path):
    # Before this process allocates much: the peak memory of a child starts at
    # the memory of its parent.
    write = (
        "import sys, test_dalle as t; m = t.make_modules(256, 8192, 128);"
        "[t.save(m[s], f'{sys.argv[1]}/{s}.pkl', s == 'encoder')"
        " for s in t.SIDES]"
    )
    pytest.importorskip("torch")
    pytest.importorskip("dall_e")
    path = os.pathsep.join([str(ROOT), str(pathlib.Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(
        [sys.executable, "-c", write, tmp_path], env=environment, check=True
    )
    files = [tmp_path / f"{side}.pkl" for side in SIDES]
    result = subprocess.run(
        [sys.executable, "-c", _MEASURE, *files],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    measured = json.loads(result.stdout.splitlines()[-1])
    modules = make_modules(256, 8192, 128)
    tokenizer = DiscreteVAE.from_preset("dalle")
    differences = relative_differences(
        modules, tokenizer, random_maskige(64, 64)
    )
    sys.stdout.write(f"{result.stdout}{differences}\n")
    assert max(differences.values()) < 1e-4
    counts = [
        sum(parameter.numel() for parameter in modules[side].parameters())
        for side in SIDES
    ]
    assert counts == [53_786_240, 43_829_766]
    # 0.4 GB of weights each for the file, the model and temporary copies.
    assert measured["peak_gb"] < 5
    # pytest keeps the folders of three runs; this one has 0.8 GB.
    shutil.rmtree(tmp_path)
