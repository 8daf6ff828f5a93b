"""JSON schemas: whether a value is what one says, and what is wrong with it if not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec


class Flaw(msgspec.Struct, frozen=True):
    """What of a value is not as its schema says."""

    path: str
    """Where, as ``$.orders[2].amount``."""
    message: str
    """What was expected there, and what was found."""


class Schema:
    """A schema that values are held against; what it refers to elsewhere is never fetched.

    Args:
        schema: The schema, decoded.

    Raises:
        ValueError: It is none.
    """

    def __init__(self, schema: Any) -> None:
        # Only a gate that looks at schemas has its 15 MB in memory.
        import jsonschema_rs  # noqa: PLC0415

        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=_retrieve_nothing)
        except jsonschema_rs.ValidationError as error:
            msg = str(error.message)
            raise ValueError(msg) from error

    def allows(self, value: object) -> bool:
        """Return whether a value is as the schema says."""
        return self._validator.is_valid(value)

    def flaws(self, value: object) -> Iterator[Flaw]:
        """Give everything that is wrong with a value."""
        for error in self._validator.iter_errors(value):
            yield Flaw(_path(error.instance_path), error.message)


def _path(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _retrieve_nothing(uri: str) -> NoReturn:
    msg = f"a schema may not refer to {uri}: an agent's schema opens no connection"
    raise ValueError(msg)
