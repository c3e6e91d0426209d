"""What is wrong, or will be, around an application: its log, its machine, its topics, and its settings.

`examine` looks, and changes nothing but a topic of its own that it deletes again; `judge` says what that means. So each
judgement can be tried over what was made to be found.
"""

from __future__ import annotations

from collections.abc import Sequence

from pelton.shell.doctor.brokers import judge_brokers
from pelton.shell.doctor.examining import examine
from pelton.shell.doctor.findings import SEVERITIES, Examined, Finding
from pelton.shell.doctor.machine import judge_machine
from pelton.shell.doctor.settings import judge_settings
from pelton.shell.doctor.topics import judge_topics

__all__ = ["SEVERITIES", "Examined", "Finding", "examine", "judge"]


def judge(examined: Examined) -> Sequence[Finding]:
    """Return what there is to say, the worst first."""
    found = [
        *judge_brokers(examined),
        *judge_machine(examined),
        *judge_topics(examined),
        *judge_settings(examined),
    ]
    return sorted(found, key=lambda finding: -SEVERITIES[finding.severity])
