"""A whole deployment as processes of one machine: three real brokers, workers as pods would be, Prometheus.

    python -m pelton.testing.deployment --application app --workers 3 --settings deploy/cluster.env

What a chart gives a pod a worker gets here: a name in the group that lasts, a data directory of its own, the token that
its page wants, the same settings; and one that ends by itself is started again. Everything ends with Ctrl-C, in order:
what feeds, the workers, which commit, Prometheus, the brokers.
"""

from __future__ import annotations

from pelton.testing.deployment.supervising import Deployment, DeploymentOptions

__all__ = ["Deployment", "DeploymentOptions"]
