"""Sequential digits: tell which digit an image shows that is seen pixel by pixel.

As the sequential MNIST of Le, Jaitly & Hinton 2015, but with scikit-learn's 8x8 digits, which need no download.
"""

import functools

import numpy as np

from trendlstm.errors import MissingLibraryError
from trendlstm.experiments.task import Exam, Published, Sequences, Task, Training
from trendlstm.nn.network import Network
from trendlstm.version import install_command

TEST_IMAGES = 360  # of 1,797, the last ones in a fixed random order
LARGEST_PIXEL = 16

_OF_MNIST = (
    ("LSTM", "van der Westhuizen & Lasenby 2018, arXiv 1804.04849", {"in-order": 98.5, "permuted": 91.0}),
    ("JANET", "van der Westhuizen & Lasenby 2018, arXiv 1804.04849", {"in-order": 99.0, "permuted": 92.5}),
    ("LEM", "Rusch et al. 2022, its repository", {"in-order": 99.5, "permuted": 96.6}),
)


def digits(variant: str = "in-order") -> Task:
    """Tell the digit of an image whose 64 pixels are seen one a step.

    A training sequence is one of 1,437 images, drawn at random again and again; the other 360 are for testing.

    Parameters
    ----------
    variant : {"in-order", "permuted"}
        Row by row, or in one random order, the same for all images.

    Raises
    ------
    MissingLibraryError
        Scikit-learn, which brings the images.
    """
    images, labels = _images()
    steps = images.shape[1]
    if variant == "permuted":
        images = images[:, permutation(steps)]
    images = images[:, :, None]

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        chosen = generator.integers(len(images) - TEST_IMAGES, size=count)
        return Sequences(images[chosen], labels[chosen], np.full(count, steps))

    def take(network: Network, generator: np.random.Generator) -> float:
        answers = network.predict(images[-TEST_IMAGES:], n_threads=1)[:, 0].argmax(axis=1)
        return float(np.mean(answers == labels[-TEST_IMAGES:, 0]))

    return Task(
        name=f"digits-{variant}",
        title=f"Sequential digits, {'in order' if variant == 'in-order' else variant}",
        question=f"Tell the digit of an image whose {steps} pixels are seen one after the other.",
        input_size=1,
        output_size=1,
        lag=steps,
        draw=draw,
        criterion=Exam(
            every=1440,
            take=take,
            measure=f"share of {TEST_IMAGES} test images that are recognised",
            limit=None,
            more_is_better=True,
        ),
        published=tuple(
            Published(
                network, source, result=f"{accuracies[variant]:.1f} % of MNIST's test images, 784 pixels"
            )
            for network, source, accuracies in _OF_MNIST
        ),
        training=Training(hidden_size=64, learning_rate=3e-3, trials=5, max_sequences=144_000),
        classes=10,
        differences=(
            "1,797 images of 8x8 pixels, scikit-learn's; the papers: MNIST, 70,000 of 28x28, so that their accuracies "
            "cannot be compared with these.",
        ),
    )


def permutation(steps: int) -> np.ndarray:
    """The order in which the pixels of the permuted images are seen."""
    return np.random.default_rng(2015).permutation(steps)


@functools.cache
def _images() -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 64) in [0, 1] and their digits (N, 1), float32, in a fixed random order."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingLibraryError(
            f"scikit-learn, which brings the images, is missing. Install it with: {install_command('sklearn')}."
        ) from error
    data, target = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(data))
    return (data[order] / LARGEST_PIXEL).astype(np.float32), target[order, None].astype(np.float32)
