"""Settings of every test process."""

import os

# NumPy's matrix products in the reference are small: threads only make them slower, and other tests with them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
