"""Random inputs: photos, images of color blocks, feature maps and masks."""

import math

import torch

from tests.oracle.discrete_vae import DiscreteVAE
from tests.oracle.heads import IGNORE, Head, resize


def draw_blocks(count, height, width, generator):
    """Generate images `(count, 3, height, width)` in [0, 1] of color blocks."""
    size = (count, 3, height // 8 + 1, width // 8 + 1)
    colors = torch.rand(size, generator=generator)
    blocks = colors.repeat_interleave(8, 2).repeat_interleave(8, 3)
    noise = torch.randn((count, 3, height, width), generator=generator)
    images = blocks[:, :, :height, :width] + noise / 16
    return (255 * images.clamp(0, 1)).round() / 255


def draw_features(head, count, size, generator):
    """Sample feature maps of strides 4 to 32 for photos of a size."""
    maps = []
    for level in range(4):
        size = [math.ceil(side / (2 if level else 4)) for side in size]
        channels = head.convs[head.in_index.index(level)].conv.in_channels
        noise = torch.randn((count, channels, *size), generator=generator)
        maps.append((16 * noise).round() / 16)
    return maps


def draw_masks(count, size, num_classes, generator):
    """Generate masks of blocks, with a rectangle and some pixels ignored."""
    height, width = size
    coarse = (count, 1, height // 8 + 1, width // 8 + 1)
    masks = torch.randint(num_classes, coarse, generator=generator)
    masks = masks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    masks = masks[:, :, :height, :width].contiguous()
    top, left = height // 4, width // 4
    masks[:, :, top : 2 * top + 2, left : 2 * left + 3] = IGNORE
    scattered = torch.rand(masks.shape, generator=generator) < 0.01
    return masks.masked_fill(scattered, IGNORE).int()


def draw_photo(seed):
    """Generate a uint8 photo `(256, 256, 3)` of blurred blobs and noise."""
    generator = torch.Generator().manual_seed(seed)
    blobs = torch.rand((1, 3, 24, 24), generator=generator)
    photo = resize(255 * blobs, (256, 256))[0].permute(1, 2, 0)
    noise = torch.randn(photo.shape, generator=generator)
    return (photo + 12 * noise).clamp(0, 255).byte()


def draw_example(module, generator):
    """Generate a small input to calibrate a module's weights on.

    Args:
        module: A backbone, `DiscreteVAE`, `Head` or `Segmenter`.
        generator: PyTorch generator.

    Returns:
        A tensor of images, or a list of feature maps for a head.
    """
    if isinstance(module, DiscreteVAE):
        return draw_blocks(2, 96, 128, generator)
    if isinstance(module, Head):
        return draw_features(module, 2, (96, 128), generator)
    # Photos are smooth, inputs in golden files are noise: calibrate on both.
    noise = torch.randn((2, 3, 96, 128), generator=generator)
    blocks = 4 * draw_blocks(2, 96, 128, generator) - 2
    return torch.cat([noise, blocks])


def draw_inputs(kind, module, shapes, generator):
    """Generate the inputs of a golden file's module.

    Args:
        kind: One of the kinds of golden files.
        module: A backbone, `DiscreteVAE`, `Head` or `Segmenter`.
        shapes: Dictionary from case to `(count, (height, width))`.
        generator: PyTorch generator.

    Returns:
        A dictionary from names, without the prefix `in/`, to tensors.
    """
    if isinstance(module, Head):
        return _draw_head_inputs(kind, module, shapes, generator)
    inputs = {}
    for case, (count, size) in shapes.items():
        if kind == "dalle_vae":
            images = draw_blocks(count, *size, generator)
            inputs[f"{case}/image01"] = images
            # The same after DALL-E's `map_pixels`; files have both.
            inputs[f"{case}/mapped"] = 0.8 * images + 0.1
            coarse = count, size[0] // 8, size[1] // 8
            inputs[f"{case}/rand_indices"] = torch.randint(
                module.vocab_size, coarse, generator=generator
            )
        else:
            noise = torch.randn((count, 3, *size), generator=generator)
            name = f"{case}/image" if kind == "e2e" else case
            inputs[name] = (4 * noise).round() / 4
    return inputs


def _draw_head_inputs(kind, head, shapes, generator):
    inputs = {
        f"{case}/feat{level}": map_
        for case in ("test", "test_odd")
        for level, map_ in enumerate(
            draw_features(head, *shapes[case], generator)
        )
    }
    masks = *shapes["test"], head.num_classes, generator
    inputs["train/gt"] = draw_masks(*masks)
    if kind == "head_ff":
        crop = torch.rand((2, 3, 16, 16), generator=generator)
        inputs["palette/maskige_crop"] = 255 * crop
        inputs["recon/gt"] = draw_masks(*masks)
    return inputs
