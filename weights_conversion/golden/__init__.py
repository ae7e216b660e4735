"""Compares our models with golden files of the official modules.

A golden file holds the weights of a module (`sd/...`), its inputs (`in/...`)
and its outputs (`out/...`) in PyTorch's layout, and its configuration in
`meta`. `weights_conversion.verify` is the command.
"""
