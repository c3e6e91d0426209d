"""What a service says again and again: templates, mined online by Drain.

A miner is a fold over a service's lines and draws on nothing else, so the same lines in the same order give the same
templates. All that it knows is in the rows of a table (`Template`), of which a line changes one; from them it is built
again, tree and all, to the same state. So its state is committed with everything else that came of a line.
Source: P. He et al., Drain: an online log parsing approach with fixed depth tree, ICWS 2017.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from drain3.drain import Drain, LogCluster

from app.models import Template

__all__ = ["TEMPLATES_MAX", "Miner"]

#: Templates of one service; what comes when there are so many is number 0.
TEMPLATES_MAX = 500
#: Words of a message that are looked at.
WORDS_MAX = 40
WORD_CHARS_MAX = 100
OTHER = "(anything else)"

#: The depth of the tree: it branches by the number of words and by the first word, so both find a template again.
_DEPTH = 4
_SIMILARITY = 0.5
#: A piece of a word that holds a digit is taken to vary: a number, a time, an address, a version, an id.
_VARIES = re.compile(r"""[^\s=,;()\[\]{}"'<>]*\d[^\s=,;()\[\]{}"'<>]*""")


class Miner:
    """The templates of one service."""

    def __init__(self, templates: Iterable[Template] = ()) -> None:
        """Build the miner that has these templates, in the order of their numbers."""
        self._drain = Drain(depth=_DEPTH, sim_th=_SIMILARITY)
        for template in templates:
            self._restore(template)

    def _restore(self, template: Template) -> None:
        """Put a template where it was put when it came up: its first word may have become a <*> since."""
        words = template.text.split()
        cluster = LogCluster([template.anchor, *words[1:]] if words else [], template.number)
        self._drain.id_to_cluster[template.number] = cluster
        self._drain.add_seq_to_prefix_tree(self._drain.root_node, cluster)
        cluster.log_template_tokens = tuple(words)
        self._drain.clusters_counter = template.number

    def add(self, message: str) -> tuple[int, str, str]:
        """Learn from a message.

        Returns: its template's number (0 where there is no room for another), the template as it is now, and the
        message's first word.
        """
        words = [word[:WORD_CHARS_MAX] for word in _VARIES.sub("<*>", message).split()[:WORDS_MAX]]
        drain, text = self._drain, " ".join(words)
        cluster = drain.match(text)  # a template that says it already; words that vary count as alike only here
        if cluster is None:
            if len(drain.id_to_cluster) >= TEMPLATES_MAX and self._nearest(words) is None:
                return 0, OTHER, ""
            cluster, _ = drain.add_log_message(text)
        return cluster.cluster_id, cluster.get_template(), words[0] if words else ""

    def _nearest(self, words: list[str]) -> LogCluster | None:
        return self._drain.tree_search(self._drain.root_node, words, _SIMILARITY, include_params=False)
