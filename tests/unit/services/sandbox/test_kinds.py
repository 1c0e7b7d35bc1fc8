import pytest

from services.sandbox import kinds
from services.sandbox.kinds import Kind


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        ([], Kind.LIGHT),
        (["x = 1", "import math"], Kind.LIGHT),
        (["x = 1", "from sympy import *"], Kind.FULL),
        (["import numpy as np", "x = 1"], Kind.FULL),
        (["# mpmath would do"], Kind.FULL),
        (["SymPy = 1"], Kind.LIGHT),
    ],
)
def test_a_word_for_a_package_needs_the_full_interpreter(codes, kind):
    assert kinds.needed(codes) == kind
