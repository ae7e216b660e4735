"""Measure time in alternation and peak memory in separate processes."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import re
import resource
import time

import numpy as np


def fastest_seconds(functions, rounds, clock=time.perf_counter):
    """Time functions in alternation, so that other load slows all of them.

    Args:
        functions: Dict from name to function without arguments, which must
            block until its result is computed.
        rounds: Number of timed rounds, after a warm-up round.
        clock: Function that returns seconds. `time.process_time` gives the
            CPU time of all threads of the process, which hardly depends on
            other jobs.

    Returns:
        Dict from name to the seconds of the fastest round.
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
    """Measure the FLOP/s of the backend's matrix product.

    Per second of CPU time of all threads, in the fastest round.
    """
    from keras import ops

    matrix = np.random.default_rng(0).normal(size=(side, side))
    matrix = ops.convert_to_tensor(matrix.astype("float32"))

    def multiply():
        ops.convert_to_numpy(ops.matmul(matrix, matrix)[:1, :1])

    seconds = fastest_seconds({"": multiply}, rounds, time.process_time)[""]
    return 2 * side**3 / seconds


def in_new_process(function, *arguments):
    """Call a function in a new process and return its result."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def release_freed_memory():
    """Make malloc in new processes return freed memory to the system at once.

    Otherwise a measurement misses memory that is allocated from blocks freed
    before it. It takes time, so do not measure time in the same process.
    """
    for limit in "MMAP", "TRIM":
        os.environ[f"MALLOC_{limit}_THRESHOLD_"] = "65536"


def peak_gigabytes(function=None):
    """Return the peak resident memory of this process in GB.

    Args:
        function: If given, called to measure its peak memory alone, relative
            to the memory in use before.
    """
    if function is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    # Reset the peak resident set size.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = _memory_status("VmHWM")
    function()
    return _memory_status("VmHWM") - before


def _memory_status(name):
    """Return a field of the process's memory status, in GB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 2**20
