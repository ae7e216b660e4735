"""Weights of the released `dall_e` modules, by their names there."""


def load_torch_weights(tokenizer, take):
    """Load weights of the `dall_e` modules, given by their torch name."""

    def put(convolution, name):
        kernel = take(f"{name}.w").transpose(2, 3, 1, 0)
        convolution.set_weights([kernel, take(f"{name}.b")])

    for side in ("encoder", "decoder"):
        model = getattr(tokenizer, side)
        for layer in model.layers:
            if not layer.name.startswith("group_"):
                continue
            group, block = layer.name.split("_")[1::2]
            prefix = f"{side}.blocks.group_{group}.block_{block}"
            if layer.shortcut is not None:
                put(layer.shortcut, f"{prefix}.id_path")
            for number, convolution in enumerate(layer.convolutions, start=1):
                put(convolution, f"{prefix}.res_path.conv_{number}")
    put(tokenizer.encoder.get_layer("input"), "encoder.blocks.input")
    put(tokenizer.to_logits, "encoder.blocks.output.conv")
    put(tokenizer.decoder.get_layer("output"), "decoder.blocks.output.conv")
    rows = take("decoder.blocks.input.w")[:, :, 0, 0].T
    tokenizer.lookup.set_weights([rows, take("decoder.blocks.input.b")])
