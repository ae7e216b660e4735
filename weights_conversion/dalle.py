r"""Convert the discrete VAE of DALL-E to a preset.

After `pip install "gss-keras[data]"`,

    python -m weights_conversion.dalle --download

downloads OpenAI's `encoder.pkl` and `decoder.pkl` (0.4 GB). To convert
existing files instead,

    python -m weights_conversion.dalle \
        --encoder encoder.pkl --decoder decoder.pkl

Neither PyTorch nor the package `dall_e` is needed, and no code from the files
is executed. Afterwards `DiscreteVAE.from_preset("dalle")` finds the preset.
"""

import dataclasses
import pathlib
import re
import sys

import keras
import numpy as np

from gss_keras import presets, visualize
from gss_keras.maskige import palettes
from gss_keras.tokenizer import DiscreteVAE
from weights_conversion import porting, writing
from weights_conversion.download import download
from weights_conversion.pickled_modules import read_module

BASE_URL = "https://cdn.openai.com/dall-e/"
PARAMETERS = {"encoder": 53_786_240, "decoder": 43_829_766}
# Random weights have 5 to 8 dB, the bundled compact tokenizer 19.
MINIMAL_PSNR = 12.0
_CHECKED_SIZE = 128
_PARTS = (
    "dall_e.utils.Conv2d",
    "functools.partial",
    "torch.nn.modules.activation.ReLU",
    "torch.nn.modules.container.ModuleDict",
    "torch.nn.modules.container.ModuleList",
    "torch.nn.modules.container.Sequential",
    "torch.nn.modules.linear.Identity",
    "torch.nn.modules.pooling.MaxPool2d",
    "torch.nn.modules.upsampling.Upsample",
)
_CARD = """\
# dalle

The discrete VAE of DALL-E: stride {stride}, {codebook_size} tokens,
{parameters:,} parameters, stored in float32.

```python
import gss_keras

tokenizer = gss_keras.DiscreteVAE.from_preset("dalle")
```

* **License**: a modified MIT license of OpenAI (github.com/openai/DALL-E),
  which asks that you use the model responsibly and indicate
  clearly that it was used. State it wherever you show or share results or
  models made with this tokenizer. The weights are not part of `gss_keras`.
* **Source**: an `encoder.pkl` and a `decoder.pkl`, as OpenAI publishes them at
  {base_url} without checksums. The converted files have the SHA-256
  - encoder: `{encoder_sha256}`
  - decoder: `{decoder_sha256}`
* **Converted** by `python -m weights_conversion.dalle`: {counts}.
* **Check**: reconstruction of a synthetic maskige with a PSNR of {psnr:.1f} dB.
* **Trained on** photos of all kinds, not on maskiges, by Ramesh et al.,
  "Zero-Shot Text-to-Image Generation", 2021.
"""


@dataclasses.dataclass(frozen=True)
class Check:
    """Reconstruction of a synthetic maskige.

    Attributes:
        psnr: Peak signal-to-noise ratio of the reconstruction, in dB.
        picture: Original and reconstruction side by side, uint8
            `(height, width, 3)`.
    """

    psnr: float
    picture: np.ndarray


def read(encoder, decoder):
    """Read the tensors of both modules.

    Args:
        encoder: Path of `encoder.pkl`.
        decoder: Path of `decoder.pkl`.

    Returns:
        A dict from name, prefixed with `encoder.` or `decoder.`, to array.

    Raises:
        ValueError: If a file is not a pickled DALL-E encoder or decoder, or
            references a class or function that is not on the allowlist.
    """
    tensors = {}
    for side, path in (("encoder", encoder), ("decoder", decoder)):
        kind = f"dall_e.{side}.{side.capitalize()}"
        module = read_module(path, kind, {*_PARTS, f"{kind}Block"})
        tensors |= {f"{side}.{name}": module[name] for name in module}
    return tensors


def infer_sizes(tensors):
    """Infer the tokenizer's sizes from the shapes of its tensors.

    Args:
        tensors: The dict that `read` returns.

    Returns:
        A dict of arguments of `DiscreteVAE`.

    Raises:
        ValueError: If a tensor that determines a size is missing.
    """

    def shape(name):
        tensor = tensors.get(f"{name}.w", np.empty(0))
        if tensor.ndim != 4:
            raise ValueError(
                f"The modules must contain a convolution `{name}.w`. "
                f"Received: {sorted(tensors)}"
            )
        return tensor.shape

    def count(kind):
        found = re.findall(rf"{kind}_(\d+)", " ".join(tensors))
        return max(map(int, found), default=0)

    return {
        "codebook_size": shape("encoder.blocks.output.conv")[0],
        "hidden": shape("encoder.blocks.input")[0],
        "decoder_hidden": shape("decoder.blocks.output.conv")[1],
        "groups": count("group"),
        "blocks": count("block"),
        "decoder_initial": shape("decoder.blocks.input")[0],
        "input_kernel": shape("encoder.blocks.input")[2],
        "output_channels": shape("decoder.blocks.output.conv")[0],
    }


def load_weights(tokenizer, take):
    """Assign the tensors of DALL-E's modules to a tokenizer.

    Args:
        tokenizer: A `DiscreteVAE` of their sizes.
        take: Function from the name of a tensor, as in `read`, to the tensor
            as an array. It is called once for each tensor.

    Raises:
        ValueError: If a tensor and its layer's weight differ in shape.
    """

    def assign(convolution, name):
        kernel = take(f"{name}.w").transpose(2, 3, 1, 0)
        porting.set_weights(convolution, [kernel, take(f"{name}.b")])

    for side in ("encoder", "decoder"):
        for layer in getattr(tokenizer, side).layers:
            if not layer.name.startswith("group_"):
                continue
            _, group, _, block = layer.name.split("_")
            name = f"{side}.blocks.group_{group}.block_{block}"
            if layer.shortcut is not None:
                assign(layer.shortcut, f"{name}.id_path")
            for number, convolution in enumerate(layer.convolutions, start=1):
                assign(convolution, f"{name}.res_path.conv_{number}")
    assign(tokenizer.encoder.get_layer("input"), "encoder.blocks.input")
    assign(tokenizer.to_logits, "encoder.blocks.output.conv")
    assign(tokenizer.decoder.get_layer("output"), "decoder.blocks.output.conv")
    # The decoder's 1x1 convolution of one-hot tokens is an embedding lookup.
    rows = take("decoder.blocks.input.w")[:, :, 0, 0].T
    bias = take("decoder.blocks.input.b")
    porting.set_weights(tokenizer.lookup, [rows, bias])


def build(tensors, any_size=False):
    """Build the tokenizer from the tensors of both modules.

    Args:
        tensors: The dict that `read` returns.
        any_size: Whether to accept other sizes than those of the released
            modules.

    Returns:
        A `DiscreteVAE`.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape, or
            the sizes are not those of the released modules.
    """
    counts = count_parameters(tensors)
    if not any_size and counts != PARAMETERS:
        raise ValueError(
            f"The modules must have {PARAMETERS} parameters, as the released "
            "ones. Download them again, or accept other sizes with `any_size` "
            "(`--any-size`). "
            f"Received: {counts}"
        )
    tokenizer = DiscreteVAE(**infer_sizes(tensors))
    source = porting.Source(tensors)
    load_weights(tokenizer, source.take)
    source.require_empty()
    return tokenizer


def count_parameters(tensors):
    """Count the parameters of each module: a dict from its name to int."""
    return {
        side: sum(
            tensor.size
            for name, tensor in tensors.items()
            if name.startswith(side)
        )
        for side in PARAMETERS
    }


def check(tokenizer):
    """Reconstruct a synthetic maskige, for visual inspection.

    Args:
        tokenizer: A `DiscreteVAE`.

    Returns:
        A `Check`.
    """
    from gss_keras.synthetic.label_maps import draw_label_map

    size = -(-_CHECKED_SIZE // tokenizer.stride) * tokenizer.stride
    palette = palettes.maximal_distance(19)
    regions = draw_label_map(1, size, size).astype(int)
    mask = np.where(regions == 255, 255, regions % len(palette))
    maskige = visualize.paint(mask, palette) / np.float32(255)
    decoded = tokenizer.predict_on_batch(maskige[None])[0]
    error = np.mean((decoded - maskige) ** 2)
    picture = visualize.panel(
        [[maskige, decoded]], ["maskige", "reconstruction"]
    )
    # Clip at one step of uint8, so that a perfect result has a finite PSNR.
    return Check(-10 * np.log10(max(error, 255.0**-2)), picture)


def convert(encoder, decoder, output, any_size=False):
    """Convert both modules to a preset with a picture of its check.

    Args:
        encoder: Path of `encoder.pkl`.
        decoder: Path of `decoder.pkl`.
        output: Folder of the preset; the picture is `<output>_check.png`.
        any_size: As in `build`.

    Returns:
        A pair of the `DiscreteVAE` and its `Check`.

    Raises:
        ValueError: If a file is invalid, see `read` and `build`, or `output`
            is a folder that is not a preset. Nothing is written then.
    """
    tensors = read(encoder, decoder)
    tokenizer = build(tensors, any_size)
    checked = check(tokenizer)
    card = _CARD.format(
        stride=tokenizer.stride,
        codebook_size=tokenizer.codebook_size,
        parameters=tokenizer.count_params(),
        base_url=BASE_URL,
        encoder_sha256=writing.sha256(encoder),
        decoder_sha256=writing.sha256(decoder),
        counts=" and ".join(
            f"{count:,} parameters of the {side}"
            for side, count in count_parameters(tensors).items()
        ),
        psnr=checked.psnr,
    )
    writing.write_preset(tokenizer, output, card, checked.picture)
    return tokenizer, checked


def main(
    encoder: pathlib.Path | None = None,
    decoder: pathlib.Path | None = None,
    output: pathlib.Path | None = None,
    download: bool = False,
    base_url: str = BASE_URL,
    any_size: bool = False,
):
    """Convert the discrete VAE of DALL-E to a preset.

    Args:
        encoder: Path of `encoder.pkl`.
        decoder: Path of `decoder.pkl`.
        output: Folder to write the preset to. Defaults to the one where
            `DiscreteVAE.from_preset("dalle")` looks: `dalle` in the folder
            GSS_KERAS_HOME, or in ~/.cache/gss_keras if that is not set.
        download: Download files that are not given to the folder
            `downloads` next to the default output.
        base_url: URL to download them from.
        any_size: Accept modules of other sizes than the released ones.
    """
    output = output or presets.home() / "dalle"
    try:
        encoder, decoder = _find_files(encoder, decoder, download, base_url)
        tokenizer, checked = convert(encoder, decoder, output, any_size)
    except (ImportError, OSError, ValueError) as error:
        # Downloaded files are reused, even invalid ones.
        cache = presets.home() / "downloads"
        hint = f"\nDelete {cache} to download them again" if download else ""
        sys.exit(f"error: {error}{hint}")
    print(f"{tokenizer.count_params():,} parameters, all tensors converted")
    print(
        f"reconstruction of a synthetic maskige: PSNR {checked.psnr:.1f} dB, "
        f"see {writing.picture_of(output)}"
    )
    if checked.psnr < MINIMAL_PSNR:
        print(
            f"warning: below {MINIMAL_PSNR:.0f} dB, these are probably not the "
            "weights of a trained tokenizer"
        )
    print(f"wrote {output} with the {keras.backend.backend()} backend")
    print("The license asks you to clearly indicate that DALL-E was used.")


def _find_files(encoder, decoder, is_download, base_url):
    """Return the paths of both files, downloaded if allowed."""
    files = {"encoder.pkl": encoder, "decoder.pkl": decoder}
    missing = [name for name, path in files.items() if path is None]
    if missing and not is_download:
        raise ValueError(
            "Both files must be given with `--encoder` and `--decoder`, or "
            "downloaded with `--download`. "
            f"Received: {' and '.join(missing)} not given"
        )
    for name in missing:
        files[name] = presets.home() / "downloads" / name
        download(f"{base_url.rstrip('/')}/{name}", files[name])
    return files.values()


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
