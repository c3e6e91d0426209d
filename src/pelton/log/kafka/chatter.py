"""What aiokafka says to its loggers, told apart: passing troubles are for DEBUG, the rest is left as it is.

aiokafka reports each retry as a warning or an error, several at every start of a worker. A trouble that does not pass
becomes an error of ours (`UnavailableError`, `ConfigurationError`) or a warning of `pelton.log.kafka`, with a hint.

At DEBUG it logs every request whole, the one with the password among them: that one is kept out of the log.
"""

from __future__ import annotations

import logging

__all__ = ["quieten"]

#: Logger -> how the messages begin that are routine; "" stands for all. Tracebacks are never routine.
_ROUTINE = {
    "aiokafka": ("",),
    "aiokafka.consumer.group_coordinator": ("",),
    # Authorization and invalid names, which it also reports, stay.
    "aiokafka.cluster": ("No broker metadata found", "Topic %s not found", "Topic %s is not available"),
}


class _Demotion(logging.Filter):
    """Makes routine warnings and errors DEBUG, and drops them when nobody listens to that."""

    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self._beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.exc_info or not str(record.msg).startswith(self._beginnings):
            return True
        record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


class _Redaction(logging.Filter):
    """Replaces what is exchanged to authenticate by its name: PLAIN sends the password as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                f"{type(arg).__name__}(not shown)" if type(arg).__name__.startswith("SaslAuthenticate") else arg
                for arg in record.args
            )
        return True


_FILTERS: dict[str, logging.Filter] = {name: _Demotion(beginnings) for name, beginnings in _ROUTINE.items()}
_FILTERS["aiokafka.conn"] = _Redaction()


def quieten() -> None:
    """Have aiokafka's routine retries logged as DEBUG, and no secrets at all, in the whole process. Idempotent."""
    for name, demotion in _FILTERS.items():
        logging.getLogger(name).addFilter(demotion)
