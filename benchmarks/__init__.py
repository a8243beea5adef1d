"""Measure: latency and throughput of bundles and backends."""
