"""Scores by the confusion matrix, against values of statsmodels and scikit-learn."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoconv import nn
from isoconv.data import Dataset
from isoconv.errors import ArgumentError
from isoconv.graph.operation import Array
from isoconv.train import answers, evaluate, score, wilson_interval

MIXED = [[5, 1, 0, 0], [2, 3, 1, 0], [0, 0, 0, 0], [1, 3, 0, 0]]
"""Class 2 has no images but one is taken for it; for class 3 nothing is taken."""


@pytest.mark.parametrize(
    ("hits", "images", "low", "high"),
    [
        (0, 1, 0.0, 0.7934506856227627),
        (1, 1, 0.2065493143772374, 1.0),
        (0, 10, 0.0, 0.27753279986288926),
        (10, 10, 0.7224672001371106, 1.0),
        (7, 9, 0.45258896910698887, 0.9367748928821533),
        (90, 100, 0.8256343384950865, 0.9447708629393249),
        (550, 1000, 0.5190327082257413, 0.5805846159257033),
        (12345, 100000, 0.12142561775452175, 0.12550331116056454),
    ],
)
def test_interval_is_that_of_statsmodels(hits: int, images: int, low: float, high: float) -> None:
    """Wilson's interval, to within rounding, by ``proportion_confint(…, method="wilson")``."""
    assert wilson_interval(hits, images) == pytest.approx((low, high), rel=1e-14, abs=1e-15)


@given(st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_share(counts: tuple[int, ...]) -> None:
    """It lies in [0, 1] around the share, and ends exactly at 0 and 1 only where the share does."""
    hits, images = counts
    low, high = wilson_interval(hits, images)
    assert 0 <= low <= hits / images <= high <= 1
    assert low < high
    assert (low == 0) == (hits == 0)
    assert (high == 1) == (hits == images)
    other = wilson_interval(images - hits, images)
    assert low == pytest.approx(1 - other[1], abs=1e-15)


def test_scores_of_classes() -> None:
    """Precision, recall and F1 are quotients of counts; 0/0 is None, nothing found is 0."""
    found = score(MIXED)
    assert (found.images, found.hits, found.accuracy) == (16, 8, 0.5)
    first, second, third, fourth = found.classes
    assert (first.images, first.predicted, first.hits) == (6, 8, 5)
    assert (first.precision, first.recall, first.f1) == (5 / 8, 5 / 6, 10 / 14)
    assert (second.precision, second.recall, second.f1) == (3 / 7, 3 / 6, 6 / 13)
    assert (third.images, third.precision, third.recall, third.f1) == (0, 0.0, None, 0.0)
    assert third.recall_interval is None
    assert (fourth.precision, fourth.recall, fourth.f1) == (None, 0.0, 0.0)
    assert fourth.recall_interval == wilson_interval(0, 4)
    assert first.recall_interval == wilson_interval(5, 6)
    assert found.accuracy_interval == wilson_interval(8, 16)
    assert score([[1, 0], [0, 0]]).classes[1].f1 is None


def test_means_are_those_of_scikit_learn() -> None:
    """Means over the classes that have images, as with ``labels=np.unique(true)``."""
    found = score(np.array(MIXED))
    wanted = (0.3511904761904762, 0.4444444444444445, 0.39194139194139194)
    assert (found.precision, found.recall, found.f1) == pytest.approx(wanted, rel=1e-15)


@given(st.integers(1, 6).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=k, max_size=k)
))  # fmt: skip
def test_means_are_exact_to_rounding(matrix: list[list[int]]) -> None:
    """Every mean lies within rounding of the exact one; the hits are the diagonal."""
    if not np.any(matrix):
        with pytest.raises(ArgumentError, match="at least one image"):
            score(matrix)
        return
    found, size = score(matrix), len(matrix)
    exact = [Fraction(matrix[k][k], sum(matrix[k])) for k in range(size) if sum(matrix[k])]
    assert found.recall == pytest.approx(float(sum(exact) / len(exact)), rel=1e-15)
    assert found.accuracy == sum(matrix[k][k] for k in range(size)) / np.sum(matrix)


def test_baseline() -> None:
    """It is the most frequent class of what was measured, or the one that is named."""
    found = score(MIXED)
    assert (found.baseline.number, found.baseline.hits) == (0, 6)
    assert (found.baseline.accuracy, found.baseline.learned) == (6 / 16, False)
    assert not found.better_than_baseline
    other = score(MIXED, majority=3).baseline
    assert (other.number, other.hits, other.accuracy, other.learned) == (3, 4, 0.25, True)
    assert score([[30, 2], [1, 25]]).better_than_baseline
    # A class that these images lack gives nothing.
    assert score(MIXED, majority=2).baseline.accuracy == 0.0


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 2]], r"whole numbers \(classes, classes\); got dtype int64, shape \(1, 2\)"),
        ([[1.0]], "got dtype float64"),
        ([[0]], "of at least one image"),
        ([[1, -1], [0, 2]], "must hold counts"),
        (np.zeros((0, 0), np.int64), "of at least one image"),
    ],
)
def test_what_is_no_confusion_matrix(matrix: list[list[float]] | Array, message: str) -> None:
    """Anything else than counts of at least one image is refused."""
    with pytest.raises(ArgumentError, match=message):
        score(matrix)
    with pytest.raises(ArgumentError, match=r"majority must be .* at most 3; got 4"):
        score(MIXED, majority=4)


def test_answers() -> None:
    """Each image with its path, class, prediction and probability; mistakes most certain first."""
    pixels = np.array([0, 10, 200, 255, 90, 250], np.uint8).reshape(6, 1, 1, 1)
    data = Dataset.from_arrays(pixels, [0, 1, 1, 0, 0, 1], ["dark", "light"])
    data = Dataset(data.images, data.labels, data.class_names, paths=tuple("abcdef"))
    model = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((1, 1, 1))
    model.load_weights(
        {"1.weight": np.array([[-0.05, 0.05]], np.float32), "1.bias": np.array([5, -5], np.float32)}
    )
    found = evaluate(model, data, threads=1)
    said = answers(data, found)
    assert [each.path for each in said] == list("abcdef")
    assert [each.true for each in said] == data.labels.tolist()
    assert [each.predicted for each in said] == found.predictions.tolist() == [0, 0, 1, 1, 0, 1]
    assert [each.right for each in said] == [True, False, True, False, True, True]
    assert found.probabilities is not None
    for each in said:
        assert each.probability == found.probabilities[each.sample, each.predicted]
    wrong = answers(data, found, mistakes=True)
    assert [each.path for each in wrong] == ["d", "b"]
    assert wrong[0].probability > wrong[1].probability
    assert found.scores == score(found.confusion)
    with pytest.raises(ArgumentError, match="one of 6 images and 2 images"):
        answers(data.subset([0, 1]), found)


def test_no_scores_without_classes() -> None:
    """A model without classes has no scores, and says nothing of single images."""
    data = Dataset.from_arrays(np.zeros((2, 1, 1), np.uint8), np.array([[0.5], [1.0]], np.float32))
    model = nn.Sequential(nn.Flatten(), nn.Linear(1)).build((1, 1, 1))
    found = evaluate(model, data, loss="mse", threads=1)
    assert found.scores is None
    with pytest.raises(ArgumentError, match="a model without any"):
        answers(data, found)


@pytest.mark.parametrize(("end", "loss"), [(nn.Softmax(), "cross_entropy"), (nn.Sigmoid(), "bce")])
def test_an_end_that_the_loss_contains_counts_once(end: nn.Module, loss: Any) -> None:
    """A model that ends in softmax or sigmoid measures as the same model without its end."""
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
    labels = np.arange(6) % 2 if loss == "cross_entropy" else random.random((6, 2), np.float32)
    layers = nn.Flatten(), nn.Linear(2)
    model, plain = nn.Sequential(*layers, end), nn.Sequential(nn.Flatten(), nn.Linear(2))
    model.build((4, 4, 1), seed=1)
    plain.build((4, 4, 1)).load_weights(dict(model.weights))
    ended, bare = (evaluate(m, (images, labels), loss=loss, scale=1) for m in (model, plain))
    assert ended.loss == bare.loss
    np.testing.assert_array_equal(ended.probabilities, bare.probabilities)
