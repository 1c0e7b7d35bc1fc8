"""What can be wrong with a model, its store or its aliases; every message names the thing."""


class ModelError(Exception):
    """A model that cannot be had; the message says which and why."""


class ModelNotFound(ModelError):  # noqa: N818 - what happened, as in FileNotFoundError's kin
    """The store holds no such version or alias."""


class ModelDamaged(ModelError):  # noqa: N818
    """A version is refused: a file of it is missing, altered, cut short, unlisted or unsafe."""


class ModelExists(ModelError):  # noqa: N818
    """A name is taken; versions never change."""


class AliasMoved(ModelError):  # noqa: N818
    """An alias was moved by somebody else in the meantime."""


class StoreUnreachable(ModelError):  # noqa: N818
    """The place where the store lies does not answer, or refuses."""
