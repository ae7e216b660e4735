"""Estimate FLOPs, memory and time of a JAX function without running it.

`trace` flattens the jaxpr of a function into a list of operations; shapes and
dtypes (`jax.ShapeDtypeStruct`) are enough. Estimated are:

* FLOPs: those of matrix products and convolutions, as in
  `gss_keras/ops/flops.py`.
* Memory, by the live ranges of arrays: an array is live from the operation
  that writes it to the last one that reads it. Views, broadcasts and widening
  casts take no memory, and an elementwise operation may run in place if its
  input is not read again. Arguments that are not read again are freed too, as
  Keras donates the state of a training step. With fusion, no elementwise
  result takes memory: it is recomputed wherever it is read. Compiled programs
  are between these two extremes.
* Time, by the roofline model: an operation takes as long as its FLOPs at the
  GPU's peak, or as its bytes at the memory bandwidth, whichever is longer. An
  elementwise result with a single reader that is an elementwise operation or a
  reduction is fused and causes no memory traffic. Other overhead is ignored,
  so this is a lower bound.
"""

import collections
import dataclasses
import math

import jax
from jax.extend import core

from gss_keras.ops.flops import equation_flops, nested_jaxprs

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
CONTROL_FLOW = {"cond", "scan", "while"}


@dataclasses.dataclass
class Operation:
    """One operation of a program.

    Attributes:
        name: Name of the JAX primitive.
        inputs: Indices of the arrays that it reads.
        outputs: Indices of the arrays that it writes.
        flops: Dict from the dtype of its operands to FLOPs; empty where none
            are counted.
        workspace: Temporary memory of a loop's body or a branch, in bytes.
    """

    name: str
    inputs: list
    outputs: list
    flops: dict = dataclasses.field(default_factory=dict)
    workspace: float = 0.0


@dataclasses.dataclass
class Program:
    """A traced function: a list of operations on arrays.

    Attributes:
        operations: List of `Operation`, in the order of execution.
        arrays: Sizes of all arrays in bytes.
        arguments: Indices of the function's arguments in `arrays`.
        results: Indices of the function's results in `arrays`.
    """

    operations: list
    arrays: list
    arguments: list
    results: list

    def flops(self):
        """Sum the FLOPs of all operations by the dtype of their operands."""
        total = collections.Counter()
        for operation in self.operations:
            total.update(operation.flops)
        return total


def trace(function, *arguments):
    """Trace a function of arrays, or of their shapes, into a `Program`."""
    return flatten(jax.make_jaxpr(function)(*arguments).jaxpr)


def flatten(jaxpr):
    """Inline the calls in a jaxpr and eliminate dead code."""
    program = Program([], [], [], [])
    scope = {}
    variables = [*jaxpr.invars, *jaxpr.constvars]
    program.arguments = [_index(program, scope, v) for v in variables]
    _inline(program, scope, jaxpr)
    results = [_index(program, scope, v) for v in jaxpr.outvars]
    program.results = [array for array in results if array is not None]
    used, live = set(program.results), []
    for operation in reversed(program.operations):
        if used.intersection(operation.outputs):
            used.update(operation.inputs)
            live.append(operation)
    program.operations = live[::-1]
    return program


def _index(program, scope, variable):
    """Return the index of a variable's array; None for a literal."""
    if isinstance(variable, core.Literal):
        return None
    if variable not in scope:
        # The dtype of random keys has no `itemsize`.
        size = getattr(variable.aval.dtype, "itemsize", 8)
        program.arrays.append(math.prod(variable.aval.shape) * size)
        scope[variable] = len(program.arrays) - 1
    return scope[variable]


def _inline(program, scope, jaxpr):
    """Append a jaxpr's operations to a program, calls inlined."""
    for equation in jaxpr.eqns:
        inputs = [_index(program, scope, v) for v in equation.invars]
        if equation.primitive.name not in CALLS:
            outputs = [_index(program, scope, v) for v in equation.outvars]
            inputs = [array for array in inputs if array is not None]
            program.operations.append(_operation(equation, inputs, outputs))
            continue
        (inner,) = nested_jaxprs(equation)
        # A fresh scope: the same function may be called elsewhere.
        called = dict(zip(inner.invars, inputs, strict=True))
        _inline(program, called, inner)
        for outer, result in zip(equation.outvars, inner.outvars, strict=True):
            scope[outer] = _index(program, called, result)


def _operation(equation, inputs, outputs):
    """Build the `Operation` of an equation that is not a call."""
    operation = Operation(equation.primitive.name, inputs, outputs)
    if operation.name in CONTROL_FLOW:
        programs = [flatten(jaxpr) for jaxpr in nested_jaxprs(equation)]
        largest = max(programs, key=lambda p: sum(p.flops().values()))
        # The trip count of a `while` is unknown: its body counts once.
        trip_count = equation.params.get("length", 1)
        operation.flops = {
            dtype: trip_count * count
            for dtype, count in largest.flops().items()
        }
        operation.workspace = max(memory(p).temporary for p in programs)
    elif flops := equation_flops(equation):
        operation.flops = {str(equation.invars[0].aval.dtype): flops}
    return operation


def materialized(program, fused="nothing"):
    """Return the arrays in memory that each array is computed from.

    Args:
        program: A `Program`.
        fused: Which elementwise results are fused into the operations that
            read them instead of being written to memory: "nothing", "chains"
            (those with a single reader, another elementwise operation or a
            reduction) or "everything".

    Returns:
        List with one set of indices for each array: its own index if it is
        written to memory, else those of the arrays it is computed from.
    """
    readers = collections.defaultdict(list)
    for operation in reversed(program.operations):
        is_view = operation.name in VIEWS
        for array in set(operation.inputs):
            readers[array] += (
                readers[operation.outputs[0]] if is_view else [operation.name]
            )
    sources = [{array} for array in range(len(program.arrays))]
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
            sources[array] = set().union(
                *(sources[i] for i in operation.inputs)
            )
    return sources


def _is_view(program, operation):
    """Return whether an operation is a view or a widening cast."""
    if operation.name == "convert_element_type" and operation.inputs:
        before, after = operation.inputs[0], operation.outputs[0]
        return program.arrays[after] >= program.arrays[before]
    return operation.name in VIEWS


@dataclasses.dataclass
class Memory:
    """Memory use of a program, in bytes.

    Attributes:
        state: Size of the arguments.
        activations: Live memory besides the arguments when the first result,
            the loss, is computed: in a training step, the activations that
            the backward pass reads.
        peak: Peak memory, arguments included.
    """

    state: float
    activations: float
    peak: float

    @property
    def temporary(self):
        """Peak memory without the arguments."""
        return self.peak - self.state


def memory(program, fused="nothing"):
    """Return the `Memory` of a program whose first result is the loss.

    Args:
        program: A `Program`.
        fused: As in `materialized`.
    """
    sources, sizes = materialized(program, fused), program.arrays
    arguments = set(program.arguments)
    last_use, end = dict.fromkeys(arguments, -1), len(program.operations)
    for time, operation in enumerate(program.operations):
        if sources[operation.outputs[0]] == {operation.outputs[0]}:
            for array in operation.inputs:
                last_use.update(dict.fromkeys(sources[array], time))
    last_use.update(dict.fromkeys(program.results, end))
    expiring = collections.defaultdict(list)
    for array, time in last_use.items():
        expiring[time].append(array)

    state = sum(sizes[array] for array in arguments)
    in_use, peak, activations, live = state, state, 0.0, set(arguments)
    for time, operation in enumerate(program.operations):
        if sources[operation.outputs[0]] != {operation.outputs[0]}:
            continue
        allocated = {array for array in operation.outputs if array in last_use}
        freed = live.intersection(expiring[time])
        live |= allocated
        live -= freed
        if operation.name in ELEMENTWISE:
            in_use -= sum(sizes[array] for array in freed)
        in_use += sum(sizes[array] for array in allocated)
        peak = max(peak, in_use + operation.workspace)
        if operation.name not in ELEMENTWISE:
            in_use -= sum(sizes[array] for array in freed)
        if program.results and program.results[0] in allocated:
            activations = sum(sizes[array] for array in live - arguments)
    return Memory(state, activations, peak)


def seconds(program, peaks, bandwidth):
    """Return a roofline lower bound on the run time of a program.

    Args:
        program: A `Program`.
        peaks: Dict from the dtype of operands to peak FLOP/s.
        bandwidth: Memory bandwidth in bytes per second.

    Returns:
        Float, seconds.
    """
    sources, total = materialized(program, "chains"), 0.0
    for operation in program.operations:
        if sources[operation.outputs[0]] != {operation.outputs[0]}:
            continue
        accessed = set(operation.outputs).union(
            *(sources[array] for array in operation.inputs)
        )
        memory_time = (
            sum(program.arrays[array] for array in accessed) / bandwidth
        )
        compute_time = sum(
            count / peaks[dtype] for dtype, count in operation.flops.items()
        )
        total += max(memory_time, compute_time)
    return total


def at_batch(one, two, sizes, batch):
    """Interpolate or extrapolate a program to another batch size.

    Bytes and FLOPs are affine functions of the batch size.

    Args:
        one: `Program` at batch size `sizes[0]`.
        two: The same program at batch size `sizes[1]`.
        sizes: The two batch sizes.
        batch: The wanted batch size.

    Returns:
        A `Program`.

    Raises:
        ValueError: If the two programs differ in more than sizes.
    """
    names = [[o.name for o in p.operations] for p in (one, two)]
    if names[0] != names[1] or len(one.arrays) != len(two.arrays):
        raise ValueError(
            "`one` and `two` must be the same program at two batch sizes. "
            f"Received: {len(names[0])} and {len(names[1])} operations"
        )
    step = (batch - sizes[0]) / (sizes[1] - sizes[0])

    def interpolate(first, second):
        return first + step * (second - first)

    operations = [
        dataclasses.replace(
            a,
            flops={k: interpolate(v, b.flops[k]) for k, v in a.flops.items()},
            workspace=interpolate(a.workspace, b.workspace),
        )
        for a, b in zip(one.operations, two.operations, strict=True)
    ]
    arrays = [
        interpolate(*pair) for pair in zip(one.arrays, two.arrays, strict=True)
    ]
    return dataclasses.replace(one, operations=operations, arrays=arrays)
