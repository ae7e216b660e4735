import importlib
import pathlib
import sys

import keras
import pytest
from tiny import tiny_prior

import gss_keras

jax = pytest.importorskip("jax")

# Benchmarks are scripts that import modules beside them.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
counting = importlib.import_module("counting")
recipe_costs = importlib.import_module("recipe_costs")

any_backend = pytest.mark.any_backend
on_jax = pytest.mark.skipif(
    keras.backend.backend() != "jax",
    reason="the costs are those of JAX's training step",
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


# Two FLOPs for each MAC: output size x size of a kernel or a row.
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
def test_flops_match_counts_by_hand(case):
    function, arguments, by_hand = CASES[case]
    counted = counting.trace(function, *arguments).flops()
    assert counted == {"float32": by_hand}
    # XLA counts the softmax of attention too.
    lowered = jax.jit(function).lower(*arguments)
    xla = lowered.cost_analysis()["flops"]
    assert by_hand <= xla <= by_hand * (1.3 if case == "attention" else 1.0)


@any_backend
@pytest.mark.parametrize("case", ["dense", "convolution", "attention"])
def test_a_backward_pass_costs_twice_the_forward_pass(case):
    function, arguments, by_hand = CASES[case]
    step = jax.value_and_grad(
        lambda *arrays: (function(*arrays) ** 2).sum(),
        argnums=tuple(range(len(arguments))),
    )
    counted = counting.trace(step, *arguments).flops()["float32"]
    if case == "convolution":
        # The gradient of the input has its size, larger than the output's.
        ratio = (9 * 8) / (7 * 6)
        assert counted == pytest.approx((2 + ratio) * by_hand)
    else:
        assert counted == 3 * by_hand


@any_backend
def test_flops_are_counted_by_dtype():
    def function(x, w):
        half = x.astype("bfloat16") @ w.astype("bfloat16")
        return x @ w + half

    counted = counting.trace(function, shape(6, 10), shape(10, 4)).flops()
    assert counted == {"float32": 480, "bfloat16": 480}


@any_backend
def test_flops_of_calls_and_loops():
    product = jax.jit(lambda x, w: x @ w)

    def twice(x, w):
        return product(product(x, w), w)

    def loop(x, w):
        return jax.lax.scan(lambda x, _: (x @ w, None), x, None, length=7)[0]

    arguments = shape(6, 4), shape(4, 4)
    one = 2 * 6 * 4 * 4
    assert counting.trace(twice, *arguments).flops() == {"float32": 2 * one}
    assert counting.trace(loop, *arguments).flops() == {"float32": 7 * one}


@any_backend
def test_dead_code_is_not_counted():
    def function(x, w):
        x @ w
        return x + 1

    program = counting.trace(function, shape(6, 4), shape(4, 4))
    assert not program.flops()


@any_backend
def test_memory_of_a_gradient_matches_a_count_by_hand():
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
    # The hidden activations for the second layer's gradient, the ReLU's mask
    # for the first layer's, and the loss.
    assert need.activations == 100 * 20 * (floats + flags) + floats


@any_backend
def test_fused_elementwise_results_are_recomputed():
    def function(x, w):
        return (jax.numpy.exp(x) @ w).sum() + (jax.numpy.sin(x) @ w).sum()

    program = counting.trace(function, shape(50, 40), shape(40, 2))
    unfused = counting.memory(program).temporary
    fused = counting.memory(program, "everything").temporary
    maps, products, sums = 50 * 40 * 4, 50 * 2 * 4, 2 * 4
    assert unfused >= maps + products
    assert fused <= products + sums


@any_backend
def test_time_is_bound_by_compute_or_bandwidth():
    program = counting.trace(lambda x, w: x @ w, shape(6, 10), shape(10, 4))
    flops, traffic = 480, 4 * (60 + 40 + 24)
    slow, fast = {"float32": 10.0}, {"float32": 1e9}
    assert counting.seconds(program, slow, 1e9) == flops / 10
    assert counting.seconds(program, fast, 10.0) == traffic / 10


@any_backend
def test_different_programs_cannot_be_interpolated():
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
def test_other_batch_sizes_are_extrapolated_from_two(segmenter_step):
    model, step = segmenter_step

    def traced(batch):
        return counting.trace(step, *recipe_costs.arguments(model, 32, batch))

    extrapolated = counting.at_batch(traced(2), traced(3), (2, 3), 5)
    truth = traced(5)
    assert counting.memory(extrapolated) == counting.memory(truth)
    assert extrapolated.flops() == pytest.approx(truth.flops())


@on_jax
def test_costs_of_a_step_are_close_to_those_of_the_compiler(segmenter_step):
    model, step = segmenter_step
    arguments = recipe_costs.arguments(model, 96, 4)
    program = counting.trace(step, *arguments)
    lowered = jax.jit(step, donate_argnums=(0, 1, 2, 3)).lower(*arguments)
    flops = sum(program.flops().values())
    xla = lowered.cost_analysis()["flops"]
    assert flops < xla < 2 * flops
    planned = lowered.compile().memory_analysis().temp_size_in_bytes
    fused = counting.memory(program, "everything").temporary
    unfused = counting.memory(program).temporary
    assert 0.8 * fused < planned < 1.2 * unfused


@on_jax
def test_the_step_equals_that_of_fit(segmenter_step):
    model, step = segmenter_step
    *state, photos, masks = recipe_costs.arguments(model, 32, 2)
    ours = jax.jit(step).lower(*state, photos, masks)
    theirs = jax.jit(model.train_step).lower(tuple(state), (photos, masks))
    flops = [lowered.cost_analysis()["flops"] for lowered in (ours, theirs)]
    # Keras tracks the mean loss as well.
    assert flops[0] == pytest.approx(flops[1], rel=1e-5)


@on_jax
def test_flops_of_the_official_tokenizer():
    """GFLOP of the official encoder and decoder for a photo of 256 x 256.

    With strips, the rows of the halo are computed twice.
    """
    built = []
    jax.eval_shape(lambda: built.append(gss_keras.DiscreteVAE()))
    (tokenizer,) = built
    weights = [shape(*v.shape) for v in tokenizer.variables]

    def stateless(function):
        def call(weights, inputs):
            mapping = zip(tokenizer.variables, weights, strict=True)
            with keras.StatelessScope(state_mapping=list(mapping)):
                return function(inputs)

        return call

    encoder = counting.trace(
        stateless(tokenizer.encode_logits), weights, shape(1, 512, 512, 3)
    )
    decoder = counting.trace(
        stateless(
            lambda tokens: tokenizer.decode_features(tokenizer.lookup(tokens))
        ),
        weights,
        shape(1, 64, 64, dtype="int32"),
    )
    assert encoder.flops()["float32"] == pytest.approx(1089e9, rel=1e-3)
    # The official decoder multiplies one-hot tokens by the embedding.
    saved = 2 * 64 * 64 * 8192 * 128
    # At each upsampling, a 1x1 convolution and the shortcut are computed
    # before it, at a quarter of the positions, and four 2x2 kernels replace a
    # 3x3 one.
    for side, before, after in [
        (128, 2048, 1024),
        (256, 1024, 512),
        (512, 512, 256),
    ]:
        branch = after // 4
        macs = 3 / 4 * before * (branch + after) + (9 - 4) * branch**2
        saved += 2 * side**2 * macs
    official = decoder.flops()["float32"] + saved
    assert official == pytest.approx(1232e9, rel=1e-3)
    strips = counting.trace(
        stateless(tokenizer.decode), weights, shape(1, 64, 64, dtype="int32")
    )
    ratio = strips.flops()["float32"] / decoder.flops()["float32"]
    assert 1 < ratio < 1.06
