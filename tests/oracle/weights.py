"""Random weights of a module, and loading of weights by name."""

import functools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.oracle.discrete_vae import DiscreteVAE
from tests.oracle.drawing import draw_example

# Output layers, and the spatial standard deviation to scale their outputs to.
_OUTPUT_SCALES = {
    "conv_seg": 3.0,
    "encoder.blocks.output.conv": 3.0,
    "decoder.blocks.output.conv": 2.0,
}


def _is_constant(name):
    """Return whether a tensor follows from sizes and may be absent in files."""
    return name.endswith(("relative_position_index", "num_batches_tracked"))


def load(module, state):
    """Load a state dict strictly, except that constants may be missing.

    Args:
        module: PyTorch module.
        state: Dictionary from names in the module to NumPy arrays.

    Raises:
        KeyError: If names are missing or unexpected.
    """
    own = module.state_dict()
    missing = {name for name in own.keys() - state if not _is_constant(name)}
    if missing or state.keys() - own:
        raise KeyError(
            "`state` must have the names of the module's tensors. Received: "
            f"{sorted(missing)} missing, "
            f"{sorted(state.keys() - own)} unexpected"
        )
    for name, values in state.items():
        # Scalars are stored as arrays with one element.
        tensor = torch.from_numpy(np.array(values)).to(own[name].dtype)
        if tensor.ndim == 1 and own[name].ndim == 0:
            tensor = tensor[0]
        own[name] = tensor
    module.load_state_dict(own, strict=True)


@torch.no_grad()
def randomize(module, seed):
    """Initialize a module with random weights that exercise every branch.

    Weights are rounded to coarse grids whose steps are powers of two. Then a
    forward pass on an example calibrates the running statistics of batch norms
    near those of the example, and scales and centers token logits and the
    decoder's colors, so that tokens and colors vary across positions. A
    tokenizer's weights depend on the seed only, not on the enclosing module.

    Args:
        module: A backbone, `DiscreteVAE`, `Head` or `Segmenter`.
        seed: Integer.
    """
    generator = torch.Generator().manual_seed(seed)
    done = set()
    for part in module.modules():
        if isinstance(part, DiscreteVAE) and part is not module:
            randomize(part, seed)
            done.update(part.modules())
    hooks = []
    for name, layer in module.named_modules():
        if layer in done:
            continue
        _draw_weights(layer, generator)
        scales = (s for n, s in _OUTPUT_SCALES.items() if name.endswith(n))
        scale = next(scales, None)
        if scale or isinstance(layer, nn.BatchNorm2d):
            calibrate = functools.partial(_calibrate, generator, scale)
            hooks.append(layer.register_forward_pre_hook(calibrate))
    for layer in module.modules():
        if layer not in done:
            _dampen_residuals(layer)
    module.eval()
    module(draw_example(module, generator))
    for hook in hooks:
        hook.remove()


def _draw_weights(layer, generator):
    """Sample the weights and running statistics of one layer."""
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
        weights.copy_(_round_coarsely(values))
    if isinstance(layer, nn.BatchNorm2d):
        # Not overwritten in the auxiliary branch, which is not calibrated.
        noise = torch.randn(layer.num_features, generator=generator)
        layer.running_mean.copy_(_round_coarsely(noise / 5))
        uniform = torch.rand(layer.num_features, generator=generator)
        layer.running_var.copy_(_round_coarsely(0.5 + uniform))


def _dampen_residuals(layer):
    """Scale residual branches, so that activations do not grow with depth."""
    if hasattr(layer, "post_gain"):
        gain = 2.0 ** round(math.log2(0.7 / layer.post_gain))
        layer.res_path.conv_4.w.mul_(gain)
    # Undamped branches would amplify rounding errors from block to block.
    last = getattr(layer, "norm3", getattr(layer, "norm2", None))
    if isinstance(last, nn.BatchNorm2d):
        last.weight.mul_(0.25)


def _round_coarsely(values):
    """Round values to a grid with steps of about an eighth of their RMS."""
    rms = values.square().mean().sqrt().clamp(min=1e-6)
    step = 2.0 ** torch.log2(rms / 8).floor()
    return (values / step).round() * step


def _calibrate(generator, scale, layer, inputs):
    """Calibrate a layer on its inputs; a forward pre-hook."""
    axes = (0, 2, 3)
    if isinstance(layer, nn.BatchNorm2d):
        means, variances = inputs[0].mean(axes), inputs[0].var(axes)
        uniform = torch.rand(means.shape, generator=generator)
        shifted = means + variances.sqrt() * uniform / 4
        layer.running_mean.copy_(_round_coarsely(shifted))
        variances = _round_coarsely(variances * (0.7 + 0.6 * uniform))
        # A nearly constant channel would be amplified on other inputs.
        floor = max(float(variances.mean()) / 4, 2.0**-10)
        layer.running_var.copy_(variances.clamp(min=floor))
        return
    weights, bias = layer.parameters()
    logits = functional.conv2d(inputs[0], weights)
    gain = 2.0 ** torch.log2(scale / logits.std(axes).mean()).round()
    noise = torch.randn(bias.shape, generator=generator)
    weights.mul_(gain)
    bias.copy_(_round_coarsely(noise / 4 - gain * logits.mean(axes)))
