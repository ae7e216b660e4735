import threading

import pytest

from gss_keras.demo.turns import Turns

pytestmark = pytest.mark.any_backend


@pytest.fixture
def turns():
    turns = Turns()
    yield turns
    turns.close()


def block(turns):
    """Block the worker thread until the returned event is set."""
    release, started = threading.Event(), threading.Event()

    def wait():
        started.set()
        release.wait(10)

    turns.submit("blocker", wait)
    assert started.wait(10)
    return release


def test_jobs_run_round_robin_between_visitors(turns):
    release, order = block(turns), []
    futures = [turns.submit("eager", order.append, "eager") for _ in range(5)]
    futures += [turns.submit("late", order.append, "late") for _ in range(2)]
    release.set()
    for future in futures:
        future.result(10)
    assert order == ["eager", "late"] * 2 + ["eager"] * 3


def test_one_job_runs_at_a_time(turns):
    running, concurrency = [], []

    def job():
        running.append(1)
        concurrency.append(len(running))
        threading.Event().wait(0.01)
        running.pop()

    futures = [turns.submit(str(i % 3), job) for i in range(12)]
    for future in futures:
        future.result(10)
    assert concurrency == [1] * 12


def test_an_exception_is_set_on_the_future_and_the_next_job_runs(turns):
    failing = turns.submit("", int, "x")
    with pytest.raises(ValueError, match="invalid literal"):
        failing.result(10)
    assert turns.submit("", int, "7").result(10) == 7


def test_canceled_jobs_do_not_run(turns):
    release, order = block(turns), []
    futures = [turns.submit("", order.append, i) for i in range(3)]
    assert futures[1].cancel()
    release.set()
    futures[2].result(10)
    assert order == [0, 2]


def test_close_cancels_queued_jobs():
    turns = Turns()
    release = block(turns)
    future = turns.submit("", int)
    threading.Timer(0.1, release.set).start()
    turns.close()
    assert future.cancelled()
