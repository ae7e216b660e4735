"""Compare training schedule, weight decay, sliding windows and metrics."""

import numpy as np
from keras import ops

import gss_keras
from gss_keras import training
from gss_keras.inference.sliding_window import score_windows, window_starts
from gss_keras.ops.backend import resize_bilinear
from weights_conversion import heads, porting
from weights_conversion.backbone_layers import (
    count,
    depth_of,
    hrnet_depths,
    layers_of,
)
from weights_conversion.golden.comparison import (
    BLOCK,
    CLEAR,
    Row,
    agree,
    compare,
    to_numpy,
)


def verify_schedule(golden):
    """Compare the learning rate at each step."""
    for index, config in enumerate(golden.meta["config"]):
        schedule = training.WarmupPolynomialDecay(
            config["base_lr"],
            config["max_iters"],
            config["warmup_iters"],
            config["power"],
            config["warmup_ratio"],
        )
        steps = golden.raw(f"out/c{index}/iters")
        rates = [float(to_numpy(schedule(step))) for step in steps]
        expected = golden.raw(f"out/c{index}/lr")
        yield compare(f"schedule {index}", rates, expected, BLOCK)


def verify_scores(golden):
    """Compare IoU, accuracies and their means."""
    config = golden.meta["config"]
    classes, ignored = config["num_classes"], config["ignore_index"]
    for prefix in ("", "reduce_zero/"):
        if f"out/{prefix}IoU_nan" not in golden:
            continue
        scores = gss_keras.SegmentationScores(classes, ignored)
        for name in golden.names("in/gt"):
            truth = golden.raw(f"in/gt{name}")
            if prefix:
                # The release's `reduce_zero_label`: class 0 becomes ignored.
                is_ignored = (truth == 0) | (truth == ignored)
                truth = np.where(is_ignored, ignored, truth - 1)
            scores.update_state(truth, golden.raw(f"in/pred{name}"))
        expected = golden.raw(f"out/{prefix}IoU_nan")
        received = scores.class_iou()
        absent = np.isnan(expected)
        yield agree(f"{prefix}absent classes", np.isnan(received), absent)
        yield compare(
            f"{prefix}IoU", received[~absent], 100 * expected[~absent], 1e-6
        )
        for ours, theirs in (
            ("mIoU", "mIoU"), ("mAcc", "mAcc"), ("pixel_accuracy", "aAcc"),
        ):  # fmt: skip
            value = float(to_numpy(scores.result()[ours]))
            expected = 100 * golden.scalar(f"out/{prefix}{theirs}")
            yield compare(f"{prefix}{theirs}", value, expected, 1e-6)


def verify_windows(golden):
    """Compare sliding-window inference of the file's toy network."""
    for case, geometry in golden.meta["config"].items():
        photos = golden.map(f"in/{case}/image")
        score = _toy(golden)
        if geometry["mode"] == "slide":
            window, stride = geometry["crop"], geometry["stride"]
            logits = score_windows(score, photos, window, stride)
            yield _compare_windows(golden, case, photos, window, stride)
        else:
            flip = geometry.get("flip") == "horizontal"
            logits = score(photos)
        expected = golden.map(f"out/{case}/logits_raw")
        yield compare(f"{case}/logits_raw", logits, expected, BLOCK)
        height, width = geometry["img"]
        logits = resize_bilinear(
            ops.convert_to_tensor(logits[:, :height, :width]), *geometry["ori"]
        )
        expected = golden.map(f"out/{case}/logits_rescaled")
        yield compare(
            f"{case}/logits_rescaled", to_numpy(logits), expected, BLOCK
        )
        best_two = np.sort(expected, axis=-1)[0, ..., -2:]
        margin = best_two[..., 1] - best_two[..., 0]
        classes = to_numpy(logits)[0].argmax(-1)
        if geometry["mode"] != "slide" and flip:
            classes, margin = classes[:, ::-1], margin[:, ::-1]
        yield agree(
            f"{case}/pred",
            classes,
            golden.raw(f"out/{case}/pred"),
            margin > CLEAR * expected.std(),
        )


def _compare_windows(golden, case, photos, window, stride):
    """Compare the coordinates of the windows."""
    height, width = photos.shape[1:3]
    windows = [
        (top, min(top + window[0], height), left, min(left + window[1], width))
        for top in window_starts(height, window[0], stride[0])
        for left in window_starts(width, window[1], stride[1])
    ]
    expected = golden.raw(f"out/{case}/windows_y1y2x1x2")
    return agree(f"{case}/windows", windows, expected)


def _toy(golden):
    """Build the toy network that the file's `meta` specifies."""

    def convolve(x, name):
        kernel = golden.raw(f"sd/{name}.weight").transpose(2, 3, 1, 0)
        x = ops.conv(x, kernel.copy(), padding="same")
        return x + golden.raw(f"sd/{name}.bias")

    def score(photos):
        x = convolve(ops.convert_to_tensor(photos), "backbone.conv")
        x = convolve(x, "decode_head.conv")
        x = ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)
        width = x.shape[2]
        ramp = 1 + 0.25 * np.arange(width, dtype="float32") / (width / 2)
        x = x * ops.convert_to_tensor(ramp[:, None])
        return to_numpy(resize_bilinear(x, *photos.shape[1:3]))

    return score


def verify_decay(golden):
    """Compare which parameters have weight decay.

    The file only has names of parameters, so the models are built with the
    depths that these imply and minimal widths. A step with zero gradients
    shows which of their weights decay.
    """
    for name, decays in golden.meta["weight_decay"].items():
        prior = _narrow_prior(list(decays))
        plan = {
            f"decode_head.{tensor}": variable
            for tensor, (variable, _) in porting.plan_layers(
                heads.prior_layers(prior)
            ).items()
        }
        plan |= {
            f"backbone.{tensor}": variable
            for tensor, (variable, _) in porting.plan_layers(
                layers_of(prior.backbone)
            ).items()
        }
        is_ours = {n for n, variable in plan.items() if variable.trainable}
        unmatched = sorted(is_ours ^ set(decays))
        if unmatched:
            yield Row(name, f"unmatched parameters: {unmatched}", False)
            continue
        has_decay = _decayed(prior, plan)
        yield agree(
            f"{name}, {len(decays)} parameters",
            [has_decay[tensor] for tensor in decays],
            [decay > 0 for decay in decays.values()],
        )


def _decayed(prior, plan):
    """Return which parameters decay in a step with zero gradients, by name."""
    variables = prior.trainable_variables
    optimizer = training.adamw(
        1.0, 10, 0, undecayed=training.undecayed_in_release(prior)
    )
    for variable in variables:
        variable.assign(ops.ones(variable.shape))
    optimizer.build(variables)
    optimizer.apply([ops.zeros(v.shape) for v in variables], variables)
    return {
        name: bool(np.all(to_numpy(variable) < 1))
        for name, variable in plan.items()
        if variable.trainable
    }


def _narrow_prior(names):
    """Build a narrow prior with the depths in the parameters' names."""
    settings = {"level_channels": 8, "channels": 8, "heads": 2, "projection": 8}
    has_pixels = "decode_head.conv_seg_pixel.weight" in names
    is_separate = "decode_head.fusion_conv_pixel.conv.weight" in names
    branch = "separate" if is_separate else "shared"
    tokenizer = gss_keras.DiscreteVAE(
        codebook_size=8, hidden=4, groups=3, blocks=1, decoder_initial=4
    )
    return gss_keras.LatentPrior(
        _narrow_backbone(names),
        gss_keras.LatentPosterior([[0, 0, 0], [9, 9, 9]], tokenizer),
        depth=count(names, r"decode_head\.transformer_block\.blocks\.(\d+)\."),
        pixel_branch=branch if has_pixels else None,
        pad_to=1,
        **settings,
    )


def _narrow_backbone(names):
    """Build a narrow backbone with the depths in the parameters' names."""
    if "backbone.patch_embed.projection.weight" in names:
        depths = [
            count(names, rf"backbone\.stages\.{stage}\.blocks\.(\d+)\.")
            for stage in range(4)
        ]
        return gss_keras.backbones.SwinTransformer(
            width=4, depths=depths, heads=(1, 1, 1, 1), window=2
        )
    if "backbone.stem.0.weight" in names:
        blocks = [
            count(names, rf"backbone\.layer{stage}\.(\d+)\.")
            for stage in range(1, 5)
        ]
        return gss_keras.backbones.ResNetV1c(
            depth_of(blocks),
            stem_channels=4
            if "backbone.layer1.0.downsample.0.weight" in names
            # There is no downsampling if the stem is as wide as the block.
            else 8,
            base_channels=2,
        )
    return gss_keras.backbones.HRNetV2(
        (2, 4, 6, 8),
        **hrnet_depths([name.removeprefix("backbone.") for name in names]),
        first_channels=2,
    )
