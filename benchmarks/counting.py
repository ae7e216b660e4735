"""Count the products and the memory of a traced function without running it.

`trace` writes a function of JAX arrays down as a flat list of operations;
arrays without content (`jax.ShapeDtypeStruct`) are enough. What is counted:

* Products: those of matrix products and convolutions; a product with its
  addition counts as two FLOPs.
* Memory: an array lives from the operation that writes it to the last one
  that reads it. Views, broadcasts and casts to more bits take none, and an
  elementwise operation may write over what it reads last. Arguments that are
  not read again are given up too, as Keras gives up (donates) the state of a
  training step. Fused, no elementwise result takes memory: it is computed
  again wherever it is read. Compilers lie between the two.
* Time: an operation takes as long as its products at the peak of a GPU, or
  as its bytes at the bandwidth, whichever is longer. An elementwise result
  that is read once, by another elementwise operation or a reduction, is not
  moved. Nothing else is waited for, so this is a bound from below.
"""

import collections
import dataclasses
import math

import jax
from jax.extend import core

VIEWS = set(
    "broadcast_in_dim copy expand_dims iota optimization_barrier reshape"
    " squeeze stop_gradient".split()
)
ELEMENTWISE = set(
    "abs add add_any and bitcast_convert_type ceil clamp convert_element_type"
    " cos div eq erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow"
    " is_finite le log log1p logistic lt max min mul ne neg not or pow rem"
    " round rsqrt select_n shift_left shift_right_arithmetic"
    " shift_right_logical sign sin sqrt square sub tan tanh xor".split()
)
REDUCTIONS = {"argmax", "reduce_max", "reduce_min", "reduce_sum"}
CALLS = set(
    "checkpoint closed_call core_call custom_jvp_call custom_vjp_call jit pjit"
    " remat2".split()
)
BRANCHES = {"cond", "scan", "while"}


@dataclasses.dataclass
class Operation:
    """One operation: which arrays it reads and writes, what it multiplies.

    Attributes:
        name: JAX's name of the operation.
        inputs: Numbers of the arrays that it reads.
        outputs: Numbers of the arrays that it writes.
        products: FLOPs of its products by the type of their operands.
        workspace: Bytes that a loop needs inside.
    """

    name: str
    inputs: list
    outputs: list
    products: dict = dataclasses.field(default_factory=dict)
    workspace: float = 0.0


@dataclasses.dataclass
class Program:
    """A traced function: operations on numbered arrays.

    Attributes:
        operations: List of `Operation`, in the order of the program.
        arrays: Bytes of every array.
        arguments: Numbers of the arrays that are there before.
        results: Numbers of the arrays that are there afterwards.
    """

    operations: list
    arrays: list
    arguments: list
    results: list

    def products(self):
        """Return the FLOPs of all products by the type of their operands."""
        total = collections.Counter()
        for operation in self.operations:
            total.update(operation.products)
        return total


def trace(function, *arguments):
    """Return the `Program` of a function of arrays or their shapes."""
    return flatten(jax.make_jaxpr(function)(*arguments).jaxpr)


def flatten(jaxpr):
    """Write out what is called and drop what no result depends on."""
    program = Program([], [], [], [])
    scope = {}
    variables = [*jaxpr.invars, *jaxpr.constvars]
    program.arguments = [_number(program, scope, v) for v in variables]
    _write_out(program, scope, jaxpr)
    results = [_number(program, scope, v) for v in jaxpr.outvars]
    program.results = [array for array in results if array is not None]
    wanted, needed = set(program.results), []
    for operation in reversed(program.operations):
        if wanted.intersection(operation.outputs):
            wanted.update(operation.inputs)
            needed.append(operation)
    program.operations = needed[::-1]
    return program


def _number(program, scope, variable):
    """Return the number of a variable's array; None for a constant."""
    if isinstance(variable, core.Literal):
        return None
    if variable not in scope:
        # Random keys have a type of their own, without a size.
        size = getattr(variable.aval.dtype, "itemsize", 8)
        program.arrays.append(math.prod(variable.aval.shape) * size)
        scope[variable] = len(program.arrays) - 1
    return scope[variable]


def _write_out(program, scope, jaxpr):
    for equation in jaxpr.eqns:
        inputs = [_number(program, scope, v) for v in equation.invars]
        if equation.primitive.name not in CALLS:
            outputs = [_number(program, scope, v) for v in equation.outvars]
            inputs = [array for array in inputs if array is not None]
            program.operations.append(_operation(equation, inputs, outputs))
            continue
        (inner,) = _bodies(equation)
        # Variables of its own: the same function may be called elsewhere.
        called = dict(zip(inner.invars, inputs, strict=True))
        _write_out(program, called, inner)
        for outer, result in zip(equation.outvars, inner.outvars, strict=True):
            scope[outer] = _number(program, called, result)


def _bodies(equation):
    """Return the functions that an operation holds."""
    values = [
        body
        for value in equation.params.values()
        for body in (value if isinstance(value, tuple) else (value,))
    ]
    bodies = [getattr(value, "jaxpr", value) for value in values]
    return [body for body in bodies if hasattr(body, "eqns")]


def _operation(equation, inputs, outputs):
    operation = Operation(equation.primitive.name, inputs, outputs)
    if operation.name in ("dot_general", "conv_general_dilated"):
        is_dot = operation.name == "dot_general"
        count = _dot(equation) if is_dot else _convolution(equation)
        operation.products = {str(equation.invars[0].aval.dtype): count}
    elif operation.name in BRANCHES:
        programs = [flatten(body) for body in _bodies(equation)]
        largest = max(programs, key=lambda p: sum(p.products().values()))
        # How often a `while` goes round is not known: it counts once.
        rounds = equation.params.get("length", 1)
        operation.products = {
            dtype: rounds * count for dtype, count in largest.products().items()
        }
        operation.workspace = max(memory(p).beyond_state for p in programs)
    return operation


def _dot(equation):
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    terms = math.prod(left[axis] for axis in contracted)
    return 2 * terms * math.prod(equation.outvars[0].aval.shape)


def _convolution(equation):
    kernel = equation.invars[1].aval.shape
    axes = equation.params["dimension_numbers"].rhs_spec
    terms = math.prod(kernel[axis] for axis in axes[1:])
    # The zeros between the entries of a spread input are not multiplied.
    terms /= math.prod(equation.params["lhs_dilation"])
    return 2 * terms * math.prod(equation.outvars[0].aval.shape)


def stored(program, fused="nothing"):
    """Find out which arrays have to be in memory to have an array at hand.

    Args:
        program: A `Program`.
        fused: Which elementwise results are not stored but computed where
            they are read: "nothing", "chains" (those read once, by another
            elementwise operation or a reduction) or "everything".

    Returns:
        List of one set of numbers for each array: itself if it is stored,
        else the arrays that it is computed from.
    """
    readers = collections.defaultdict(list)
    for operation in reversed(program.operations):
        is_view = operation.name in VIEWS
        for array in set(operation.inputs):
            readers[array] += (
                readers[operation.outputs[0]] if is_view else [operation.name]
            )
    held = [{array} for array in range(len(program.arrays))]
    results = set(program.results)
    for operation in program.operations:
        array = operation.outputs[0]
        is_fused = operation.name in ELEMENTWISE and (
            fused == "everything"
            or fused == "chains"
            and len(readers[array]) == 1
            and readers[array][0] in ELEMENTWISE | REDUCTIONS
        )
        is_free = is_fused or _is_view(program, operation)
        if is_free and array not in results:
            held[array] = set().union(*(held[i] for i in operation.inputs))
    return held


def _is_view(program, operation):
    """Return whether a result takes no memory beside what it is made of."""
    if operation.name == "convert_element_type" and operation.inputs:
        before, after = operation.inputs[0], operation.outputs[0]
        return program.arrays[after] >= program.arrays[before]
    return operation.name in VIEWS


@dataclasses.dataclass
class Memory:
    """Bytes that a program needs.

    Attributes:
        state: Arguments.
        kept: What lives, beyond the state, when the first result is there:
            in a training step, the activations that the backward pass reads.
        peak: The most that lives at any time, state included.
    """

    state: float
    kept: float
    peak: float

    @property
    def beyond_state(self):
        """The peak without what was there before."""
        return self.peak - self.state


def memory(program, fused="nothing"):
    """Return the `Memory` of a program whose first result is the loss.

    Args:
        program: A `Program`.
        fused: See `stored`.
    """
    held, sizes = stored(program, fused), program.arrays
    arguments = set(program.arguments)
    last, end = dict.fromkeys(arguments, -1), len(program.operations)
    for time, operation in enumerate(program.operations):
        if held[operation.outputs[0]] == {operation.outputs[0]}:
            for array in operation.inputs:
                last.update(dict.fromkeys(held[array], time))
    last.update(dict.fromkeys(program.results, end))
    dying = collections.defaultdict(list)
    for array, time in last.items():
        dying[time].append(array)

    state = sum(sizes[array] for array in arguments)
    live, peak, kept, alive = state, state, 0.0, set(arguments)
    for time, operation in enumerate(program.operations):
        if held[operation.outputs[0]] != {operation.outputs[0]}:
            continue
        born = {array for array in operation.outputs if array in last}
        dead = alive.intersection(dying[time])
        alive |= born
        alive -= dead
        if operation.name in ELEMENTWISE:
            live -= sum(sizes[array] for array in dead)
        live += sum(sizes[array] for array in born)
        peak = max(peak, live + operation.workspace)
        if operation.name not in ELEMENTWISE:
            live -= sum(sizes[array] for array in dead)
        if program.results and program.results[0] in born:
            kept = sum(sizes[array] for array in alive - arguments)
    return Memory(state, kept, peak)


def seconds(program, peaks, bandwidth):
    """Bound the time of a program from below.

    Args:
        program: A `Program`.
        peaks: Dict of FLOP/s by the type of a product's operands.
        bandwidth: Bytes per second.

    Returns:
        Float, seconds.
    """
    held, total = stored(program, "chains"), 0.0
    for operation in program.operations:
        if held[operation.outputs[0]] != {operation.outputs[0]}:
            continue
        touched = set(operation.outputs).union(
            *(held[array] for array in operation.inputs)
        )
        moved = sum(program.arrays[array] for array in touched) / bandwidth
        multiplied = sum(
            count / peaks[dtype] for dtype, count in operation.products.items()
        )
        total += max(moved, multiplied)
    return total


def at_batch(one, two, sizes, batch):
    """Return the program of one batch size from those of two others.

    Bytes and products are a constant and a part that grows with the batch.

    Args:
        one: `Program` of a batch of `sizes[0]`.
        two: The same of `sizes[1]`.
        sizes: Two batch sizes.
        batch: The batch size that is asked for.

    Raises:
        ValueError: If the two programs are not the same but for sizes.
    """
    names = [[o.name for o in p.operations] for p in (one, two)]
    if names[0] != names[1] or len(one.arrays) != len(two.arrays):
        raise ValueError(
            "`one` and `two` must be the same program at two batch sizes. "
            f"Received: {len(names[0])} and {len(names[1])} operations"
        )
    step = (batch - sizes[0]) / (sizes[1] - sizes[0])

    def between(first, second):
        return first + step * (second - first)

    operations = [
        dataclasses.replace(
            a,
            products={
                k: between(v, b.products[k]) for k, v in a.products.items()
            },
            workspace=between(a.workspace, b.workspace),
        )
        for a, b in zip(one.operations, two.operations, strict=True)
    ]
    arrays = [
        between(*pair) for pair in zip(one.arrays, two.arrays, strict=True)
    ]
    return dataclasses.replace(one, operations=operations, arrays=arrays)
