import pytest

from weights_conversion.mmcv_config import parse_config

pytestmark = pytest.mark.any_backend

TEXT = """\
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    pretrained=None,
    backbone=dict(type='ResNetV1c', depth=101, dilations=(1, 1, 2, 4)),
    decode_head=dict(
        palette=[[128, 64, 128], [0, 0, 0]],
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=1e-06)),
    test_cfg=dict(mode='slide', crop_size=(768, 768), stride=(512, 512)))
img_norm_cfg = dict(mean=[123.675, 116.28, -1.5], to_rgb=True)
optimizer = dict(paramwise_cfg=dict(custom_keys=dict({'a.b': dict(x=0.0)})))
dist_params = dict(backend=unknown_name)
"""


def test_entries_are_parsed():
    entries = parse_config(TEXT, ("model", "img_norm_cfg", "absent"))
    assert set(entries) == {"model", "img_norm_cfg"}
    model = entries["model"]
    assert model["backbone"]["dilations"] == (1, 1, 2, 4)
    assert model["pretrained"] is None
    assert model["decode_head"]["palette"] == [[128, 64, 128], [0, 0, 0]]
    assert model["decode_head"]["loss_decode"]["loss_weight"] == 1e-6
    assert entries["img_norm_cfg"]["mean"][2] == -1.5
    optimizer = parse_config(TEXT, ("optimizer",))["optimizer"]
    assert optimizer["paramwise_cfg"]["custom_keys"] == {"a.b": {"x": 0.0}}


@pytest.mark.parametrize(
    "value",
    [
        "__import__('os').system('touch {flag}')",
        "dict(a=open('{flag}', 'w'))",
        "[c for c in ().__class__.__base__.__subclasses__()]",
        "dict(**{{'a': exec('open({flag!r}, chr(119))')}})",
        "dict(open('{flag}', 'w'))",
        "(lambda: open('{flag}', 'w'))()",
        "f\"{{open('{flag}', 'w')}}\"",
        "{{**dict(a=1)}}",
        "dict",
        "(" * 5000,
        "[" * 150 + "]" * 150,
    ],
)
def test_no_code_is_executed(tmp_path, value):
    flag = tmp_path / "flag"
    text = f"model = {value.format(flag=flag)}\n"
    # A deeply nested list is a literal, so parsing succeeds.
    if value.startswith("[["):
        assert parse_config(text, ("model",))["model"]
    else:
        with pytest.raises(ValueError, match="must be Python assignments"):
            parse_config(text, ("model",))
    assert not flag.exists()


@pytest.mark.parametrize("text", [None, b"model = 1", "x" * 2_000_000])
def test_other_types_and_long_texts_are_errors(text):
    with pytest.raises(ValueError, match="must be a string of at most"):
        parse_config(text, ("model",))
