"""What the online services of remote hosts moved, by category, for people.

What it does not do: account. It adds up the counters of hosts: what two remote ones moved between them counts twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fastmon.model.snapshot import Snapshot

__all__ = ["CategoryTraffic", "remote_categories"]


class CategoryTraffic(NamedTuple):
    """A category.  n_bytes, n_hosts: of remote hosts with a name of one of its services.  service: the one with most bytes."""

    category: str
    n_bytes: int
    n_hosts: int
    service: str


def remote_categories(snapshot: Snapshot) -> list[CategoryTraffic]:
    """Return the categories of a snapshot's remote hosts, those with most bytes first; none where no names are known."""
    if not snapshot.names:
        return []
    from fastmon.classify.online import online_service_of

    hosts, local = snapshot.hosts[~snapshot.local], snapshot.local[~snapshot.local]
    sizes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    n_hosts: Counter[str] = Counter()
    totals = (hosts["bytes_in"] + hosts["bytes_out"]).tolist()
    for name, total in zip(snapshot.names.names_of(hosts["key"], local), totals, strict=True):
        found = online_service_of(name[0]) if name else None
        if found is not None:
            sizes[found.category][found.service] += total
            n_hosts[found.category] += 1
    rows = [
        CategoryTraffic(category, services.total(), n_hosts[category], services.most_common(1)[0][0])
        for category, services in sizes.items()
    ]
    return sorted(rows, key=lambda row: (-row.n_bytes, row.category))
