"""Estimate FLOPs, memory and time of a training step of each published recipe.

Each published model is built and its training step traced with abstract
arrays, so the costs of a step that needs a large GPU are estimated on any
laptop, in a gigabyte. It is the step that Keras' `fit` compiles on JAX:
forward and backward pass, the frozen tokenizer, AdamW. `counting.py` describes
how FLOPs, memory and time are estimated. The Markdown tables take a quarter of
an hour on two cores:

    KERAS_BACKEND=jax python benchmarks/recipe_costs.py

`--check` compares the estimates with XLA's FLOP count and memory plan for a
CPU.
"""

import dataclasses
import math
import sys

import jax
import keras
import tyro
from counting import at_batch, memory, seconds, trace

import gss_keras

GIGA, TERA = 1e9, 1e12
BATCHES, DEVICES = (1, 2, 4, 8), 8
# Two batch sizes to trace; the program may differ at a batch size of 1.
TRACED = (2, 3)
MEMORIES = (16, 24, 40, 80)
# Fraction of a GPU's memory left by CUDA, cuDNN workspaces, fragmentation.
USABLE = 0.9 * 2**30
# Layers to rematerialize in the backward pass: only those that are called
# without keyword arguments, or `RematScope` fails on TensorFlow and JAX.
RECOMPUTED = ["attention", "attention_norm", "mlp_norm"]
# From dtype policy and whether layers are rematerialized to a label.
SETUPS = {
    ("float32", False): "float32",
    ("mixed_bfloat16", False): "mixed",
    ("mixed_bfloat16", True): "mixed, recomputed",
}
# Crop size of the steps that are compiled to check the estimates.
CHECKED = 256
MODELS = [
    "preset", "trainable, M", "frozen, M", "parameters, GB", "moments, GB",
    "gradients, GB", "token logits, GB", "TFLOP", "frozen part, TFLOP",
]  # fmt: skip
MEMORY = [
    "preset", "setup", "activations of a photo",
    *(f"peak at {batch}" for batch in BATCHES),
    *(f"{size} GB" for size in MEMORIES),
]  # fmt: skip
TIMES = ["preset", "setup", "batch per GPU"] + [
    f"{name} {unit}" for name in ("A100", "H100") for unit in ("ms", "hours")
]
CHECKS = [
    "preset", "TFLOP", "XLA's", "fused, GB", "unfused, GB", "XLA's, GB",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A published recipe, with the paper's batch size and number of steps."""

    preset: str
    crop: int
    batch: int
    steps: int

    @property
    def trains_inverse(self):
        """Whether FT-W's inverse is trained, on top of a frozen prior."""
        return "_ft_w_" in self.preset


RECIPES = [
    Recipe("gss_ff_resnet101_cityscapes", 768, 16, 80_000),
    Recipe("gss_ff_swin_large_cityscapes", 768, 16, 80_000),
    Recipe("gss_ff_swin_large_ade20k", 512, 32, 160_000),
    Recipe("gss_ff_hrnet_w48_mseg", 512, 16, 160_000),
    Recipe("gss_ff_swin_large_mseg", 512, 16, 160_000),
    Recipe("gss_ft_w_resnet101_cityscapes", 768, 16, 80_000),
    Recipe("gss_ft_w_swin_large_cityscapes", 768, 16, 40_000),
    Recipe("gss_ft_w_swin_large_ade20k", 512, 32, 40_000),
    Recipe("gss_ft_w_hrnet_w48_mseg", 512, 16, 160_000),
    Recipe("gss_ft_w_swin_large_mseg", 512, 16, 40_000),
]


@dataclasses.dataclass(frozen=True)
class GPU:
    """Data sheet of a GPU: FLOP/s without sparsity, bytes/s.

    Float32 matrix products use TF32, the default of JAX and TensorFlow.
    """

    name: str
    bfloat16: float
    float32: float
    bandwidth: float


GPUS = [
    GPU("A100", 312 * TERA, 156 * TERA, 2.039 * TERA),
    GPU("H100", 989 * TERA, 494 * TERA, 3.35 * TERA),
]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings.

    Attributes:
        presets: Names of published models; by default all.
        check: Whether to compile a step on one photo for a CPU instead, which
            takes minutes for each model, and compare XLA's FLOPs and memory
            with the estimates.
    """

    presets: tuple[str, ...] = tuple(recipe.preset for recipe in RECIPES)
    check: bool = False


def build(recipe, policy="float32", is_recomputed=False):
    """Build the model that a recipe trains, with abstract weights."""
    built = []

    def construct():
        segmenter = gss_keras.GenerativeSegmenter.from_preset(
            recipe.preset, load_weights=False
        )
        built.append(compiled(segmenter, recipe.trains_inverse))

    names = RECOMPUTED if is_recomputed else []
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        with keras.RematScope("list_of_layers", layer_names=names):
            jax.eval_shape(construct)
    finally:
        keras.config.set_dtype_policy(before)
    return built[0]


def compiled(segmenter, trains_inverse):
    """Return the stage of a segmenter to train, compiled with AdamW."""
    model = segmenter.prior
    if trains_inverse:
        # The preset's inverse is float32; a new one follows the policy.
        old = segmenter.posterior.inverse
        inverse = type(old)(old.num_classes, palette=old.palette, **old.sizes)
        model = gss_keras.GenerativeSegmenter(segmenter.prior, inverse=inverse)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.01))
    model.optimizer.build(model.trainable_variables)
    return model


def training_step(model):
    """Return the training step of `fit` as a stateless function.

    Args:
        model: A compiled stage with a built optimizer.

    Returns:
        Function from trainable, non-trainable, optimizer and metrics
        variables, photos and masks to the loss and the four lists of updated
        variables.
    """
    differentiate = jax.value_and_grad(
        model.compute_loss_and_updates, has_aux=True
    )

    def step(trainable, frozen, optimizer, metrics, photos, masks):
        (loss, (_, _, frozen, metrics)), gradients = differentiate(
            trainable, frozen, metrics, photos, masks, None,
            training=True, optimizer_variables=optimizer,
        )  # fmt: skip
        trainable, optimizer = model.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        return loss, trainable, frozen, optimizer, metrics

    return step


def arguments(model, crop, batch):
    """Return the shapes and dtypes of a training step's arguments."""
    state = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    photos = jax.ShapeDtypeStruct((batch, crop, crop, 3), "uint8")
    masks = jax.ShapeDtypeStruct((batch, crop, crop), "int32")
    return (*([_shape(v) for v in part] for part in state), photos, masks)


def _shape(variable):
    return jax.ShapeDtypeStruct(variable.shape, variable.dtype)


def frozen_program(model, crop):
    """Trace the frozen part of a training step, for one photo."""
    photos, masks = arguments(model, crop, 1)[-2:]
    tokenizer = model.posterior.tokenizer

    def run(state, photos, masks):
        mapping = list(zip(model.variables, state, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            if hasattr(model, "prior"):
                return tokenizer.decode(model.prior.predict_tokens(photos))
            return model.posterior.encode(masks)

    return trace(run, [_shape(v) for v in model.variables], photos, masks)


class Costs:
    """Costs of a recipe's training step on one GPU, at any batch size.

    Args:
        recipe: A `Recipe`.
        policy: Name of a Keras dtype policy.
        is_recomputed: Whether the layers named in `RECOMPUTED` are
            rematerialized in the backward pass.
    """

    def __init__(self, recipe, policy="float32", is_recomputed=False):
        self.recipe = recipe
        self.model = build(recipe, policy, is_recomputed)
        step = training_step(self.model)
        self.traced = [
            trace(step, *arguments(self.model, recipe.crop, batch))
            for batch in TRACED
        ]
        self.batch = recipe.batch / DEVICES

    def program(self, batch):
        """Return the program of a training step at a batch size."""
        return at_batch(*self.traced, TRACED, batch)

    def flops(self):
        """Return the FLOPs of a training step per photo."""
        one, two = (sum(p.flops().values()) for p in self.traced)
        return (two - one) / (TRACED[1] - TRACED[0])

    def seconds(self, gpu):
        """Return a lower bound on the seconds of a data-parallel step."""
        peaks = {"bfloat16": gpu.bfloat16, "float32": gpu.float32}
        return seconds(self.program(self.batch), peaks, gpu.bandwidth)


def model_row(costs):
    """Return the table row of sizes that hold for any batch size."""
    model, crop = costs.model, costs.recipe.crop
    trainable = sum(_size(v) for v in model.trainable_variables)
    frozen = sum(_size(v) for v in model.variables) - trainable
    frozen_flops = sum(frozen_program(model, crop).flops().values())
    logits = (crop // 4) ** 2 * model.posterior.tokenizer.codebook_size
    return [
        costs.recipe.preset,
        f"{trainable / 1e6:.1f}",
        f"{frozen / 1e6:.1f}",
        f"{4 * (trainable + frozen) / GIGA:.2f}",
        f"{8 * trainable / GIGA:.2f}",
        f"{4 * trainable / GIGA:.2f}",
        f"{4 * logits / GIGA:.2f}",
        f"{costs.flops() / TERA:.2f}",
        f"{frozen_flops / TERA:.2f}",
    ]


def _size(variable):
    return math.prod(variable.shape)


def memory_row(costs, label):
    """Return the table row of one GPU's memory by batch size."""
    programs = {batch: costs.program(batch) for batch in BATCHES}
    estimates = [
        {batch: memory(program, fused) for batch, program in programs.items()}
        for fused in ("everything", "nothing")
    ]
    activations = [by_batch[1].activations / GIGA for by_batch in estimates]
    peaks = [
        [by_batch[batch].peak / GIGA for by_batch in estimates]
        for batch in BATCHES
    ]
    largest_batches = [
        [
            max(
                (b for b in BATCHES if by_batch[b].peak <= size * USABLE),
                default=0,
            )
            for by_batch in estimates[::-1]
        ]
        for size in MEMORIES
    ]
    return [
        costs.recipe.preset,
        label,
        "{:.1f} - {:.1f}".format(*activations),
        *("{:.0f} - {:.0f}".format(*peak) for peak in peaks),
        *(" - ".join(map(str, dict.fromkeys(b))) for b in largest_batches),
    ]


def time_row(costs, label):
    """Return the table row of lower bounds on the training time."""
    cells = [costs.recipe.preset, label, f"{costs.batch:.0f}"]
    for gpu in GPUS:
        step = costs.seconds(gpu)
        cells += [
            f"{1000 * step:.0f}",
            f"{costs.recipe.steps * step / 3600:.0f}",
        ]
    return cells


def check_row(costs):
    """Return the table row of estimates next to XLA's for a CPU."""
    step = training_step(costs.model)
    shapes = arguments(costs.model, costs.recipe.crop, 1)
    program = trace(step, *shapes)
    lowered = jax.jit(step, donate_argnums=(0, 1, 2, 3)).lower(*shapes)
    planned = lowered.compile().memory_analysis()
    return [
        costs.recipe.preset,
        f"{sum(program.flops().values()) / TERA:.3f}",
        f"{lowered.cost_analysis()['flops'] / TERA:.3f}",
        f"{memory(program, 'everything').temporary / GIGA:.2f}",
        f"{memory(program).temporary / GIGA:.2f}",
        f"{planned.temp_size_in_bytes / GIGA:.2f}",
    ]


def show(title, columns, rows):
    """Print a Markdown table."""
    print(f"## {title}", "", sep="\n")
    for cells in [columns, ["---"] * len(columns), *rows]:
        print("|", " | ".join(cells), "|")
    print(flush=True)


def main(settings):
    """Print the tables."""
    if keras.backend.backend() != "jax":
        raise SystemExit(
            "The backend must be JAX, whose training step is traced. Set "
            "KERAS_BACKEND=jax. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    recipes = [r for r in RECIPES if r.preset in settings.presets]
    if settings.check:
        show(
            f"One photo of {CHECKED} x {CHECKED}, float32, compared with XLA",
            CHECKS,
            [
                check_row(Costs(dataclasses.replace(recipe, crop=CHECKED)))
                for recipe in recipes
            ],
        )
        return
    tables = [], [], []
    for recipe in recipes:
        for (policy, is_recomputed), label in SETUPS.items():
            costs = Costs(recipe, policy, is_recomputed)
            if policy == "float32":
                tables[0].append(model_row(costs))
            tables[1].append(memory_row(costs, label))
            tables[2].append(time_row(costs, label))
            print(*tables[1][-1], *tables[2][-1][2:], file=sys.stderr)
    show("Models, and costs of a training step per photo", MODELS, tables[0])
    show("Memory of one GPU", MEMORY, tables[1])
    show(f"Lower bounds on the time on {DEVICES} GPUs", TIMES, tables[2])


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
