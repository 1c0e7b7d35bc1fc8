import pytest

from services.common.pb.search.v1 import search_pb2 as pb
from trainer.evaluation.methods import BadMethod, Method, digest, parse_methods


def one(name: str, budget: str = "", options: str = "") -> Method:
    (method,) = parse_methods([name], [budget], [options], seed=7)
    return method


def test_greedy_is_the_services_own() -> None:
    request = one("greedy").request("p1", "What is 1 + 1?")
    assert request.problem == "What is 1 + 1?"
    assert request.budget.rollouts == 1
    assert request.search.method == pb.METHOD_GREEDY
    assert not request.search.HasField("temperature")


@pytest.mark.parametrize(
    ("name", "method"),
    [("majority@8", pb.METHOD_MAJORITY), ("best_of_n@8", pb.METHOD_BEST_OF_N)],
)
def test_samples_are_drawn_in_one_call(name: str, method: int) -> None:
    request = one(name, options="temperature=0.7").request("p1", "q")
    assert request.budget.rollouts == 8
    assert request.search.method == method
    assert request.search.candidates == 8
    assert request.search.temperature == pytest.approx(0.7)


def test_a_number_of_samples_that_is_not_given_is_sixteen() -> None:
    assert one("majority").name == "majority@16"
    assert one("best_of_n").name == "best_of_n@16"


def test_a_tree_search_takes_budget_and_options_and_leaves_the_rest_to_the_service() -> None:
    options = "candidates=4 answer=best trees=3"
    request = one("mcts", "tokens=900,seconds=30", options).request("p1", "q")
    assert request.budget == pb.Budget(rollouts=10_000, tokens=900, seconds=30)
    assert request.search.method == pb.METHOD_MCTS
    assert (request.search.candidates, request.search.trees) == (4, 3)
    assert request.search.answer == pb.ANSWER_RULE_BEST
    assert not request.search.HasField("temperature")
    assert request.search.expansion == pb.EXPANSION_UNSPECIFIED
    assert one("search").name == "mcts"


def test_a_beam_may_have_a_width() -> None:
    request = one("beam@3", "tokens=900").request("p1", "q")
    assert (request.search.method, request.search.beam_width) == (pb.METHOD_BEAM, 3)
    assert request.budget.tokens == 900
    assert not one("beam").request("p1", "q").search.HasField("beam_width")


def test_options_reach_only_the_methods_that_they_shape() -> None:
    greedy, search = parse_methods(["greedy,mcts"], ["tokens=900"], ["candidates=4"], seed=0)
    assert "candidates" not in greedy.options
    assert search.options["candidates"] == 4


def test_a_search_may_leave_the_ppm_aside() -> None:
    asked = one("mcts", options="guided=false").request("p1", "q").search
    assert asked.HasField("guided")
    assert not asked.guided
    assert not one("mcts").request("p1", "q").search.HasField("guided")


def test_seeds_differ_by_problem_and_not_by_order() -> None:
    method = one("mcts")
    assert method.seed_of("a") == one("mcts").seed_of("a")
    assert method.seed_of("a") != method.seed_of("b")
    assert 0 <= method.seed_of("a") < 2**53
    assert method.request("a", "q").search.seed == method.seed_of("a")


def test_the_digest_follows_every_setting() -> None:
    settings = one("mcts", "tokens=900").settings()
    assert digest(settings) == digest(one("mcts", "tokens=900").settings())
    assert digest(settings) != digest(one("mcts", "tokens=901").settings())
    assert digest(settings) != digest(one("mcts", "tokens=900", "depth=3").settings())


@pytest.mark.parametrize(
    ("name", "budget", "options", "complaint"),
    [
        ("", "", "", "none given"),
        ("best", "", "", "method best: not one of greedy, majority@K"),
        ("majority@0", "", "", "method majority: 1 to 64, not 0"),
        ("best_of_n@65", "", "", "method best_of_n: 1 to 64, not 65"),
        ("beam@0", "", "", "method beam@0: 1 to 64"),
        ("mcts", "dollars=3", "", "budget dollars=3: give any of rollouts, tokens, seconds"),
        ("mcts", "tokens", "", "budget tokens: give any of"),
        ("mcts", "tokens=many", "", "budget tokens: a number from 1 to 10,000,000 is wanted"),
        ("mcts", "tokens=0", "", "budget tokens: a number from 1"),
        ("mcts", "tokens=10000001", "", "budget tokens: a number from 1"),
        ("mcts", "seconds=nan", "", "budget seconds: a number from 0.001 to 3,600"),
        ("mcts", "", "candidates=-1", "set candidates: a number from 1 to 64"),
        ("mcts", "", "temperature=2.5", "set temperature: a number from 0 to 2"),
        ("mcts", "", "answer=loudest", "set answer: one of best, majority, weighted"),
        ("mcts", "", "expansion=unspecified", "set expansion: one of step, trajectory"),
        ("mcts", "", "width=3", "set width=3: give any of candidates"),
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
