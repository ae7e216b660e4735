"""Compare our models with golden files of the official modules.

A golden file has the weights of a module (`sd/...`), its inputs (`in/...`)
and its outputs (`out/...`) in PyTorch's layout, and its configuration in
`meta`. Run it with `python -m weights_conversion.verify`.
"""
