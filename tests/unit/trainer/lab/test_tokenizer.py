from pathlib import Path

from services.common.steps import Step, render_problem, render_prompt, render_solution
from trainer.lab import tokenizer as words
from trainer.lab.problems import generate

PROBLEMS = list(generate(120, "train", 2)) + list(generate(60, "held_out", 2))


def whole(problem: object) -> str:
    """A problem with its right solution and answer."""
    program = problem.program  # type: ignore[attr-defined]
    steps = [Step(text) for text in program.steps()]
    answer = str(program.answer)
    steps[-1] = Step(steps[-1].text, ends_code=True, output=answer)
    steps.append(Step(f"\\boxed{{{answer}}}"))
    return render_problem(problem.question) + render_solution(steps)  # type: ignore[attr-defined]


def test_every_text_of_the_laboratory_is_told_by_its_tokens(tmp_path: Path) -> None:
    words.save(tmp_path)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for problem in PROBLEMS:
        text = whole(problem)
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text
        assert [tokenizer.decode([one]) for one in ids] == words.pieces(text)


def test_a_prompt_is_the_beginning_of_its_text_in_tokens_too() -> None:
    tokenizer = words.make()
    for problem in PROBLEMS:
        steps = [Step(text) for text in problem.program.steps()]
        ids = tokenizer(whole(problem))["input_ids"]
        for count in range(len(steps)):
            prompt = tokenizer(render_prompt(problem.question, steps[:count]))["input_ids"]
            assert ids[: len(prompt)] == prompt


def test_it_is_small_and_texts_are_short() -> None:
    assert len(words.vocabulary()) == len(set(words.vocabulary())) <= 500
    prompts = [len(words.pieces(render_prompt(one.question, []))) for one in PROBLEMS]
    assert max(prompts) <= 85
    assert max(len(words.pieces(whole(one))) for one in PROBLEMS) <= 240


def test_it_is_the_same_each_time() -> None:
    assert words.vocabulary() == words.vocabulary()
    assert words.vocabulary()[:3] == [words.PAD, words.END, words.UNKNOWN]
