"""The sessions that something can still be added to."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.analysis.units import Unit, order


class Held:
    """Open sessions by their key and by the second of their pin. Not to be shared between threads."""

    __slots__ = ("_seconds", "_units")

    def __init__(self, units: Iterable[Unit] = ()) -> None:
        self._units: dict[bytes, Unit] = {}
        self._seconds: dict[int, list[Unit]] = {}
        for unit in units:
            self.add(unit)

    def __len__(self) -> int:
        return len(self._units)

    def get(self, session: bytes) -> Unit | None:
        return self._units.get(session)

    def all(self) -> list[Unit]:
        return list(self._units.values())

    def add(self, unit: Unit) -> None:
        self._units[unit.session] = unit
        self._seconds.setdefault(int(unit.pinned_at), []).append(unit)

    def between(self, first: int, upto: int) -> list[list[Unit]]:
        """Those pinned in these seconds, for each second in order of pin."""
        held = self._seconds
        if upto - first > len(held):
            seconds = sorted([second for second in held if first <= second < upto])
        else:
            seconds = [second for second in range(first, upto) if second in held]
        return [sorted(held[second], key=order) for second in seconds]

    def close(self, unit: Unit) -> None:
        """Nothing can be added to it any more. Its second is kept until `forget`."""
        del self._units[unit.session]

    def forget(self, upto: int) -> None:
        """Seconds before this one, whose sessions have all been closed."""
        for second in [second for second in self._seconds if second < upto]:
            del self._seconds[second]
