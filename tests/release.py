"""Weights of the released heads, by their names there."""


def head_tensors(golden):
    """Return a golden file's tensors of the head, without its tokenizer."""
    return {
        name.removeprefix("sd/"): array
        for name, array in golden.items()
        if name.startswith("sd/") and not name.startswith("sd/d_vae.")
    }
