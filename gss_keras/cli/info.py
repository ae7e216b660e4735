"""`gss-keras info`: show a preset and its FLOPs."""

import dataclasses

import keras

from gss_keras.cli.command import OK, Command, echo
from gss_keras.ops.flops import count_flops
from gss_keras.saving import presets


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(Command):
    """Show a preset's model card, classes, parameters and FLOPs."""

    preset: str
    """Folder or name of a preset; "list" to list all names."""
    size: tuple[int, int] = (512, 512)
    """Height and width of the photo for which FLOPs are counted."""
    cost: bool = True
    """Count the FLOPs, which takes seconds for a large model."""

    def run(self):
        """Print the description of a preset."""
        if self.preset == "list":
            return OK, _list_presets()
        folder = presets.find(self.preset, load_weights=False)
        weights = folder / "model.weights.h5"
        # Nothing that is shown depends on the weights.
        model = presets.PresetMixin.from_preset(folder, load_weights=False)
        card = folder / "README.md"
        report = {
            "preset": self.preset,
            "folder": str(folder),
            "kind": type(model).__name__,
            "card": card.read_text(encoding="utf-8") if card.exists() else "",
            "has_weights": weights.exists(),
            "file_size": weights.stat().st_size if weights.exists() else None,
            "parameters": _parameters(model),
            "classes": getattr(model, "classes", None),
            "num_classes": getattr(model, "num_classes", None),
            "window": getattr(model, "window", None),
        }
        if self.cost:
            report["size"] = self.size
            report["gigaflops"] = self._gigaflops(model)
        _echo_report(report)
        return OK, report

    def _gigaflops(self, model):
        """Return the GFLOPs of a photo without windows, None if unknown."""
        shape = (1, *self.size, 3)
        if not hasattr(model, "predict_logits"):
            return None
        count = count_flops(lambda photos: model(photos), shape)
        return round(count / 1e9, 3)


def _list_presets():
    names = {"bundled": presets.bundled(), "published": presets.published()}
    home = presets.home()
    found = sorted(p.parent.name for p in home.glob("*/config.json"))
    names["converted"] = found
    for kind, members in names.items():
        echo(f"{kind}: {', '.join(members) or '(none)'}")
    echo(f"(converted presets are looked up by name in {home})")
    return names


def _parameters(model):
    """Return the parameter counts of the model and of its parts."""
    parts = {"all": model.count_params()}
    prior = getattr(model, "prior", model)
    posterior = getattr(prior, "posterior", prior)
    for name, holder in (
        ("backbone", prior),
        ("tokenizer", posterior),
        ("inverse", posterior),
    ):
        part = getattr(holder, name, None)
        if isinstance(part, keras.layers.Layer):
            parts[name] = part.count_params()
    return parts


def _echo_report(report):
    echo(report["card"].rstrip(), "")
    parts = [f"{n} {count:,}" for n, count in report["parameters"].items()]
    rows = {
        "folder": report["folder"],
        "kind": report["kind"],
        "parameters": ", ".join(parts),
        "weights": "not included: see the model card above",
    }
    if report["has_weights"]:
        rows["weights"] = f"{report['file_size'] / 1e6:.1f} MB"
    if report["num_classes"]:
        names = report["classes"] or ("names unknown",)
        rows["classes"] = f"{report['num_classes']}: {', '.join(names)}"
    if report["window"]:
        rows["window"] = "{} x {}".format(*report["window"])
    if report.get("gigaflops") is not None:
        size = "{} x {}".format(*report["size"])
        rows["cost"] = f"{report['gigaflops']:.1f} GFLOPs for {size} pixels"
    for name, text in rows.items():
        echo(f"{name + ':':12} {text}")
