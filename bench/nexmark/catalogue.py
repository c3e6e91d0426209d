"""The queries by number: what each is, what it reads, and what its results must amount to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.nexmark.expected import EXPECTED, Frames, Rows

__all__ = ["QUERIES", "Query"]


@dataclass(frozen=True, slots=True)
class Query:
    """A query: a program, and how it is judged.

    reads: its topics, "persons", "auctions" or "bids". shows: what of a stream processor it exercises.
    loads: a topic that is to be read before the others begin. changes: whether of results with one key the last stands.
    """

    number: int
    title: str
    shows: str
    reads: Sequence[str]
    loads: str | None = None
    changes: bool = False

    @property
    def module(self) -> str:
        """The name of its program."""
        return f"bench.nexmark.queries.q{self.number}"

    def expected(self, frames: Frames) -> Rows:
        """Return the rows that its results must amount to."""
        return EXPECTED[self.number](frames).to_dicts()


QUERIES: Mapping[int, Query] = {
    query.number: query
    for query in (
        Query(0, "pass through", "the cost of a record", ["bids"]),
        Query(1, "currency conversion", "a function of each record", ["bids"]),
        Query(2, "selection", "a filter", ["bids"]),
        Query(3, "local item suggestion", "a join of streams by a field of each", ["auctions", "persons"]),
        Query(4, "average price for a category", "a join, the best of each, means", ["auctions", "bids"], changes=True),
        Query(5, "hot items", "hopping windows, then all keys of a window together", ["bids"], changes=True),
        Query(6, "average selling price by seller", "the last ten of each key", ["auctions", "bids"], changes=True),
        Query(7, "highest bid", "a maximum over all keys, preselected in each partition", ["bids"], changes=True),
        Query(8, "monitor new users", "a join within a window, each once", ["persons", "auctions"]),
        Query(9, "winning bids", "a join, and the best of each", ["auctions", "bids"], changes=True),
        Query(10, "log to the file system", "files, exactly once, a batch at a time", ["bids"]),
        Query(11, "user sessions", "session windows over a repartitioned stream", ["bids"]),
        Query(12, "processing time windows", "windows of the clock", ["bids"], changes=True),
        Query(13, "bounded side input join", "a lookup in a global table", ["bids"], loads="side-inputs"),
        Query(14, "calculation", "functions of one's own", ["bids"]),
        Query(15, "bidding statistics report", "distinct counts, a batch at a time", ["bids"], changes=True),
        Query(16, "channel statistics report", "the same for many keys", ["bids"], changes=True),
        Query(17, "auction statistics report", "aggregates told anew with each record", ["bids"], changes=True),
        Query(18, "find last bid", "the last of each key", ["bids"], changes=True),
        Query(19, "auction top 10", "the ten greatest of each key", ["bids"], changes=True),
        Query(20, "expand bid with auction", "a join with a filter", ["auctions", "bids"]),
        Query(21, "add channel id", "regular expressions", ["bids"]),
        Query(22, "get URL directories", "splitting text", ["bids"]),
    )
}  # fmt: skip
