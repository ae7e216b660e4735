import importlib
import pathlib
import sys

import keras
import pytest
from tiny import tiny_prior

import gss_keras

jax = pytest.importorskip("jax")

# Benchmarks are scripts: what they import lies beside them.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
counting = importlib.import_module("counting")
recipe_costs = importlib.import_module("recipe_costs")

any_backend = pytest.mark.any_backend
on_jax = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="it is JAX's step that is counted"
)


def shape(*sizes, dtype="float32"):
    return jax.ShapeDtypeStruct(sizes, dtype)


def convolve(maps, kernel, stride=1):
    return jax.lax.conv_general_dilated(
        maps, kernel, (stride, stride), "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip


def attend(query, key, value):
    scores = jax.nn.softmax(query @ key.swapaxes(-1, -2))
    return scores @ value


# Two for each product: (output entries) x (entries of a kernel or a row).
CASES = {
    "dense": (
        lambda x, w: x @ w,
        [shape(6, 10), shape(10, 4)],
        2 * 6 * 4 * 10,
    ),
    "convolution": (
        convolve,
        [shape(2, 9, 8, 5), shape(3, 3, 5, 7)],
        2 * (2 * 7 * 6 * 7) * (3 * 3 * 5),
    ),
    "convolution with a stride": (
        lambda x, w: convolve(x, w, 2),
        [shape(2, 9, 9, 5), shape(3, 3, 5, 7)],
        2 * (2 * 4 * 4 * 7) * (3 * 3 * 5),
    ),
    "attention": (
        attend,
        [shape(3, 2, 49, 8)] * 3,
        2 * (2 * (3 * 2 * 49 * 49) * 8),
    ),
}


@any_backend
@pytest.mark.parametrize("case", CASES)
def test_products_are_those_counted_by_hand(case):
    function, arguments, by_hand = CASES[case]
    counted = counting.trace(function, *arguments).products()
    assert counted == {"float32": by_hand}
    # XLA counts the softmax of the attention too.
    lowered = jax.jit(function).lower(*arguments)
    xla = lowered.cost_analysis()["flops"]
    assert by_hand <= xla <= by_hand * (1.3 if case == "attention" else 1.0)


@any_backend
@pytest.mark.parametrize("case", ["dense", "convolution", "attention"])
def test_a_gradient_costs_twice_the_forward_pass(case):
    function, arguments, by_hand = CASES[case]
    step = jax.value_and_grad(
        lambda *arrays: (function(*arrays) ** 2).sum(),
        argnums=tuple(range(len(arguments))),
    )
    counted = counting.trace(step, *arguments).products()["float32"]
    if case == "convolution":
        # The gradient of the maps slides over their margins too.
        margin = (9 * 8) / (7 * 6)
        assert counted == pytest.approx((2 + margin) * by_hand)
    else:
        assert counted == 3 * by_hand


@any_backend
def test_products_are_told_apart_by_type():
    def function(x, w):
        half = x.astype("bfloat16") @ w.astype("bfloat16")
        return x @ w + half

    counted = counting.trace(function, shape(6, 10), shape(10, 4)).products()
    assert counted == {"float32": 480, "bfloat16": 480}


@any_backend
def test_what_is_called_twice_or_in_a_loop_counts_as_often():
    product = jax.jit(lambda x, w: x @ w)

    def twice(x, w):
        return product(product(x, w), w)

    def loop(x, w):
        return jax.lax.scan(lambda x, _: (x @ w, None), x, None, length=7)[0]

    arguments = shape(6, 4), shape(4, 4)
    one = 2 * 6 * 4 * 4
    assert counting.trace(twice, *arguments).products() == {"float32": 2 * one}
    assert counting.trace(loop, *arguments).products() == {"float32": 7 * one}


@any_backend
def test_nothing_is_counted_that_no_result_needs():
    def function(x, w):
        x @ w
        return x + 1

    program = counting.trace(function, shape(6, 4), shape(4, 4))
    assert not program.products()


@any_backend
def test_memory_of_a_gradient_is_that_counted_by_hand():
    def loss(first, second, x):
        hidden = jax.nn.relu(x @ first)
        return (hidden @ second).sum()

    def step(first, second, x):
        value, gradients = jax.value_and_grad(loss, (0, 1))(first, second, x)
        return value, gradients, first, second

    arguments = shape(10, 20), shape(20, 3), shape(100, 10)
    need = counting.memory(counting.trace(step, *arguments))
    floats, flags = 4, 1
    assert need.state == floats * (10 * 20 + 20 * 3 + 100 * 10)
    # The hidden map for the second layer, where it is above 0 for the first,
    # and the loss.
    assert need.kept == 100 * 20 * (floats + flags) + floats


@any_backend
def test_fusing_computes_elementwise_results_again():
    def function(x, w):
        return (jax.numpy.exp(x) @ w).sum() + (jax.numpy.sin(x) @ w).sum()

    program = counting.trace(function, shape(50, 40), shape(40, 2))
    written = counting.memory(program).beyond_state
    fused = counting.memory(program, "everything").beyond_state
    maps, products, sums = 50 * 40 * 4, 50 * 2 * 4, 2 * 4
    assert written >= maps + products
    assert fused <= products + sums


@any_backend
def test_time_is_the_longer_of_products_and_bytes():
    program = counting.trace(lambda x, w: x @ w, shape(6, 10), shape(10, 4))
    flops, moved = 480, 4 * (60 + 40 + 24)
    slow, fast = {"float32": 10.0}, {"float32": 1e9}
    assert counting.seconds(program, slow, 1e9) == flops / 10
    assert counting.seconds(program, fast, 10.0) == moved / 10


@any_backend
def test_programs_of_other_functions_have_no_batch_between():
    one = counting.trace(lambda x: x + 1, shape(2))
    two = counting.trace(lambda x: x @ x.T, shape(3, 3))
    with pytest.raises(ValueError, match="same program at two batch sizes"):
        counting.at_batch(one, two, (2, 3), 4)


@pytest.fixture(scope="module")
def segmenter_step():
    prior = tiny_prior()
    segmenter = gss_keras.GenerativeSegmenter(prior)
    model = recipe_costs.compiled(segmenter, trains_inverse=False)
    return model, recipe_costs.training_step(model)


@on_jax
def test_any_batch_follows_from_two(segmenter_step):
    model, step = segmenter_step

    def traced(batch):
        return counting.trace(step, *recipe_costs.arguments(model, 32, batch))

    between = counting.at_batch(traced(2), traced(3), (2, 3), 5)
    truth = traced(5)
    assert counting.memory(between) == counting.memory(truth)
    assert between.products() == pytest.approx(truth.products())


@on_jax
def test_counts_of_a_step_lie_near_what_the_compiler_plans(segmenter_step):
    model, step = segmenter_step
    arguments = recipe_costs.arguments(model, 96, 4)
    program = counting.trace(step, *arguments)
    lowered = jax.jit(step, donate_argnums=(0, 1, 2, 3)).lower(*arguments)
    flops = sum(program.products().values())
    xla = lowered.cost_analysis()["flops"]
    assert flops < xla < 2 * flops
    planned = lowered.compile().memory_analysis().temp_size_in_bytes
    fused = counting.memory(program, "everything").beyond_state
    written = counting.memory(program).beyond_state
    assert 0.8 * fused < planned < 1.2 * written


@on_jax
def test_the_step_is_that_of_fit(segmenter_step):
    model, step = segmenter_step
    *state, photos, masks = recipe_costs.arguments(model, 32, 2)
    ours = jax.jit(step).lower(*state, photos, masks)
    theirs = jax.jit(model.train_step).lower(tuple(state), (photos, masks))
    flops = [lowered.cost_analysis()["flops"] for lowered in (ours, theirs)]
    # Keras keeps the mean of the loss as well.
    assert flops[0] == pytest.approx(flops[1], rel=1e-5)


@on_jax
def test_published_counts_of_the_official_tokenizer_are_met():
    """GFLOP of the official encoder and decoder for a photo of 256 x 256.

    In strips, the rows that two of them need are computed twice.
    """
    made = []
    jax.eval_shape(lambda: made.append(gss_keras.DiscreteVAE()))
    (tokenizer,) = made
    weights = [shape(*v.shape) for v in tokenizer.variables]

    def apply(answer):
        def run(weights, inputs):
            mapping = zip(tokenizer.variables, weights, strict=True)
            with keras.StatelessScope(state_mapping=list(mapping)):
                return answer(inputs)

        return run

    encoder = counting.trace(
        apply(tokenizer.encode_logits), weights, shape(1, 512, 512, 3)
    )
    decoder = counting.trace(
        apply(
            lambda tokens: tokenizer.decode_features(tokenizer.lookup(tokens))
        ),
        weights,
        shape(1, 64, 64, dtype="int32"),
    )
    assert encoder.products()["float32"] == pytest.approx(1089e9, rel=1e-3)
    # Tokens are looked up where the official decoder multiplies one-hots.
    saved = 2 * 64 * 64 * 8192 * 128
    # After each doubling, a 1x1 convolution and the shortcut wait at a quarter
    # of the positions, and four 2x2 kernels stand for a 3x3 one.
    for side, before, after in [
        (128, 2048, 1024),
        (256, 1024, 512),
        (512, 512, 256),
    ]:
        branch = after // 4
        waiting = 3 / 4 * before * (branch + after) + (9 - 4) * branch**2
        saved += 2 * side**2 * waiting
    official = decoder.products()["float32"] + saved
    assert official == pytest.approx(1232e9, rel=1e-3)
    strips = counting.trace(
        apply(tokenizer.decode), weights, shape(1, 64, 64, dtype="int32")
    )
    twice = strips.products()["float32"] / decoder.products()["float32"]
    assert 1 < twice < 1.06
