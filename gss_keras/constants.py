"""Constants of the method that every part of the package agrees on."""

# Class id of ignored pixels in masks.
IGNORE_LABEL = 255

# Strides of the feature maps of a backbone, finest first.
STRIDES = (4, 8, 16, 32)
