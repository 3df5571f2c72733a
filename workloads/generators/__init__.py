"""Workloads that need no file: calibrated to a trace, plain batches, and the load of services over time."""
