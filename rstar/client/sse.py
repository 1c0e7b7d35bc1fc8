"""Server-sent events out of lines (WHATWG HTML, section 9.2)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name, its data, and the last id that was sent up to it."""

    name: str
    data: str
    id: str | None


class Decoder:
    """Puts events together from lines; comments and unknown fields are passed over.

    Attributes:
        last_id: the id to go on after when the stream breaks off.
    """

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self._reset()

    def _reset(self) -> None:
        self._name = "message"
        self._data: list[str] = []

    def feed(self, line: str) -> ServerEvent | None:
        """Take one line without its end; the event that an empty line completes."""
        if not line:
            event = ServerEvent(self._name, "\n".join(self._data), self.last_id)
            is_event = bool(self._data)
            self._reset()
            return event if is_event else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_id = value
        return None
