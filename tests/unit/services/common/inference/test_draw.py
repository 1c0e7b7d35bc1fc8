"""Drawing tokens: the distribution of the logits, their log-probabilities and ranks."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from services.common.inference.draw import Drawn, TokenDraw

VOCABULARY = 300  # no multiple of a block


def logits_of(rows: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def noise_for(draw: TokenDraw, rows: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(rows, draw.noise).exponential_(generator=generator)


def draw_from(logits: torch.Tensor, temperatures: torch.Tensor) -> Drawn:
    draw = TokenDraw(logits.shape[1])
    return draw(logits, temperatures, noise_for(draw, len(logits)))


def test_greedy_rows_take_the_first_of_the_likeliest() -> None:
    logits = logits_of(9)
    logits[4, [7, 200]] = 50.0
    drawn = draw_from(logits, torch.zeros(9))
    assert drawn.tokens.tolist() == [int(row.argmax()) for row in logits]
    assert drawn.tokens[4] == 7
    assert drawn.ranks.tolist() == [1] * 9


@pytest.mark.parametrize("number_type", [torch.float32, torch.bfloat16])
def test_log_probabilities_and_ranks_are_of_the_logits_at_temperature_one(
    number_type: torch.dtype,
) -> None:
    logits = logits_of(10).to(number_type)
    temperatures = torch.tensor([0.0, 0.5, 0.8, 1.0, 2.0] * 2)
    before = logits.clone()
    drawn = draw_from(logits, temperatures)
    expected = logits.float().log_softmax(-1).gather(1, drawn.tokens[:, None])[:, 0]
    torch.testing.assert_close(drawn.logprobs, expected, atol=1e-5, rtol=0)
    above = (logits > logits.gather(1, drawn.tokens[:, None])).sum(-1) + 1
    assert drawn.ranks.tolist() == above.tolist()
    assert torch.equal(logits, before)


@pytest.mark.parametrize("temperature", [0.5, 0.8, 1.0, 1.7])
def test_tokens_come_as_often_as_they_are_likely(temperature: float) -> None:
    draws = 20_000
    logits = logits_of(1).expand(draws, -1)
    drawn = draw_from(logits, torch.full((draws,), temperature))
    share = torch.bincount(drawn.tokens, minlength=VOCABULARY) / draws
    expected = (logits[0] / temperature).softmax(-1)
    # Five standard deviations of each token's share, and one draw for the rarest.
    allowed = 5 * (expected * (1 - expected) / draws).sqrt() + 1 / draws
    assert bool(((share - expected).abs() <= allowed).all())


def test_each_row_is_drawn_by_its_own_noise_and_temperature() -> None:
    logits, temperatures = logits_of(11, seed=3), torch.linspace(0.0, 2.0, 11)
    draw = TokenDraw(VOCABULARY)
    noise = noise_for(draw, 11)
    together = draw(logits, temperatures, noise).tokens.tolist()
    rows = [slice(i, i + 1) for i in range(11)]
    alone = [int(draw(logits[i], temperatures[i], noise[i]).tokens) for i in rows]
    assert together == alone


def test_last_digits_change_a_draw_as_rarely_as_probabilities() -> None:
    """The same noise and nearly the same logits: other batches round otherwise."""
    draws = 5_000
    logits = logits_of(1).expand(draws, -1)
    shifted = logits + 0.01 * torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(8))
    temperatures = torch.ones(draws)
    changed = draw_from(logits, temperatures).tokens != draw_from(shifted, temperatures).tokens
    distance = (logits[0].softmax(-1) - shifted[0].softmax(-1)).abs().sum() / 2
    # A race of clocks at each of two levels: at most twice the distance for each.
    assert float(changed.float().mean()) <= 4 * float(distance)


def test_an_engine_that_only_infers_may_have_it() -> None:
    with torch.inference_mode():
        logits = logits_of(3)
        draw = TokenDraw(VOCABULARY)
        noise = noise_for(draw, 3)
        inferring = draw(logits, torch.ones(3), noise).tokens.tolist()
    assert inferring == draw(logits_of(3), torch.ones(3), noise.clone()).tokens.tolist()


def test_its_threads_leave_those_of_others_alone() -> None:
    before = torch.get_num_threads()
    TokenDraw(VOCABULARY, threads=2)
    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(torch.get_num_threads).result() == before
    assert torch.get_num_threads() == before


def test_what_has_no_weight_is_never_drawn() -> None:
    logits = torch.full((500, VOCABULARY), -torch.inf)
    logits[:, [5, 6, 130]] = 0.0
    assert set(draw_from(logits, torch.ones(500)).tokens.tolist()) == {5, 6, 130}


def test_broken_logits_are_told_by_their_log_probability() -> None:
    drawn = draw_from(torch.full((2, VOCABULARY), torch.nan), torch.tensor([0.0, 1.0]))
    assert drawn.logprobs.isnan().all()
    assert ((drawn.tokens >= 0) & (drawn.tokens < VOCABULARY)).all()
