"""How threads wait for one another in native code: they spin for a while, then they sleep.

A thread that waits looks again and again, `SPINS` times, as the others are mostly about to come.
Then it offers its core to whoever else wants it, `OFFERS` times for each spin: where nobody does,
that is spinning too. Then it sleeps until it is woken (``futex``, which takes no time of those who
have work; systems other than Linux have no public call of the kind, there it sleeps by the clock).

Whoever spins where the others wait for a core keeps them from coming. So where a team has more
threads than the process has cores (`spins_for`) nobody spins. And where a core that was offered
comes back late, somebody else had it: for the next `CROWDED` times a thread spins for a short
while and sleeps.
"""

from __future__ import annotations

SPINS = 2000
"""Turns of a waiting thread before it offers its core: some fifty microseconds."""
OFFERS = 2
"""Offers for each spin: a millisecond or two, before the thread goes to sleep."""
CROWDED = 50
"""Waits that are short after another program took a core that was offered."""
SHORT = 8
"""Times fewer spins of such a wait, and no offers."""


def spins_for(threads: int, cores: int) -> int:
    """How many turns a thread spins where so many threads share so many cores."""
    return SPINS if threads <= cores else 0
