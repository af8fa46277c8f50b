# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Named choices: every variation of a case is one, so that a case is a dict.

The first option of a choice is its plainest. What is drawn is recorded by name;
a recorded case can be replayed, and minimised by forgetting choices.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Tuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Record = Dict[str, str]


class Choices:
    """Takes one of several options at a time, by ``pick(name, labels)``."""

    def __init__(
        self,
        pick: Callable[[str, Sequence[str]], int],
        avoid: Callable[[Record, str], bool] = lambda record, name: False,
    ) -> None:
        self._pick = pick
        self._avoid = avoid
        self.record: Record = {}
        self._taken: Record = {}

    def __call__(self, name: str, options: Sequence[Any], plain: int = 1) -> Any:
        """One of ``options``; the first is ``plain`` times as likely as another."""
        others = [
            o
            for o in options[1:]
            if not self._avoid({**self.record, name: str(o)}, name)
        ]
        kept = [options[0]] * plain + others
        labels = [str(o) for o in kept]
        if self._taken.get(name) in labels:  # What has a name is chosen once.
            return kept[labels.index(self._taken[name])]
        index = self._pick(name, labels) if len(kept) > 1 else 0
        self._taken[name] = labels[index]
        if labels[index] != str(options[0]):
            self.record[name] = labels[index]
        return kept[index]

    def rarely(self, name: str, options: Sequence[Any]) -> Any:
        """The plainest option as often as all others together."""
        return self(name, options, max(1, len(options) - 1))


def replay(record: Record) -> Choices:
    """The choices of a record; what it does not name is plain."""

    def pick(name: str, labels: Sequence[str]) -> int:
        wanted = record.get(name)
        return labels.index(wanted) if wanted in labels else 0

    return Choices(pick)


def draw(
    make: Callable[[Choices], Any],
    count: int,
    start: int,
    avoid: Callable[[Record, str], bool] = lambda record, name: False,
) -> List[Tuple[Record, Any]]:
    """``count`` drawn cases: their records, and what ``make`` gave for them. No option
    is taken of which ``avoid(record with it, its name)`` says so."""
    drawn: List[Tuple[Record, Any]] = []

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        # A generator seeded by hypothesis: uniform, where its own integers repeat
        # themselves. What it would shrink, minimise() does, by the names.
        random = data.draw(st.randoms(use_true_random=True))
        source = Choices(lambda _, labels: random.randrange(len(labels)), avoid)
        drawn.append((source.record, make(source)))

    collect()
    return drawn[:count]


def minimise(record: Record, fails: Callable[[List[Record]], List[bool]]) -> Record:
    """A small record, found by forgetting choices, that still fails; ``fails`` judges
    many at a time."""
    while True:
        smaller = [{k: v for k, v in record.items() if k != name} for name in record]
        failing = [fewer for fewer, failed in zip(smaller, fails(smaller)) if failed]
        if not failing:
            return record
        # Most choices do not matter: forget all that can go alone, if that fails.
        together = {
            k: v for k, v in record.items() if all(k in fewer for fewer in failing)
        }
        record = together if fails([together])[0] else failing[0]
