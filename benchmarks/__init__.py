"""Measurements that take minutes and need data: run by hand, results stated in the docs."""
