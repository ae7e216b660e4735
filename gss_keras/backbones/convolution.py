"""Earlier home of layers that are now in `gss_keras.layers.conv_norm`."""

from gss_keras.layers.conv_norm import ConvolutionBlock, convolution_blocks

__all__ = ["ConvolutionBlock", "convolution_blocks"]
