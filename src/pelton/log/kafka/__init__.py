"""The log contract's home on Apache Kafka, the only place that imports aiokafka."""

from pelton.log.kafka.group import GroupStatistics, KafkaGroup
from pelton.log.kafka.log import KafkaLog, LogStatistics

__all__ = ["GroupStatistics", "KafkaGroup", "KafkaLog", "LogStatistics"]
