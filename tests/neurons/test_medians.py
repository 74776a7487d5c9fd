import pytest
import torch

from skillkit.neurons.medians import Medians


def median_of(values, sample, size=7):
    """Medians [views, neurons] of values [n, views, neurons], with thresholds from the rows `sample`."""

    def stream(rows, visit):
        for at in range(0, len(rows), size):
            visit(0, rows[at : at + size], None)

    medians = Medians(stream, values[sample])
    stream(values, medians.visit)
    return medians.values()[0]


def random(n):
    return torch.randn(n, 2, 5, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("n", [1, 2, 9, 10])
def test_exact_when_every_row_is_a_threshold(n):
    assert torch.equal(median_of(random(n), slice(None)), random(n).median(0).values)


def test_close_between_thresholds_whatever_the_batches():
    values = random(4000)
    found = median_of(values, slice(64))
    assert (found - values.median(0).values).abs().max() < 0.05
    assert torch.equal(found, median_of(values, slice(64), 4000))


def test_zeros_of_a_relu_stay_zero_and_a_median_outside_the_sample_is_its_nearest_end():
    assert median_of((random(1000) - 1).relu(), slice(50)).eq(0).all()  # more than half are 0
    values = random(100)
    values[0] = 50
    assert median_of(values, slice(1)).eq(50).all()
