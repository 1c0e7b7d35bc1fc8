"""In a process of its own, since what is done cannot be undone."""

import subprocess
import sys

PROGRAM = """
import sympy
from services.sandbox import footprint
before = footprint.mappings()
writable_code = lambda: [m for m in footprint.mappings() if "w" in m.access and "x" in m.access]
merged = footprint.merge_images()
after = footprint.mappings()
assert merged > 10, merged
assert len(after) < 0.7 * len(before), (len(before), len(after))
assert not writable_code()
if copied := footprint.copy_interpreter():
    # A kernel without huge pages does not; where it does, the code is no file's any more.
    # The heap may have grown meanwhile, which changes mappings of data.
    gone = set(after) - set(footprint.mappings())
    (code,) = [m for m in gone if "x" in m.access]
    assert (code.access, (code.end - code.start) // 2**20) == ("r-xp", copied)
    (copy,) = [m for m in footprint.mappings() if m.start <= code.start and code.end <= m.end]
    assert (copy.access, copy.name) == ("r-xp", "")
assert not writable_code()
assert str(sympy.factor(sympy.Symbol("x")**2 - 1)) == "(x - 1)*(x + 1)"
assert 1 / 3 == float("0.3333333333333333")
"""


def test_libraries_take_fewer_mappings_and_the_interpreter_is_copied_and_none_can_be_written():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
