"""What plain transformers make of a version: the truth that served replies are held against."""

from collections.abc import Sequence
from pathlib import Path

from rstar.bench.policy_process import Reply
from services.policy.prompts import style_of


def greedy(folder: Path, problems: Sequence[str], tokens: int) -> dict[str, Reply]:
    """The most likely reply to each problem, prompted by the bare grammar."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    style = style_of("bare", lambda messages: "")
    replies = {}
    for problem in problems:
        asked = tokenizer.encode(style.prompt(problem, []), add_special_tokens=style.special_tokens)
        with torch.no_grad():
            written = model.generate(
                torch.tensor([asked]),
                max_new_tokens=tokens,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        new = written.sequences[0, len(asked) :]
        logprobs = torch.stack(written.logits)[:, 0].log_softmax(-1).gather(1, new[:, None])
        text = "\n".join(step.text for step in style.split([], tokenizer.decode(new)))
        replies[problem] = Reply(folder.name, text, float(logprobs.mean()))
    return replies
