"""The durable log: its contract, and its homes in SQLite and in Kafka."""
