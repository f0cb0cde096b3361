"""When a server gets calls and when not, by a clock of our own."""

from __future__ import annotations

import pytest

from lightrag.errors import (
    AccessRefused,
    ContextTooLong,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnreachable,
    UnusableAnswer,
)
from lightrag.llm.circuit import Circuit, CircuitRules, CircuitState

RULES = CircuitRules(failures=3, samples=6, open_seconds=10, most_open_seconds=40, slow_start=20)


class Bench:
    """A circuit and its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.circuit = Circuit(RULES, lambda: self.now)

    def fail(self, error: ModelError | None = None, times: int = 1) -> None:
        for _ in range(times):
            self.circuit.failed(self.circuit.begin(), error or ModelUnreachable("down"))

    def answer(self, times: int = 1) -> None:
        for _ in range(times):
            self.circuit.succeeded(self.circuit.begin())

    def until_due(self) -> float:
        wait = self.circuit.wait()
        self.now += wait
        return wait


def test_it_opens_when_calls_in_a_row_find_no_server() -> None:
    bench = Bench()
    bench.fail(times=2)
    bench.answer()
    bench.fail(times=2)
    assert bench.circuit.admits()
    bench.fail()
    assert bench.circuit.state is CircuitState.OPEN
    assert not bench.circuit.admits()
    assert bench.circuit.wait() == pytest.approx(10, rel=0.11)


def test_it_opens_when_every_second_call_fails() -> None:
    bench = Bench()
    for _ in range(2):
        bench.answer()
        bench.fail()
    assert bench.circuit.admits()
    bench.answer()
    bench.fail()
    assert bench.circuit.state is CircuitState.OPEN


def test_failures_of_long_ago_do_not_count() -> None:
    bench = Bench()
    bench.fail(times=2)
    bench.answer(2)
    bench.now += 61
    bench.fail()
    bench.answer()
    assert bench.circuit.admits()


def test_half_open_lets_one_call_through_and_its_end_decides() -> None:
    bench = Bench()
    bench.fail(times=3)
    bench.until_due()
    assert bench.circuit.state is CircuitState.HALF_OPEN
    probe = bench.circuit.begin()
    assert not bench.circuit.admits()
    bench.circuit.succeeded(probe)
    assert bench.circuit.state is CircuitState.CLOSED


def test_a_probe_that_is_given_up_makes_room_for_the_next() -> None:
    bench = Bench()
    bench.fail(times=3)
    bench.until_due()
    bench.circuit.abandoned(bench.circuit.begin())
    assert bench.circuit.admits()


def test_it_stays_open_longer_each_time_up_to_a_limit() -> None:
    bench = Bench()
    bench.fail(times=3)
    waits = []
    for _ in range(4):
        waits.append(bench.until_due())
        bench.fail()
    assert waits == pytest.approx([10, 20, 40, 40], rel=0.11)


def test_a_server_that_comes_back_gets_its_share_slowly() -> None:
    bench = Bench()
    assert bench.circuit.share() == 1.0
    bench.fail(times=3)
    bench.until_due()
    bench.answer()
    shares = []
    for _ in range(4):
        shares.append(bench.circuit.share())
        bench.now += 10
    assert shares == pytest.approx([0.1, 0.5, 1.0, 1.0])


def test_a_rate_limit_is_a_rest_and_no_failure() -> None:
    bench = Bench()
    bench.fail(ModelRateLimited("slow down", 7.0), times=5)
    assert bench.circuit.state is CircuitState.RESTING
    assert bench.until_due() == 7.0
    assert bench.circuit.state is CircuitState.CLOSED
    assert bench.circuit.share() == 1.0


def test_a_server_that_refuses_the_account_is_left_alone_for_long() -> None:
    bench = Bench()
    bench.fail(AccessRefused("wrong key"))
    assert bench.circuit.state is CircuitState.REFUSED
    assert bench.until_due() == 300.0
    assert bench.circuit.state is CircuitState.HALF_OPEN


@pytest.mark.parametrize("error", [ModelRefused("bad request"), ContextTooLong("too long")])
def test_what_is_the_request_s_fault_says_that_the_server_is_well(error: ModelError) -> None:
    bench = Bench()
    bench.fail(error, times=20)
    assert bench.circuit.admits()
    bench.fail(times=3)
    bench.until_due()
    bench.fail(error)
    assert bench.circuit.state is CircuitState.CLOSED


def test_nonsense_counts_by_its_share_only() -> None:
    bench = Bench()
    bench.fail(UnusableAnswer("empty"), times=5)
    assert bench.circuit.admits()
    bench.fail(UnusableAnswer("empty"))
    assert bench.circuit.state is CircuitState.OPEN


def test_calls_that_began_before_say_nothing_of_the_server_of_now() -> None:
    bench = Bench()
    old = [bench.circuit.begin() for _ in range(3)]
    bench.fail(times=3)
    bench.until_due()
    bench.answer()
    for ticket in old:
        bench.circuit.failed(ticket, ModelUnreachable("late"))
    assert bench.circuit.state is CircuitState.CLOSED
