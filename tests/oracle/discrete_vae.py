"""The tokenizer: DALL-E's encoder and decoder."""

import attr
import dall_e
import torch
from torch import nn
from torch.nn import functional


class DiscreteVAE(nn.Module):
    """DALL-E's discrete VAE: encoder and decoder for images in [0, 1].

    Args:
        n_hid: Channels of the encoder's first and the decoder's last blocks;
            the widest blocks have eight times as many.
        n_init: Channels of the decoder's input.
        vocab_size: Number of tokens.
        n_blk_per_group: Number of blocks at each resolution.
    """

    def __init__(self, n_hid, n_init, vocab_size, n_blk_per_group=2):
        super().__init__()
        self.vocab_size = vocab_size
        # The package rejects `n_hid` below 64 and `vocab_size` below 512.
        with attr.validators.disabled():
            self.encoder = dall_e.Encoder(
                n_hid=n_hid,
                n_blk_per_group=n_blk_per_group,
                vocab_size=vocab_size,
            )
            self.decoder = dall_e.Decoder(
                n_init=n_init,
                n_hid=n_hid,
                n_blk_per_group=n_blk_per_group,
                vocab_size=vocab_size,
            )
        self.requires_grad_(False)

    def encode(self, images):
        """Return the token logits `(N, V, H / 8, W / 8)` of images."""
        return self.encoder(dall_e.map_pixels(images))

    def statistics(self, tokens):
        """Return the decoder's 6 output channels for tokens `(N, h, w)`."""
        one_hot = functional.one_hot(tokens.long(), self.vocab_size)
        return self.decoder(one_hot.permute(0, 3, 1, 2).float())

    def decode(self, tokens):
        """Decode tokens to images `(N, 3, 8 h, 8 w)` in [0, 1]."""
        return as_image(self.statistics(tokens))

    def forward(self, images):
        return self.decode(self.encode(images).argmax(1))


def as_image(statistics):
    """Convert the decoder's output channels to an image in [0, 1]."""
    return dall_e.unmap_pixels(torch.sigmoid(statistics[:, :3]))
