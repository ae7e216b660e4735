"""Palette search: never worse than its start, and reproducible."""

import keras
import numpy as np
import pytest

import gss_keras
from gss_keras.models.palette_search import distinct_colors, search_palette
from gss_keras.synthetic.label_maps import draw_label_map

pytestmark = pytest.mark.any_backend


@keras.saving.register_keras_serializable(package="tests")
class FewColors(keras.layers.Layer):
    """A tokenizer of seven colors: the corners of the RGB cube but black."""

    stride = 4
    codebook_size = 8
    # Black is decoded as white.
    colors = np.array(
        [[1, 1, 1]] + [[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(1, 8)]
    )

    def encode_logits(self, maskige):
        bright = keras.ops.cast(maskige[:, 1::4, 1::4] > 0.5, "int32")
        index = bright[..., 0] * 4 + bright[..., 1] * 2 + bright[..., 2]
        return keras.ops.one_hot(index, 8)

    def encode(self, maskige):
        return keras.ops.argmax(self.encode_logits(maskige), axis=-1)

    def decode(self, tokens):
        colors = keras.ops.convert_to_tensor(self.colors, "float32")
        maskige = keras.ops.take(colors, tokens, axis=0)
        return keras.ops.repeat(keras.ops.repeat(maskige, 4, 1), 4, 2)

    def call(self, maskige):
        return self.decode(self.encode(maskige))


def stripes(num_classes):
    masks = np.arange(num_classes).repeat(8)[None, None].repeat(8, axis=1)
    return np.concatenate([masks, masks[..., ::-1]]).astype("int32")


def test_distinct_colors_are_the_reconstructed_ones():
    colors = distinct_colors(FewColors())
    assert sorted(map(tuple, colors.astype(int).tolist())) == sorted(
        map(tuple, (255 * FewColors.colors[1:]).tolist())
    )


def test_colors_that_are_not_reconstructed_are_not_used():
    # With the seven corners but black, seven classes are reconstructed exactly.
    result = search_palette(FewColors(), stripes(7), 7, rounds=8)
    assert result.mIoU == pytest.approx(100)
    assert result.num_colors == 7
    assert result.start_mIoU < 80
    assert result.mIoU == max(result.history)


def test_more_classes_than_colors():
    with pytest.raises(ValueError, match="`num_classes` must be at most 7"):
        search_palette(FewColors(), stripes(9), 9, rounds=2)
    result = search_palette(
        FewColors(), stripes(9), 9, rounds=2, allow_shared_colors=True
    )
    assert result.start_mIoU <= result.mIoU < 100


def test_false_positives_of_an_absent_class_lower_the_score():
    # Class 5 is black, which is decoded as white, the color of class 4.
    masks = stripes(7)
    masks[masks == 4] = 3
    tokenizer = FewColors()
    result = search_palette(tokenizer, masks, 7, rounds=1)
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(7), tokenizer
    )
    posterior.compile()
    scores = posterior.evaluate(masks, verbose=0, return_dict=True)
    assert result.start_mIoU == pytest.approx(scores["mIoU"], abs=1e-3)


def test_malformed_masks_are_errors():
    with pytest.raises(ValueError, match="`masks` must"):
        search_palette(FewColors(), stripes(5), 3)


def test_search_is_reproducible_and_reports_the_evaluated_score():
    tokenizer = gss_keras.DiscreteVAE.from_preset("maskige")
    masks = np.stack(
        [draw_label_map(seed, 96, 128) % 40 for seed in range(3)]
    ).astype("int32")
    one, other = (
        search_palette(tokenizer, masks, 40, rounds=4) for _ in range(2)
    )
    np.testing.assert_array_equal(one.palette, other.palette)
    assert one.mIoU >= one.start_mIoU
    posterior = gss_keras.LatentPosterior(one.palette, tokenizer)
    posterior.compile()
    scores = posterior.evaluate(masks, verbose=0, return_dict=True)
    # At 4 % of the positions two tokens have the same logit, and rounding
    # decides: 0.1 of the mIoU, where other palettes differ by 0.8.
    assert scores["mIoU"] == pytest.approx(one.mIoU, abs=0.4)
