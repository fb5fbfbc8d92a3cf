"""Measures, tests of significance and baselines for predicted prices."""
