import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.common.models.errors import ModelNotFound, StoreUnreachable
from services.common.models.index import Index, Manifests


class Memory:
    """Records in memory; `between` runs before each exclusive write."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.lock = threading.Lock()

    def between(self) -> None:
        """Somebody else's moment."""

    def create(self, name: str, content: bytes) -> bool:
        self.between()
        with self.lock:
            self.requests.append(f"create {name}")
            return self.held.setdefault(name, content) is content

    def read(self, name: str) -> bytes:
        self.requests.append(f"read {name}")
        if name not in self.held:
            raise ModelNotFound(name)
        return self.held[name]

    def names(self, folder: str) -> list[str]:
        self.requests.append(f"names {folder}")
        with self.lock:
            return sorted(name.removeprefix(f"{folder}/") for name in self.held)

    def erase(self, name: str) -> None:
        with self.lock:
            self.held.pop(name, None)


class Found:
    """What a look at the whole store finds."""

    def __init__(self, **manifests: bytes) -> None:
        self.manifests: Manifests = manifests
        self.looks = 0

    def __call__(self) -> Manifests:
        self.looks += 1
        return self.manifests


@pytest.fixture
def records() -> Memory:
    return Memory()


def test_a_store_without_an_index_is_looked_through_once(records: Memory) -> None:
    found = Found(old=b"{}")
    index = Index(records, "policy", found)
    assert index.read() is None
    index.put("new", b"{1}")
    index.put("newer", b"{2}")
    assert index.read() == {"old": b"{}", "new": b"{1}", "newer": b"{2}"}
    assert found.looks == 1


def test_a_list_takes_two_requests_however_many_there_are(records: Memory) -> None:
    found = Found(**{f"v{i}": b"{}" for i in range(1000)})
    index = Index(records, "policy", found)
    index.rebuild()
    assert found.looks == 1
    records.requests.clear()
    assert len(index.read() or {}) == 1000
    assert records.requests == ["names index/policy", "read index/policy/0000000001.json"]


def test_what_is_dropped_is_gone_and_nothing_is_written_for_nothing(records: Memory) -> None:
    index = Index(records, "policy", Found())
    index.drop("absent")
    assert records.held == {}
    index.put("one", b"1")
    written = dict(records.held)
    index.put("one", b"1")
    index.drop("absent")
    assert records.held == written
    index.put("one", b"2")
    assert index.read() == {"one": b"2"}
    index.drop("one")
    assert index.read() == {}


def test_changes_at_once_are_all_kept(records: Memory) -> None:
    def add(number: int) -> None:
        index = Index(records, "policy", Found())
        index.put(f"v{number}", str(number).encode())
        if number % 4 == 0:
            index.drop(f"v{number}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, range(32)))
    held = Index(records, "policy", Found()).read()
    assert held == {f"v{i}": str(i).encode() for i in range(32) if i % 4}


def test_a_change_during_a_rebuild_is_not_lost(records: Memory) -> None:
    other = Index(records, "policy", Found())
    other.put("first", b"1")
    found = Found(first=b"1", brought=b"0")

    def published_meanwhile() -> None:
        records.between = lambda: None  # type: ignore[method-assign]
        found.manifests = {**found.manifests, "second": b"2"}
        other.put("second", b"2")

    records.between = published_meanwhile  # type: ignore[method-assign]
    Index(records, "policy", found).rebuild()
    assert other.read() == {"first": b"1", "second": b"2", "brought": b"0"}


def test_few_old_ones_are_kept_and_a_reader_who_was_overtaken_looks_again(
    records: Memory,
) -> None:
    index = Index(records, "policy", Found())
    index.put("one", b"1")
    stale = records.names("index/policy")
    for number in range(30):
        index.put("one", str(number).encode())
    assert len(records.held) < 12
    names = records.names

    def overtaken(folder: str) -> list[str]:
        records.names = names  # type: ignore[method-assign]
        return stale

    records.names = overtaken  # type: ignore[method-assign]
    assert index.read() == {"one": b"29"}


def test_one_that_cannot_be_read_is_none_and_made_anew(records: Memory) -> None:
    index = Index(records, "policy", Found(one=b"1"))
    records.held["index/policy/0000000007.json"] = b"{cut"
    assert index.read() is None
    index.put("two", b"2")
    assert index.read() == {"one": b"1", "two": b"2"}


def test_endless_contention_is_said(records: Memory) -> None:
    records.create = lambda name, content: False  # type: ignore[method-assign]
    with pytest.raises(StoreUnreachable, match="reindex later"):
        Index(records, "policy", Found()).put("one", b"1")
