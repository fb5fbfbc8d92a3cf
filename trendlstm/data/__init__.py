"""Prices: where they come from (`sources`), how they are checked, cached and cut into samples, and trading days."""
