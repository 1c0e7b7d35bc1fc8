from tests.support import sandbox_chaos


async def test_every_request_gets_a_result_and_nothing_leaks():
    """A short run; the long one is `python -m tests.support.sandbox_chaos`."""
    figures = await sandbox_chaos.run(sessions=6, seconds=8, seed=1)
    assert figures["requests"] > 20
    assert figures["wrong"] == []
    assert figures["kills"] > 0
    assert figures["answers_after"]
    assert figures["processes_left"] == sandbox_chaos.ZYGOTES
    assert figures["descriptors_leaked"] <= 4
    assert figures["files_left"] == 0
    assert figures["peak_mib"] <= figures["idle_mib"] + figures["budget_mib"]
