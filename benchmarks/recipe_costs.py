"""What a training step of each published recipe costs: counted, not run.

Every published model is built and its training step traced with arrays that
have a shape and no content, so that a step that needs a large GPU is counted
on any laptop, in a gigabyte. It is the step that Keras' `fit` compiles on
JAX: forward, backward, the frozen tokenizer, AdamW. How products, memory and
time are counted is told in `counting.py`. Tables in Markdown, in a quarter of
an hour on two cores:

    KERAS_BACKEND=jax python benchmarks/recipe_costs.py

`--check` compares the counts with what XLA counts and plans for a CPU.
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
# Two batch sizes to trace; at 1, arrays may take another course.
TRACED = (2, 3)
MEMORIES = (16, 24, 40, 80)
# Share of a GPU's GiB that CUDA, cuDNN's workspaces and gaps leave.
USABLE = 0.9 * 2**30
# Layers whose results can be computed anew in the backward pass: those that
# are called without keywords, or `RematScope` fails on TensorFlow and JAX.
RECOMPUTED = ["attention", "attention_norm", "perceptron_norm"]
# From the precision of a step, and whether layers are recomputed, to a label.
SETUPS = {
    ("float32", False): "float32",
    ("mixed_bfloat16", False): "mixed",
    ("mixed_bfloat16", True): "mixed, recomputed",
}
# Crop of the steps that are compiled to check the counts.
CHECKED = 256
MODELS = [
    "preset", "learned, M", "frozen, M", "parameters, GB", "moments, GB",
    "gradients, GB", "token logits, GB", "TFLOP", "frozen part, TFLOP",
]  # fmt: skip
NEEDS = [
    "preset", "setup", "kept for a photo",
    *(f"peak at {batch}" for batch in BATCHES),
    *(f"{size} GB" for size in MEMORIES),
]  # fmt: skip
TIMES = ["preset", "setup", "batch per GPU"] + [
    f"{name} {unit}" for name in ("A100", "H100") for unit in ("ms", "hours")
]
CHECKS = [
    "preset", "TFLOP", "XLA's", "fused, GB", "as written, GB", "XLA's, GB",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One published recipe; batch and steps are the paper's."""

    preset: str
    crop: int
    batch: int
    steps: int

    @property
    def trains_inverse(self):
        """Whether FT-W's inverse is trained, on what a frozen prior says."""
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
    """A GPU by its vendor's figures, FLOP/s without sparsity and bytes/s.

    Float32 products are rounded to TF32, as JAX and TensorFlow do there.
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
    """What to count.

    Attributes:
        presets: Names of published models; by default all.
        check: Whether to compile one photo's step for a CPU too, minutes for
            each model, and to set its memory beside the counted one.
    """

    presets: tuple[str, ...] = tuple(recipe.preset for recipe in RECIPES)
    check: bool = False


def build(recipe, policy="float32", is_recomputed=False):
    """Build the model that a recipe trains, with weights without content."""
    made = []

    def make():
        segmenter = gss_keras.GenerativeSegmenter.from_preset(
            recipe.preset, load_weights=False
        )
        made.append(compiled(segmenter, recipe.trains_inverse))

    names = RECOMPUTED if is_recomputed else []
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        with keras.RematScope("list_of_layers", layer_names=names):
            jax.eval_shape(make)
    finally:
        keras.config.set_dtype_policy(before)
    return made[0]


def compiled(segmenter, trains_inverse):
    """Return the stage of a segmenter that is trained, ready for a step."""
    model = segmenter.prior
    if trains_inverse:
        # A preset says float32; one made anew follows the policy.
        old = segmenter.posterior.inverse
        inverse = type(old)(old.num_classes, palette=old.palette, **old.sizes)
        model = gss_keras.GenerativeSegmenter(segmenter.prior, inverse=inverse)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.01))
    model.optimizer.build(model.trainable_variables)
    return model


def training_step(model):
    """Return the step of `fit` as a function of state and data.

    Args:
        model: A compiled stage with a built optimizer.

    Returns:
        Function from four lists of arrays, photos and masks to the loss and
        the four lists anew.
    """
    differentiate = jax.value_and_grad(
        model.compute_loss_and_updates, has_aux=True
    )

    def step(learned, fixed, optimizer, metrics, photos, masks):
        (loss, (_, _, fixed, metrics)), gradients = differentiate(
            learned, fixed, metrics, photos, masks, None,
            training=True, optimizer_variables=optimizer,
        )  # fmt: skip
        learned, optimizer = model.optimizer.stateless_apply(
            optimizer, gradients, learned
        )
        return loss, learned, fixed, optimizer, metrics

    return step


def arguments(model, crop, batch):
    """Return shapes and types of what a step takes."""
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
    """Trace what a step does for one photo without learning from it."""
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
    """The costs of a recipe's step at any batch size of one GPU.

    Args:
        recipe: A `Recipe`.
        policy: Keras' name of a precision.
        is_recomputed: Whether the layers named in `RECOMPUTED` are computed
            anew in the backward pass.
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
        """Return the step's program for a batch."""
        return at_batch(*self.traced, TRACED, batch)

    def flops(self):
        """Return the FLOPs of a step for each photo."""
        one, two = (sum(p.products().values()) for p in self.traced)
        return (two - one) / (TRACED[1] - TRACED[0])

    def seconds(self, gpu):
        """Return the least seconds of a step, the batch on all devices."""
        peaks = {"bfloat16": gpu.bfloat16, "float32": gpu.float32}
        return seconds(self.program(self.batch), peaks, gpu.bandwidth)


def model_row(costs):
    """Return a row of what does not depend on batch and precision."""
    model, crop = costs.model, costs.recipe.crop
    learned = sum(_count(v) for v in model.trainable_variables)
    fixed = sum(_count(v) for v in model.variables) - learned
    frozen = sum(frozen_program(model, crop).products().values())
    logits = (crop // 4) ** 2 * model.posterior.tokenizer.codebook_size
    return [
        costs.recipe.preset,
        f"{learned / 1e6:.1f}",
        f"{fixed / 1e6:.1f}",
        f"{4 * (learned + fixed) / GIGA:.2f}",
        f"{8 * learned / GIGA:.2f}",
        f"{4 * learned / GIGA:.2f}",
        f"{4 * logits / GIGA:.2f}",
        f"{costs.flops() / TERA:.2f}",
        f"{frozen / TERA:.2f}",
    ]


def _count(variable):
    return math.prod(variable.shape)


def memory_row(costs, label):
    """Return a row of the memory of one GPU by the batch it takes."""
    programs = {batch: costs.program(batch) for batch in BATCHES}
    needs = [
        {batch: memory(program, fused) for batch, program in programs.items()}
        for fused in ("everything", "nothing")
    ]
    kept = [need[1].kept / GIGA for need in needs]
    peaks = [[need[batch].peak / GIGA for need in needs] for batch in BATCHES]
    fits = [
        [
            max(
                (b for b in BATCHES if need[b].peak <= size * USABLE), default=0
            )
            for need in needs[::-1]
        ]
        for size in MEMORIES
    ]
    return [
        costs.recipe.preset,
        label,
        "{:.1f} - {:.1f}".format(*kept),
        *("{:.0f} - {:.0f}".format(*peak) for peak in peaks),
        *(" - ".join(map(str, dict.fromkeys(fit))) for fit in fits),
    ]


def time_row(costs, label):
    """Return a row of the least time on all devices."""
    cells = [costs.recipe.preset, label, f"{costs.batch:.0f}"]
    for gpu in GPUS:
        step = costs.seconds(gpu)
        cells += [
            f"{1000 * step:.0f}",
            f"{costs.recipe.steps * step / 3600:.0f}",
        ]
    return cells


def check_row(costs):
    """Return counted values of one photo's step beside XLA's for a CPU."""
    step = training_step(costs.model)
    shapes = arguments(costs.model, costs.recipe.crop, 1)
    counted = trace(step, *shapes)
    lowered = jax.jit(step, donate_argnums=(0, 1, 2, 3)).lower(*shapes)
    planned = lowered.compile().memory_analysis()
    return [
        costs.recipe.preset,
        f"{sum(counted.products().values()) / TERA:.3f}",
        f"{lowered.cost_analysis()['flops'] / TERA:.3f}",
        f"{memory(counted, 'everything').beyond_state / GIGA:.2f}",
        f"{memory(counted).beyond_state / GIGA:.2f}",
        f"{planned.temp_size_in_bytes / GIGA:.2f}",
    ]


def show(title, columns, rows):
    """Print a table in Markdown."""
    print(f"## {title}", "", sep="\n")
    for cells in [columns, ["---"] * len(columns), *rows]:
        print("|", " | ".join(cells), "|")
    print(flush=True)


def main(settings):
    """Print the tables."""
    if keras.backend.backend() != "jax":
        raise SystemExit("What is counted is JAX's step: set KERAS_BACKEND=jax")
    recipes = [r for r in RECIPES if r.preset in settings.presets]
    if settings.check:
        show(
            f"One photo of {CHECKED} x {CHECKED}, float32, beside XLA's plan",
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
    show("Models, and what one photo costs", MODELS, tables[0])
    show("Memory of one GPU", NEEDS, tables[1])
    show(f"Least time on {DEVICES} GPUs", TIMES, tables[2])


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
