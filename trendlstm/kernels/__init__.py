"""Compiled kernels: every function here works on NumPy arrays and knows nothing of prices, files or users."""
