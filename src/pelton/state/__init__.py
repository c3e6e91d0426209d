"""Keyed state: what tables stand on. `contract` says what a store is, `memory` and `rocksdb` are its two homes."""
