"""Runs one step as a notebook runs a cell.

A step's code runs in a namespace that lasts; if its last statement is an expression, its value is
shown. Standard library only; no I/O but the captured output.
"""

import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

from services.sandbox.capture import Capture
from services.sandbox.cell import compile_cell
from services.sandbox.wire import Ending, Result


class Notebook:
    """One interpreter state: the module `__main__` of the steps that have run."""

    def __init__(self) -> None:
        self._module = types.ModuleType("__main__")
        self._steps = 0

    def run(self, code: str, output_bytes: int, on_flood: Callable[[Result], None]) -> Result:
        """Run a step's code after those before it.

        Args:
            code: Python source.
            output_bytes: limit of the captured output.
            on_flood: told the result when output runs away; it does not return.
        """
        self._steps += 1
        filename = f"<step {self._steps}>"

        def flood() -> None:
            message = f"wrote far more than the limit of {output_bytes} bytes"
            on_flood(Result(Ending.OUTPUT_LIMIT, capture.text(), True, "OutputLimit", message))

        capture = Capture(output_bytes, flood)
        # The step must find itself in sys.modules: dataclasses and pickle look there.
        sys.modules["__main__"] = self._module
        sys.stdout = capture
        try:
            self._execute(code, filename, capture)
        except BaseException as error:  # sys.exit() included: it ends the step only
            return _failure(error, filename, capture)
        return Result(Ending.OK, capture.text(), capture.truncated)

    def _execute(self, code: str, filename: str, capture: Capture) -> None:
        cell = compile_cell(code, filename)
        namespace = self._module.__dict__
        for program in cell.body:
            exec(program, namespace)  # noqa: S102 - running untrusted code is its purpose
        if cell.shown is not None:
            value = eval(cell.shown, namespace)  # noqa: S307 - the same
            if value is not None:
                capture.write(f"{value!r}\n")


def _failure(error: BaseException, filename: str, capture: Capture) -> Result:
    ending = Ending.OUT_OF_MEMORY if isinstance(error, MemoryError) else Ending.ERROR
    line = _line(error, filename)
    error_type = str(type(error).__name__)
    message = _message(error)
    # The frames hold what filled the memory; from here on they are not needed.
    error.__traceback__ = None
    return Result(ending, capture.text(), capture.truncated, error_type, message, line)


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return str(error.msg)
    try:
        return str(error)
    except BaseException as second:  # a step's own __str__ may raise anything
        return f"(its message could not be read: {type(second).__name__})"


def _line(error: BaseException, filename: str) -> int:
    """The deepest line of this step's code that the exception passed through, or 0."""
    if isinstance(error, SyntaxError) and error.filename == filename:
        return error.lineno or 0
    line: Any = 0
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == filename:
            line = number
    return int(line or 0)
