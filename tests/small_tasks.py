"""Tasks that are learned in no time, for tests of what happens to them."""

import numpy as np

from trendlstm.experiments.task import Criterion, Exam, Sequences, Task, Training

CRITERION = Criterion(tolerance=0.5, run=25, mean=0.2)
# what a test shortens: every number a small one
TRAINING = Training(hidden_size=4, batch_size=10, trials=2, max_sequences=100)


def mean_squared_error(network, generator):
    """The score of networks on `small_task`."""
    x, y, lengths = small_task().draw(generator, 20)
    return float(np.square(network.predict(x, lengths, n_threads=1) - y).mean())


EXAM = Exam(
    every=40, take=mean_squared_error, measure="test mean squared error", limit=0.0, milestones=(1e9,)
)


def small_task(criterion=CRITERION, classes=0, is_every_step=False, steps=4, **training):
    """Add the first two of two to `steps` numbers; or tell, of one of `classes`, how large the sum is."""

    def draw(generator, count):
        x = np.zeros((count, steps, 2), np.float32)
        x[:, :, 0] = generator.uniform(0, 1, (count, steps))
        x[:, :2, 1] = 1
        lengths = generator.integers(2, steps, count, endpoint=True)
        x[np.arange(steps) >= lengths[:, None]] = 0
        y = x[:, :2, 0].sum(axis=1, keepdims=True) / 2
        if is_every_step:
            y = np.repeat(y[:, None], steps, axis=1)
        return Sequences(x, np.floor(y * classes).astype(np.float32) if classes else y, lengths)

    return Task(
        name="small",
        title="A small task",
        question="What is the sum?",
        input_size=2,
        output_size=1,
        lag=steps,
        draw=draw,
        criterion=criterion,
        published=(),
        training=TRAINING._replace(**training),
        classes=classes,
        is_every_step=is_every_step,
    )
