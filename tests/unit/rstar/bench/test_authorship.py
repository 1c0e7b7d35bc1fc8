from dataclasses import replace

from rstar.bench.authorship import Claim, Content, StepBook, candidates, judge
from rstar.bench.recorder import Drawn
from services.common.pb.policy.v1 import policy_pb2
from services.common.steps import split_comment

STEP = "# Step 1: Add\nx = 1 + 2"
FIRST, SECOND = Content((STEP,), (-0.5,)), Content((STEP,), (-0.9,))
TRUTH = {"first": {b"q": FIRST}, "second": {b"q": SECOND}}


def test_a_label_holds_where_its_version_makes_the_same() -> None:
    near = replace(SECOND, numbers=(-0.9001,))
    verdict = judge([Claim(b"q", "first", FIRST), Claim(b"q", "second", near)], TRUTH)
    assert (verdict.claims, verdict.lies, verdict.undecided) == (2, [], 0)
    assert 0 < verdict.drift < 0.001


def test_a_label_lies_where_another_made_it_or_none() -> None:
    other = Content(("# Step 1: Subtract\nx = 1 - 2",), (-0.5,))
    verdict = judge([Claim(b"q", "first", SECOND), Claim(b"q", "second", other)], TRUTH)
    assert [lie.rsplit(",", 1)[0] for lie in verdict.lies] == [
        "labelled first, made by ['second']",
        "labelled second, made by []",
    ]


def test_what_both_make_alike_says_nothing() -> None:
    truth = {"first": {b"q": FIRST}, "second": {b"q": FIRST}}
    verdict = judge([Claim(b"q", "first", FIRST)], truth)
    assert (verdict.lies, verdict.undecided) == ([], 1)


def test_a_candidate_is_asked_for_again_with_its_own_seed() -> None:
    request = policy_pb2.ProposeRequest(
        search_id="s", problem="p", count=4, sampling=policy_pb2.Sampling(seed=10, max_tokens=8)
    )
    step = policy_pb2.ProposedStep(text=STEP, tokens=4, mean_logprob=-0.5)
    reply = policy_pb2.ProposeResponse(index=3, steps=[step], model_version="first")
    (claim,) = candidates([Drawn(request, 3, 4, 0.0, 1.0, reply)])
    asked = policy_pb2.ProposeRequest.FromString(claim.question)
    assert (asked.count, asked.sampling.seed, asked.sampling.max_tokens) == (1, 13, 8)
    assert (claim.version, claim.content.texts) == ("first", (STEP,))


def test_a_node_of_a_tree_is_held_against_its_version() -> None:
    question = policy_pb2.ProposeRequest(problem="p").SerializeToString(deterministic=True)
    book = StepBook()
    book.learn_policy({"first": {question: FIRST}})
    text, code = split_comment(STEP)
    node = {"text": text, "code": code}
    assert book.holds("first", "p", node, -0.5)
    assert not book.holds("first", "p", node, -0.9)
    assert not book.holds("first", "p", {**node, "code": "x = 2"}, -0.5)
    assert not book.holds("second", "p", node, -0.5)
