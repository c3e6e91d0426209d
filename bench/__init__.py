"""Benchmarks: one workload, several systems, one run; see docs/benchmarks.md."""
