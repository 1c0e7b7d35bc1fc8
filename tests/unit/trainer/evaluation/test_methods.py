import pytest

from services.common.pb.search.v1 import search_pb2 as pb
from trainer.evaluation.methods import BadMethod, Method, digest, parse_methods


def one(name: str, budget: str = "", options: str = "") -> Method:
    (method,) = parse_methods([name], [budget], [options], seed=7)
    return method


def test_greedy_asks_for_one_deterministic_solution() -> None:
    request = one("greedy").request("p1", "What is 1 + 1?")
    assert request.problem == "What is 1 + 1?"
    assert request.budget.rollouts == 1
    assert request.search.candidates == 1
    assert request.search.HasField("temperature")
    assert request.search.temperature == 0
    assert request.search.expansion == pb.EXPANSION_TRAJECTORY


def test_majority_draws_whole_solutions_at_the_root() -> None:
    request = one("majority@8", options="temperature=0.7").request("p1", "q")
    assert request.budget.rollouts == 8
    assert request.search.candidates == 8
    assert request.search.temperature == pytest.approx(0.7)
    assert request.search.expansion == pb.EXPANSION_TRAJECTORY
    assert request.search.answer == pb.ANSWER_RULE_MAJORITY


def test_majority_has_a_default_number_of_samples() -> None:
    assert one("majority").name == "majority@16"


def test_search_takes_budget_and_options_and_leaves_the_rest_to_the_service() -> None:
    request = one("search", "tokens=900,seconds=30", "candidates=4 answer=best").request("p1", "q")
    assert request.budget == pb.Budget(rollouts=10_000, tokens=900, seconds=30)
    assert request.search.candidates == 4
    assert request.search.answer == pb.ANSWER_RULE_BEST
    assert not request.search.HasField("temperature")
    assert request.search.expansion == pb.EXPANSION_UNSPECIFIED


def test_options_reach_only_the_methods_that_they_shape() -> None:
    greedy, search = parse_methods(["greedy,search"], ["tokens=900"], ["candidates=4"], seed=0)
    assert greedy.options["candidates"] == 1
    assert search.options["candidates"] == 4


def test_seeds_differ_by_problem_and_not_by_order() -> None:
    method = one("search")
    assert method.seed_of("a") == one("search").seed_of("a")
    assert method.seed_of("a") != method.seed_of("b")
    assert 0 <= method.seed_of("a") < 2**53
    assert method.request("a", "q").search.seed == method.seed_of("a")


def test_the_digest_follows_every_setting() -> None:
    settings = one("search", "tokens=900").settings()
    assert digest(settings) == digest(one("search", "tokens=900").settings())
    assert digest(settings) != digest(one("search", "tokens=901").settings())
    assert digest(settings) != digest(one("search", "tokens=900", "depth=3").settings())


@pytest.mark.parametrize(
    ("name", "budget", "options", "complaint"),
    [
        ("", "", "", "none given"),
        ("best", "", "", "method best: not one of"),
        ("majority@0", "", "", "1 to 64 samples"),
        ("majority@65", "", "", "1 to 64 samples"),
        ("search", "dollars=3", "", "budget dollars=3: give any of rollouts, tokens, seconds"),
        ("search", "tokens", "", "budget tokens: give any of"),
        ("search", "tokens=many", "", "budget tokens: a number from 1 to 10,000,000 is wanted"),
        ("search", "tokens=0", "", "budget tokens: a number from 1"),
        ("search", "tokens=10000001", "", "budget tokens: a number from 1"),
        ("search", "seconds=nan", "", "budget seconds: a number from 0.001 to 3,600"),
        ("search", "", "candidates=-1", "set candidates: a number from 1 to 64"),
        ("search", "", "temperature=2.5", "set temperature: a number from 0 to 2"),
        ("search", "", "answer=loudest", "set answer: one of best, majority, weighted"),
        ("search", "", "expansion=unspecified", "set expansion: one of step, trajectory"),
        ("search", "", "width=3", "set width=3: give any of candidates"),
        ("greedy", "tokens=900", "", "budget tokens: does not apply to greedy"),
        ("greedy", "", "temperature=0.5", "set temperature: does not apply to greedy"),
        ("majority@4", "", "candidates=8", "set candidates: does not apply to majority@4"),
    ],
)
def test_what_cannot_be_asked_is_named(
    name: str, budget: str, options: str, complaint: str
) -> None:
    with pytest.raises(BadMethod, match=complaint):
        one(name, budget, options)
