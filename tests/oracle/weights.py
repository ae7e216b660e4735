"""Weights of a module: drawn at random, or loaded by name."""

import functools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.oracle.discrete_vae import DiscreteVAE
from tests.oracle.drawing import draw_example

# Layers that answer, and how far their answers spread from place to place.
_ANSWERS = {
    "conv_seg": 3.0,
    "encoder.blocks.output.conv": 3.0,
    "decoder.blocks.output.conv": 2.0,
}


def _deterministic(name):
    """Whether a tensor follows from the sizes, so that files leave it out."""
    return name.endswith(("relative_position_index", "num_batches_tracked"))


def load(module, state):
    """Loads arrays by name, none left over and none missing but constants.

    Args:
        module: PyTorch module.
        state: Dictionary of NumPy arrays by their names in the module.

    Raises:
        KeyError: If names are missing or left over.
    """
    own = module.state_dict()
    missing = {name for name in own.keys() - state if not _deterministic(name)}
    if missing or state.keys() - own:
        raise KeyError(f"{sorted(missing)}, {sorted(state.keys() - own)}")
    for name, values in state.items():
        # Scalars were stored as arrays of one number.
        tensor = torch.from_numpy(np.array(values)).to(own[name].dtype)
        if tensor.ndim == 1 and own[name].ndim == 0:
            tensor = tensor[0]
        own[name] = tensor
    module.load_state_dict(own, strict=True)


@torch.no_grad()
def randomize(module, seed):
    """Draws weights that keep every branch of a module at work.

    Weights lie on coarse grids of powers of two. A run over an example then
    sets the statistics of batch norms near those of the example, and scales
    and centers the logits of tokens and the decoder's colors, so that tokens
    and colors differ from place to place. A tokenizer's weights depend on
    the seed alone, not on what it is part of.

    Args:
        module: A backbone, `DiscreteVAE`, `Head` or `Segmenter`.
        seed: Integer.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = set()
    for part in module.modules():
        if isinstance(part, DiscreteVAE) and part is not module:
            randomize(part, seed)
            drawn.update(part.modules())
    hooks = []
    for name, layer in module.named_modules():
        if layer in drawn:
            continue
        _draw_weights(layer, generator)
        spread = next((_ANSWERS[n] for n in _ANSWERS if name.endswith(n)), None)
        if spread or isinstance(layer, nn.BatchNorm2d):
            settle = functools.partial(_settle, generator, spread)
            hooks.append(layer.register_forward_pre_hook(settle))
    for layer in module.modules():
        if layer not in drawn:
            _calm_branches(layer)
    module.eval()
    module(draw_example(module, generator))
    for hook in hooks:
        hook.remove()


def _draw_weights(layer, generator):
    is_norm = isinstance(layer, (nn.BatchNorm2d, nn.LayerNorm))
    gain = 1.2 if isinstance(layer, nn.Linear) else 2**0.5
    for name, weights in layer.named_parameters(recurse=False):
        noise = torch.randn(weights.shape, generator=generator)
        if name == "relative_position_bias_table":
            values = noise
        elif weights.ndim > 1:
            values = gain / math.sqrt(weights[0].numel()) * noise
        elif is_norm and name == "weight":
            values = 0.5 + torch.rand(weights.shape, generator=generator)
        else:
            values = noise / (5 if is_norm else 10)
        weights.copy_(_coarse(values))
    if isinstance(layer, nn.BatchNorm2d):
        # The auxiliary branch, which the example does not reach, keeps these.
        noise = torch.randn(layer.num_features, generator=generator)
        layer.running_mean.copy_(_coarse(noise / 5))
        uneven = torch.rand(layer.num_features, generator=generator)
        layer.running_var.copy_(_coarse(0.5 + uneven))


def _calm_branches(layer):
    """Scales what residual branches add, lest sums grow with depth."""
    if hasattr(layer, "post_gain"):
        gain = 2.0 ** round(math.log2(0.7 / layer.post_gain))
        layer.res_path.conv_4.w.mul_(gain)
    # Whole branches would amplify rounding from block to block.
    last = getattr(layer, "norm3", getattr(layer, "norm2", None))
    if isinstance(last, nn.BatchNorm2d):
        last.weight.mul_(0.25)


def _coarse(values):
    """Rounds values to a grid an eighth of their size apart."""
    size = values.square().mean().sqrt().clamp(min=1e-6)
    step = 2.0 ** torch.log2(size / 8).floor()
    return (values / step).round() * step


def _settle(generator, spread, layer, inputs):
    """Fits a layer to the inputs that it is about to meet."""
    axes = (0, 2, 3)
    if isinstance(layer, nn.BatchNorm2d):
        means, variances = inputs[0].mean(axes), inputs[0].var(axes)
        uneven = torch.rand(means.shape, generator=generator)
        layer.running_mean.copy_(_coarse(means + variances.sqrt() * uneven / 4))
        variances = _coarse(variances * (0.7 + 0.6 * uneven))
        # A channel that is all but constant would blow later inputs up.
        floor = max(float(variances.mean()) / 4, 2.0**-10)
        layer.running_var.copy_(variances.clamp(min=floor))
        return
    weights, bias = layer.parameters()
    logits = functional.conv2d(inputs[0], weights)
    gain = 2.0 ** torch.log2(spread / logits.std(axes).mean()).round()
    noise = torch.randn(bias.shape, generator=generator)
    weights.mul_(gain)
    bias.copy_(_coarse(noise / 4 - gain * logits.mean(axes)))
