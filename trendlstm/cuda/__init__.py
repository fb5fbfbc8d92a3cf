"""The GPU twin of `kernels`, compiled by numba-cuda, which is imported only when a GPU is asked for."""
