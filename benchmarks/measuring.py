"""How benchmarks measure: seconds in turns, memory in a process of its own."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import re
import resource
import time

import numpy as np


def seconds_in_turn(functions, rounds, clock=time.perf_counter):
    """Time functions in turns, so that what slows one down slows them all.

    Args:
        functions: Dict of functions without arguments that end when their
            work is done.
        rounds: How often each is timed, after a first round that is not.
        clock: What seconds are read from; `time.process_time` counts those
            of all the process's threads on their processors, and none that
            other jobs take.

    Returns:
        Dict of the seconds of each one's fastest round.
    """
    fastest = dict.fromkeys(functions, float("inf"))
    for number in range(rounds + 1):
        for name, function in functions.items():
            start = clock()
            function()
            elapsed = clock() - start
            if number:  # the first round compiles
                fastest[name] = min(fastest[name], elapsed)
    return fastest


def peak_flops(side=2048, rounds=5):
    """Return the FLOP/s that the backend reaches in a product of matrices.

    The seconds are the processor's with all its threads, of the fastest round.
    """
    from keras import ops

    matrix = np.random.default_rng(0).normal(size=(side, side))
    matrix = ops.convert_to_tensor(matrix.astype("float32"))

    def multiply():
        ops.convert_to_numpy(ops.matmul(matrix, matrix)[:1, :1])

    spent = seconds_in_turn({"": multiply}, rounds, time.process_time)[""]
    return 2 * side**3 / spent


def in_new_process(function, *arguments):
    """Call a function in a process that has done nothing else."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def give_back_freed_memory():
    """Let new processes give freed memory back to the system at once.

    Else blocks that were freed before a measurement are used again in it,
    and count for nothing. It takes time: measure that elsewhere.
    """
    for limit in "MMAP", "TRIM":
        os.environ[f"MALLOC_{limit}_THRESHOLD_"] = "65536"


def peak_gigabytes(function=None):
    """Return the most memory that this process has held, in GB.

    Args:
        function: Called first; then what it added to what was held before it
            is returned, in place of all since the process began.
    """
    if function is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    # Linux forgets the peak so far where 5 is written here.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = _held("VmHWM")
    function()
    return _held("VmHWM") - before


def _held(name):
    """Read a line of how much memory the process holds or held, in GB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 2**20
