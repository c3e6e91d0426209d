"""What the JMX exporter is to tell of brokers: the names of deploy/monitoring/jmx.yml."""

from __future__ import annotations

import re

import yaml

from tests.deploy.settings import ROOT

__all__ = ["told_by_brokers"]


def told_by_brokers() -> frozenset[str]:
    """Return the names of all metrics that the exporter's rules make, as Prometheus sees them."""
    rules = yaml.safe_load((ROOT / "deploy" / "monitoring" / "jmx.yml").read_text())["rules"]
    names: set[str] = set()
    for rule in rules:
        one_of = re.search(r"\(([\w|]+)\)", rule["pattern"])
        names |= {rule["name"].replace("$1", one).lower() for one in (one_of[1].split("|") if one_of else [""])}
    return frozenset(names)
