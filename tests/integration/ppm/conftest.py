import pytest

from rstar.bench.random_ppm import make_ppm
from services.common.models.store import ModelStore, StoredModel


@pytest.fixture(scope="session")
def ppm_store(smollm2: StoredModel, tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """A store that holds one small PPM, rstar.bench.random_ppm.VERSION."""
    store = ModelStore(tmp_path_factory.mktemp("store"))
    make_ppm(smollm2, store, tmp_path_factory.mktemp("ppm"))
    return store
