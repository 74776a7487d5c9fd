import pytest
import torch

from skillkit.neurons.medians import Medians


def median_of(values, sample, size=7):
    """Medians [views, neurons] of values [n, views, neurons], with thresholds from the rows `sample`."""

    def stream(rows, visit):
        for at in range(0, len(rows), size):
            visit(0, rows[at : at + size], None)

    middle = Medians(stream, values[sample])
    stream(values, middle.visit)
    return middle.values()[0]


def random(n, seed=0):
    return torch.randn(n, 2, 5, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("n", [1, 2, 9, 10])
def test_exact_when_every_row_is_a_threshold(n):
    values = random(n)
    assert torch.equal(median_of(values, slice(None)), values.median(0).values)


def test_close_between_thresholds():
    values = random(4000)
    assert (median_of(values, slice(64)) - values.median(0).values).abs().max() < 0.05


def test_zeros_of_a_relu_stay_zero():
    values = (random(1000) - 1).relu()  # more than half are 0
    assert median_of(values, slice(50)).eq(0).all()


def test_a_median_outside_the_sample_is_its_nearest_end():
    values = random(100)
    values[0] = 50
    assert median_of(values, slice(1)).eq(50).all()


def test_batches_change_nothing():
    values = random(300)
    assert torch.equal(median_of(values, slice(20), 1), median_of(values, slice(20), 300))
