"""`gss-keras info`: what a preset is and what it costs."""

import dataclasses

import keras

from gss_keras.cli.command import OK, Command, say
from gss_keras.ops.flops import count_products
from gss_keras.saving import presets


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(Command):
    """Show a preset: its card, classes, parameters and cost."""

    preset: str
    """Folder or name of a preset; "list" for the names there are."""
    size: tuple[int, int] = (512, 512)
    """Height and width of the photo whose cost is counted."""
    cost: bool = True
    """Count what a photo costs; seconds for a large model."""

    def run(self):
        """Say everything that is known of a preset."""
        if self.preset == "list":
            return OK, _list()
        folder = presets.find(self.preset, load_weights=False)
        weights = folder / "model.weights.h5"
        # What it is and costs does not depend on the weights.
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
            report["gigaflops"] = self._cost(model)
        _say(report)
        return OK, report

    def _cost(self, model):
        """Return the GFLOP of a photo in one piece, None where unknown."""
        shape = (1, *self.size, 3)
        if not hasattr(model, "predict_logits"):
            return None
        count = count_products(lambda photos: model(photos), shape)
        return round(count / 1e9, 3)


def _list():
    names = {"bundled": presets.bundled(), "published": presets.published()}
    home = presets.home()
    found = sorted(p.parent.name for p in home.glob("*/config.json"))
    names["converted"] = found
    for kind, members in names.items():
        say(f"{kind}: {', '.join(members) or '(none)'}")
    say(f"(converted presets are found by name in {home})")
    return names


def _parameters(model):
    """Return the number of parameters, of the whole and of its parts."""
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


def _say(report):
    say(report["card"].rstrip(), "")
    parts = [f"{n} {count:,}" for n, count in report["parameters"].items()]
    rows = {
        "folder": report["folder"],
        "kind": report["kind"],
        "parameters": ", ".join(parts),
        "weights": "not here: see the card above",
    }
    if report["has_weights"]:
        rows["weights"] = f"{report['file_size'] / 1e6:.1f} MB"
    if report["num_classes"]:
        names = report["classes"] or ("names not known",)
        rows["classes"] = f"{report['num_classes']}: {', '.join(names)}"
    if report["window"]:
        rows["window"] = "{} x {}".format(*report["window"])
    if report.get("gigaflops") is not None:
        size = "{} x {}".format(*report["size"])
        rows["cost"] = f"{report['gigaflops']:.1f} GFLOP for {size} pixels"
    for name, text in rows.items():
        say(f"{name + ':':12} {text}")
