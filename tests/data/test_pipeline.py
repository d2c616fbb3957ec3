"""Batches made ahead: their order, their position, their faults, their threads."""

import json
import threading
import time

import numpy as np
import pytest

from jnf_jax.data.pipeline import BATCHES_AHEAD, open_stream, restore_position


def uneven(number):
    """Later batches are made sooner."""
    time.sleep(0.002 * (number % 3))
    return {"x": np.full(3, number)}


def numbers(stream):
    return [int(batch["x"][0]) for batch in stream]


def test_batches_come_in_order_and_end():
    assert numbers(open_stream(uneven, 20)) == list(range(20))


def test_position_counts_what_was_taken_not_what_was_made_ahead():
    made = []

    def make(number):
        made.append(number)
        return uneven(number)

    stream = open_stream(make, 30)
    for _ in range(7):
        next(stream)
    while len(made) < 7 + BATCHES_AHEAD:  # ends, or the test times out
        time.sleep(0.001)
    position = json.loads(json.dumps(stream.get_state()))
    stream.close()
    for given in (position, None):
        again = open_stream(uneven, 30)
        restore_position(again, given, 7)
        assert numbers(again) == list(range(7, 30))


def test_a_position_of_another_step_is_refused():
    stream = open_stream(uneven, 30)
    next(stream)
    with pytest.raises(ValueError, match="checkpoint of step 2 holds the position"):
        restore_position(open_stream(uneven, 30), stream.get_state(), 2)
    stream.close()


def test_what_a_thread_raises_is_raised_here():
    def make(number):
        if number == 3:
            raise ValueError("row 3 is damaged")
        return uneven(number)

    stream = open_stream(make, 10)
    assert [next(stream)["x"][0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="row 3 is damaged"):
        next(stream)
    stream.close()


def test_close_stops_the_threads():
    before = set(threading.enumerate())
    stream = open_stream(uneven, 10_000)
    next(stream)
    started = set(threading.enumerate()) - before
    assert started
    stream.close()
    for thread in started:
        thread.join(timeout=10)
        assert not thread.is_alive()
