"""The line of memory beyond which no search begins."""

from pathlib import Path

import pytest

from services.search.memory import MemoryShort, Watermark, resident_bytes

GIB = 1024**3


def cgroup(folder: Path, limit: str, current: int, inactive: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\nslab 2\n")
    return folder


def test_a_limit_of_the_settings_is_held_against_the_process() -> None:
    used = resident_bytes()
    Watermark(2 * used, 0.9).check()
    with pytest.raises(MemoryShort, match="MiB of memory are in use"):
        Watermark(used, 0.5).check()


def test_a_cgroup_s_limit_counts_without_what_it_could_drop(tmp_path: Path) -> None:
    Watermark(0, 0.8, cgroup(tmp_path, str(GIB), GIB, GIB // 2)).check()
    with pytest.raises(MemoryShort):
        Watermark(0, 0.8, cgroup(tmp_path, str(GIB), GIB, GIB // 10)).check()


def test_without_a_limit_nothing_is_refused(tmp_path: Path) -> None:
    Watermark(0, 0.1, tmp_path / "none").check()
    Watermark(0, 0.1, cgroup(tmp_path, "max", GIB, 0)).check()
