"""Answers as text: where they stand in a model's output, and one cheap canonical form.

Pure text, no arithmetic: whether two answers are equal is for `grader` to say.
"""

import re

MAX_ANSWER_CHARS = 1000

_MAX_LAST_LINES = 50  # a matrix printed over more lines than this is no answer

_MAX_BOXES = 32  # of a text that repeats itself only the last ones are read

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BARE_BOX = re.compile(r"[^\s${}]+")
_HASHES = re.compile(r"####\s*(.+)")
_ANSWER_IS = re.compile(
    r"\banswer\b(?:\s+to\s+[^:=]{1,200}?)?\s*(?:is\b|:|=)\s*:?\s*(?P<answer>\S.*)", re.IGNORECASE
)
_NUMPY_SCALAR = re.compile(r"np\.\w+\(([^()]*)\)")
_BOLD = re.compile(r"(?<![\w)])\*\*([^*]+)\*\*(?!\w)")
_NUMBER = r"[-+]?\$?\s?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:\s?/\s?\d+)?%?"
_ANY_NUMBER = re.compile(rf"(?<![\w.]){_NUMBER}(?!\w)")
_COUNTED = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<rest>[A-Za-z]{{2}}.*)")
_MONEY = re.compile(r"(?P<sign>[-+]?)\\?\$\s?(?P<amount>[-+]?[\d.,]*\d)")
_LABEL_BEFORE_EQUALS = re.compile(r"[A-Za-z_][\w ']*")
_EQUALS = re.compile(r"(?<![<>=!:])=(?!=)")
_WORD = re.compile(r"(?<![\\\w])[A-Za-z]{2,}(?![\w(])")
_IS = re.compile(
    r".*\b(?:is|are|equals|was|were)\b(?:\s+(?:equal to|exactly|approximately|about))?\s+"
)

# Words that belong to an expression, so that "5 and 6", "2 pi" or "3 to 1" stay whole.
_MATH_WORDS = frozenset(
    (
        *("and", "or", "to", "over", "mod", "choose", "union", "times", "degrees", "am", "pm"),
        *("pi", "theta", "alpha", "beta", "gamma", "phi", "oo", "inf", "infinity"),
        *("sqrt", "cbrt", "abs", "exp", "log", "ln", "sin", "cos", "tan", "cot", "sec", "csc"),
        *("dozen", "hundred", "thousand", "million", "billion", "trillion"),
    )
)

_SYMBOLS = {
    ord(symbol): latex
    for symbol, latex in {
        "\u2212": "-",  # minus sign
        "\u2013": "-",  # en dash
        "\u03c0": r"\pi ",
        "\u221e": r"\infty ",
        "\u221a": r"\sqrt ",
        "\u2264": r"\le ",
        "\u2265": r"\ge ",
        "\u00d7": r"\times ",
        "\u00b7": r"\cdot ",
        "\u222a": r"\cup ",
        "\u00b1": r"\pm ",
        "\u00b2": "^2",
        "\u00b3": "^3",
    }.items()
}
_TYPESETTING = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])", ""),
        (r"\\(?:displaystyle|limits|quad|qquad)(?![A-Za-z])", " "),
        (r"(?<!\\)\\!", ""),
        (r"(?<!\\)\\[,;: ]|~", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:text(?:bf|it|rm|normal)?|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\?\$", ""),
        (r"\\%", "%"),
        (r"\s*(?:\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|\u00b0)", ""),
        (r"(?<=\d)\{,\}(?=\d{3})", ","),
    )
)
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:,\s?\d{3})+(?:\.\d+)?")
_FRACTION = re.compile(
    r"(?<![\^_/*}A-Za-z])\\frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))(?![\^!_/\w])"
)
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")
_DECIMAL = re.compile(r"(?<![\w.])(?P<whole>\d+)(?:\.(?P<part>\d*))?(?![\w.])")
_CHOICE = re.compile(r"\(?(?P<letter>[A-H])[).:]?")


def boxed(text: str) -> str | None:
    """The content of the last complete `\\boxed{}` or `\\fbox{}`, braces matched; or None.

    `\\boxed 5`, without braces, counts too.
    """
    for match in list(_BOX.finditer(text))[: -_MAX_BOXES - 1 : -1]:
        content = _braced(text, match.end())
        if content is not None:
            return content.strip()
    return None


def from_output(output: str) -> str | None:
    """The answer in what a solution's last step printed; None where there is none.

    It is the box in the last line that is not empty, or that line without what stands around the
    answer: a label ("Total: $18.00" gives "18.00", "x = 5" gives "5"), a sentence, a unit behind
    a number. An answer of more than MAX_ANSWER_CHARS characters is none.
    """
    last = _last_line(output)
    return None if last is None else _bounded(boxed(last) or _bare(last))


def from_text(text: str) -> str | None:
    """The answer in the words of an answer step: boxed, after `####` or "the answer is", or as in
    `from_output`. None where there is none."""
    found = boxed(text)
    for pattern in (_HASHES, _ANSWER_IS):
        if found:
            break
        matches = list(pattern.finditer(text))
        found = _bare(matches[-1].group(matches[-1].lastindex or 0)) if matches else None
    return _bounded(found) if found else from_output(text)


def clean(answer: str) -> str:
    """LaTeX or plain text without typesetting: no delimiters, spacing, text or degree marks.

    Numbers lose their thousands separators and their currency. Meaning is kept, white space too.
    """
    text = answer.strip().translate(_SYMBOLS)
    for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and inner and opening not in inner:
            text = inner.strip()
    for pattern, replacement in _TYPESETTING:
        text = pattern.sub(replacement, text)
    text = text.strip().rstrip(".").strip()
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    return text


def normalize(answer: str) -> str:
    """A short canonical form: equal forms are equal answers, unequal ones may still be equal.

    `clean`, without white space that separates nothing, zeros that change nothing, and with plain
    fractions as `a/b`; a choice in brackets is its letter.
    """
    text = _FRACTION.sub(_plain_fraction, clean(answer))
    text = _LOOSE_SPACE.sub("", " ".join(text.split()))
    if match := _CHOICE.fullmatch(text):
        return match["letter"]
    return _DECIMAL.sub(_plain_decimal, text.removeprefix("+"))


def _braced(text: str, start: int) -> str | None:
    """What the braces that open at `start` enclose, or the bare token there.

    None where they do not close, or only behind more than an answer's length.
    """
    if not text.startswith("{", start):
        match = _BARE_BOX.match(text, start)
        return match.group() if match else None
    depth = 0
    for index in range(start, min(len(text), start + MAX_ANSWER_CHARS + 2)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[start + 1 : index]
    return None


def _last_line(output: str) -> str | None:
    """The last line that is not empty, with the lines above it that its brackets open in."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        return None
    for count in range(1, min(len(lines), _MAX_LAST_LINES) + 1):
        joined = " ".join(lines[-count:])
        if sum(map(joined.count, "([{")) == sum(map(joined.count, ")]}")):
            return joined
    return lines[-1]


def _bounded(answer: str | None) -> str | None:
    return answer if answer and len(answer) <= MAX_ANSWER_CHARS else None


def _bare(line: str) -> str | None:
    """A line without label, sentence, unit, currency and quotes; None where nothing is left."""
    if len(line) > 10 * MAX_ANSWER_CHARS:
        return None
    text = _BOLD.sub(r"\1", _NUMPY_SCALAR.sub(r"\1", line)).strip()
    text = _after_label(text)
    text = _after_equals(text)
    text = _without_sentence(_without_stop(text))
    text = _without_unit(text).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`":
        text = text[1:-1].strip()
    if match := _MONEY.fullmatch(text):
        text = match["sign"] + match["amount"]
    return None if text in {"", "None", "nan"} else text


def _after_label(text: str) -> str:
    """What follows the last `label: ` that stands outside brackets."""
    depth, cut = 0, 0
    for index, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == ":" and depth == 0 and text[index + 1 : index + 2] in ("", " ", "\t"):
            label = text[cut:index]
            cut = index + 1 if re.search(r"[A-Za-z]", label) else cut
    return text[cut:].strip()


def _after_equals(text: str) -> str:
    """`5` for `x = 5`, `total cost = 5` and `2 + 3 = 5`; an equation or a list stays whole."""
    parts = [part.strip() for part in _EQUALS.split(text)]
    head = parts[0]
    if len(parts) == 1 or not all(parts) or re.search(r"[,;<>]|\b(?:and|or)\b", text):
        grouped = len(parts) == 2 and _GROUPED.search(parts[-1])
        if not grouped or re.search(r"[;<>]|\b(?:and|or)\b", text):
            return text
    label = _LABEL_BEFORE_EQUALS.fullmatch(head)
    return parts[-1] if label or not re.search(r"[A-Za-z\\]", head) else text


def _without_stop(text: str) -> str:
    return text[:-1].rstrip() if text.endswith(".") and not text.endswith("..") else text


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word.lower() not in _MATH_WORDS]


def _without_sentence(text: str) -> str:
    """The answer of a sentence: what follows its verb, or else the last number in it."""
    if len(_words(text)) >= 2 and (match := _IS.match(text)) and match.end() < len(text):
        text = text[match.end() :]
    if len(_words(text)) < 3 or _COUNTED.fullmatch(text):
        return text
    numbers = [match.group() for match in _ANY_NUMBER.finditer(text) if match.group().strip()]
    return numbers[-1].strip() if numbers else text


def _without_unit(text: str) -> str:
    """`18` for `18 dollars a day`; words that are part of the expression stay."""
    match = _COUNTED.fullmatch(text)
    if match is None or not match["number"].strip():
        return text
    words = re.findall(r"[A-Za-z]+", match["rest"].lower())
    # "18 apples, 5 oranges", "2 hours 30 minutes": the first number alone is not the answer.
    counts_more = re.search(r"[=<>*+\\]|,\s*\d|^\w+\s+\d|\b(?:and|or)\b", match["rest"])
    return text if words[0] in _MATH_WORDS or counts_more else match["number"].strip()


def _plain_fraction(match: re.Match[str]) -> str:
    top, bottom = [group for group in match.groups() if group is not None]
    before = match.string[: match.start()].rstrip()
    mixed = " " if before and before[-1].isdigit() else ""
    return f"{mixed}{top}/{bottom}"


def _plain_decimal(match: re.Match[str]) -> str:
    whole, part = match["whole"].lstrip("0") or "0", (match["part"] or "").rstrip("0")
    return f"{whole}.{part}" if part else whole
