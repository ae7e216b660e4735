"""The tokenizer, a discrete VAE between maskiges and tokens."""

from gss_keras.tokenizer.discrete_vae import DiscreteVAE

__all__ = ["DiscreteVAE"]
