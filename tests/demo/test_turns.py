import threading

import pytest

from gss_keras.demo.turns import Turns

pytestmark = pytest.mark.any_backend


@pytest.fixture
def turns():
    turns = Turns()
    yield turns
    turns.close()


def held(turns):
    """Occupy the thread until the event is set."""
    gate, begun = threading.Event(), threading.Event()

    def wait():
        begun.set()
        gate.wait(10)

    turns.submit("gate", wait)
    assert begun.wait(10)
    return gate


def test_visitors_take_turns_however_many_jobs_they_have(turns):
    gate, order = held(turns), []
    futures = [turns.submit("eager", order.append, "eager") for _ in range(5)]
    futures += [turns.submit("late", order.append, "late") for _ in range(2)]
    gate.set()
    for future in futures:
        future.result(10)
    assert order == ["eager", "late"] * 2 + ["eager"] * 3


def test_one_job_runs_at_a_time(turns):
    running, most = [], []

    def job():
        running.append(1)
        most.append(len(running))
        threading.Event().wait(0.01)
        running.pop()

    futures = [turns.submit(str(i % 3), job) for i in range(12)]
    for future in futures:
        future.result(10)
    assert most == [1] * 12


def test_what_a_job_raises_goes_to_who_waits_and_the_next_one_runs(turns):
    failing = turns.submit("", int, "x")
    with pytest.raises(ValueError, match="invalid literal"):
        failing.result(10)
    assert turns.submit("", int, "7").result(10) == 7


def test_canceled_jobs_are_left_out(turns):
    gate, order = held(turns), []
    futures = [turns.submit("", order.append, i) for i in range(3)]
    assert futures[1].cancel()
    gate.set()
    futures[2].result(10)
    assert order == [0, 2]


def test_closing_drops_what_waits():
    turns = Turns()
    gate = held(turns)
    future = turns.submit("", int)
    threading.Timer(0.1, gate.set).start()
    turns.close()
    assert future.cancelled()
