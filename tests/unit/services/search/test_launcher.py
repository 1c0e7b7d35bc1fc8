from services.search.launcher import draw


def test_shares_are_even_and_follow_from_the_id_alone() -> None:
    draws = [draw(f"search-{number}") for number in range(4000)]
    assert 0.08 < sum(value < 0.1 for value in draws) / len(draws) < 0.12
    assert 0.45 < sum(value < 0.5 for value in draws) / len(draws) < 0.55
    assert draw("a") == draw("a")
