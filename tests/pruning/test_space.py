from fractions import Fraction
from itertools import product

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_zoo import built, groups_of
from sacp.errors import InputError
from sacp.pruning.space import (
    Space,
    _keys,
    counts_by_step,
    draw_training,
    kept_counts,
    pruning_ratio,
    repeated_rows,
)
from scipy import stats

WEIGHTS, LEVELS, THRESHOLD = [3, 1, 2, 2], 4, 0.3  # a space of 176 configurations


def enumerated(weights: list[int], levels: int, threshold: float) -> np.ndarray:
    """Every configuration inside the threshold, in lexicographic order, by trying all of them."""
    share, whole = Fraction(str(threshold)), levels * sum(weights)
    steps = product(range(levels), repeat=len(weights))
    inside = [row for row in steps if Fraction(sum(t * w for t, w in zip(row, weights, strict=True)), whole) >= share]
    return np.array(inside, np.uint8).reshape(-1, len(weights))


def ranks(rows: np.ndarray, space: np.ndarray) -> np.ndarray:
    """Number of each row in the enumerated space."""
    number = {tuple(row): rank for rank, row in enumerate(space.tolist())}
    return np.array([number[tuple(row)] for row in rows.tolist()])


@st.composite
def small_spaces(draw) -> tuple[list[int], int, float]:
    """Weights, levels and a threshold in hundredths that some configuration reaches."""
    levels = draw(st.integers(2, 5))
    weights = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    return weights, levels, draw(st.integers(0, 100 * (levels - 1) // levels)) / 100


@pytest.mark.parametrize(
    ("step", "channels", "levels", "kept"),
    [
        (9, 10, 10, 1),  # floor((1 - .9) * 10) is 0 in floats
        (3, 10, 10, 7),
        (1, 64, 10, 57),
        (9, 64, 10, 6),
        (0, 64, 10, 64),
        (9, 5, 10, 1),  # half a channel: at least one is kept
        (9, 1, 10, 1),
        (4, 512, 5, 102),
        (19, 512, 20, 25),
        (255, 512, 256, 2),
    ],
)
def test_kept_counts_are_floors_of_integers_and_at_least_one(step, channels, levels, kept):
    assert kept_counts(np.array([step], np.uint8), groups_of([channels]), levels).tolist() == [kept]


@given(st.integers(2, 256), st.integers(1, 2048), st.data())
def test_kept_counts_equal_exact_fractions(levels, channels, data):
    step = data.draw(st.integers(0, levels - 1))
    exact = (1 - Fraction(step, levels)) * channels
    assert kept_counts(np.array([[step]], np.uint8), groups_of([channels]), levels)[0, 0] == max(1, exact // 1)


def test_pruning_ratio_is_over_layers_and_nominal():
    # Groups of 1 x 10 and 3 x 5 channels: (.9 * 10 + .1 * 15) / 25, though a floor would keep 4 of 5 channels.
    assert pruning_ratio(np.array([[9, 1], [0, 0]], np.uint8), [10, 15], 10).tolist() == [0.42, 0.0]


@settings(max_examples=60, deadline=None)
@given(small_spaces())
def test_count_and_unrank_equal_the_enumeration(case):
    space, expected = Space.build(*case), enumerated(*case)
    assert space.count == len(expected)
    assert np.array_equal(space.unrank(np.arange(space.count)), expected)


@settings(max_examples=40, deadline=None)
@given(small_spaces(), st.integers(1, 40), st.integers(0, 5))
def test_sample_is_distinct_and_inside_the_threshold(case, size, seed):
    space, expected = Space.build(*case), enumerated(*case)
    rows = space.sample(min(size, space.count), seed)
    numbers = ranks(rows, expected)  # fails for a row outside
    assert len(set(numbers.tolist())) == min(size, space.count)


@settings(max_examples=20, deadline=None)
@given(small_spaces(), st.integers(0, 5))
def test_draw_stays_inside_the_threshold(case, seed):
    rows = Space.build(*case).draw(200, seed)
    assert len(ranks(rows, enumerated(*case))) == 200


def test_sample_of_the_whole_space_returns_all_of_it_in_random_order():
    space, expected = Space.build(WEIGHTS, LEVELS, THRESHOLD), enumerated(WEIGHTS, LEVELS, THRESHOLD)
    numbers = ranks(space.sample(space.count, 0), expected)
    assert sorted(numbers) == list(range(space.count))
    assert sorted(numbers) != numbers.tolist()


def test_more_than_exist_is_refused_with_the_number_that_exist():
    space = Space.build(WEIGHTS, LEVELS, THRESHOLD)
    exist = len(enumerated(WEIGHTS, LEVELS, THRESHOLD))
    with pytest.raises(InputError, match=f"{exist + 1} distinct .* but only {exist} exist"):
        space.sample(exist + 1, 0)


@pytest.mark.parametrize(("levels", "largest"), [(10, 0.9), (5, 0.8), (20, 0.95), (2, 0.5)])
def test_a_threshold_above_the_largest_ratio_is_refused(levels, largest):
    assert Space.build([4, 6], levels, largest).count == 1
    with pytest.raises(InputError, match=rf"no configuration reaches 0\.96.* is {largest}"):
        Space.build([4, 6], levels, 0.96)


@pytest.mark.parametrize("levels", [5, 10, 20])
def test_threshold_is_the_decimal_that_was_written(levels):
    # One group: t / levels >= i / levels has exactly levels - i solutions, whatever the float of i / levels is.
    counts = [Space.build([64], levels, i / levels).count for i in range(levels)]
    assert counts == [levels - i for i in range(levels)]


@pytest.mark.parametrize(("threshold", "count"), [(0.7, 15), (0.7000000001, 10), (0.6999999999, 15), (0, 100)])
def test_configurations_on_the_threshold_are_inside(threshold, count):
    # Two groups of one weight: t1 + t2 >= 14 has 5 + 4 + 3 + 2 + 1 solutions, five of them on the boundary.
    space = Space.build([8, 8], 10, threshold)
    ratios = pruning_ratio(space.unrank(np.arange(space.count)), [8, 8], 10)
    assert space.count == count
    assert (ratios >= threshold).all()


def test_draw_is_uniform():
    space, expected = Space.build(WEIGHTS, LEVELS, THRESHOLD), enumerated(WEIGHTS, LEVELS, THRESHOLD)
    numbers = ranks(space.draw(30_000, 11), expected)
    assert stats.chisquare(np.bincount(numbers, minlength=len(expected))).pvalue > 0.001


def test_draw_of_several_chunks_is_uniform(monkeypatch):
    monkeypatch.setattr("sacp.pruning.space.BLOCK_ROWS", 7)
    space, expected = Space.build(WEIGHTS, LEVELS, THRESHOLD), enumerated(WEIGHTS, LEVELS, THRESHOLD)
    numbers = ranks(space.draw(5_000, 12), expected)
    assert len(numbers) == 5_000
    assert stats.chisquare(np.bincount(numbers, minlength=len(expected))).pvalue > 0.001


@pytest.mark.parametrize("size", [20, 80, 100])  # with few repeats, with many, and by ranks
def test_sample_includes_every_configuration_equally_often(size):
    space, expected = Space.build(WEIGHTS, LEVELS, THRESHOLD), enumerated(WEIGHTS, LEVELS, THRESHOLD)
    repetitions, count = 1000, len(expected)
    samples = [ranks(space.sample(size, seed), expected) for seed in range(repetitions)]
    included = np.bincount(np.concatenate(samples), minlength=count)
    share = size / count
    # Rows of one sample exclude each other, which shrinks the statistic below that of independent draws.
    variance = repetitions * share * (1 - share) * count / (count - 1)
    statistic = ((included - repetitions * share) ** 2).sum() / variance
    assert stats.chi2.sf(statistic, count - 1) > 0.001
    firsts = np.bincount([sample[0] for sample in samples], minlength=count)
    assert stats.chisquare(firsts).pvalue > 0.001


@pytest.mark.parametrize("method", ["draw", "sample"])
@pytest.mark.parametrize("size", [10, 140])
def test_same_seed_gives_the_same_rows_and_another_seed_others(method, size):
    space = Space.build(WEIGHTS, LEVELS, THRESHOLD)
    first, again, other = (getattr(space, method)(size, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def convolved(weights: list[int], levels: int) -> list[int]:
    """Number of configurations for each weighted sum of steps: the coefficients of prod_g sum_t x^(t w_g)."""
    coefficients = [1]
    for weight in weights:
        grown = [0] * (len(coefficients) + (levels - 1) * weight)
        for power, ways in enumerate(coefficients):
            for step in range(levels):
                grown[power + step * weight] += ways
        coefficients = grown
    return coefficients


def marginals(weights: list[int], levels: int, threshold: float) -> np.ndarray:
    """P(t_g = t) for a uniform configuration inside the threshold, [G, levels], from the other groups' polynomial."""
    need = -(-Fraction(str(threshold)) * levels * sum(weights) // 1)
    rows = []
    for group, weight in enumerate(weights):
        others = convolved(weights[:group] + weights[group + 1 :], levels)
        ways = [sum(others[max(0, int(need) - step * weight) :]) for step in range(levels)]
        rows.append([Fraction(way, sum(ways)) for way in ways])
    return np.array(rows, float)


@pytest.mark.parametrize("levels", [5, 10, 20])
def test_resnet18_step_frequencies_agree_with_exact_marginals(levels):
    _, graph = built("resnet18")
    assert graph.weights == [192, 64, 64, 128, 384, 128, 256, 768, 256, 512, 1536, 512]
    scaled = [weight // 64 for weight in graph.weights]
    exact, size = marginals(scaled, levels, 0.7), 100_000
    space = Space.of(graph, levels, 0.7)
    rows = space.draw(size, levels)
    assert space.count == sum(convolved(scaled, levels)[-(-7 * levels * sum(scaled) // 10) :])
    assert (pruning_ratio(rows, graph.weights, levels) >= 0.7).all()
    step = np.arange(levels)
    mean, deviation = exact @ step, np.sqrt(exact @ step**2 - (exact @ step) ** 2)
    assert (np.abs(rows.mean(axis=0) - mean) < 4.5 * deviation / np.sqrt(size)).all()
    for group, expected in enumerate(size * exact):
        observed = np.bincount(rows[:, group], minlength=levels)
        assert (np.abs(observed - expected) <= 5 * np.sqrt(expected + (expected > 0))).all()


def test_resnet18_search_set_is_distinct_and_inside():
    _, graph = built("resnet18")
    rows = Space.of(graph, 10, 0.7).sample(50_000, 3)
    assert len(np.unique(rows, axis=0)) == 50_000
    assert (pruning_ratio(rows, graph.weights, 10) >= 0.7).all()
    assert rows.dtype == np.uint8


@pytest.mark.parametrize("levels", [5, 10, 256])
def test_training_set_is_uniform_over_all_steps(levels):
    rows = draw_training(20_000, groups_of([9, 9, 9]), levels, np.random.default_rng(4))
    assert rows.shape == (20_000, 3)
    assert rows.dtype == np.uint8
    for group in rows.T:
        assert stats.chisquare(np.bincount(group, minlength=levels)).pvalue > 0.001


def test_rows_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr("sacp.pruning.space.BLOCK_ROWS", 100)
    space = Space.build(WEIGHTS, LEVELS, THRESHOLD)
    assert np.array_equal(space.draw(1050, 5), space.draw(1050, 5, threads=2))
    assert not np.array_equal(space.draw(200, 5)[:100], space.draw(200, 5)[100:])


@given(st.lists(st.integers(0, 5), max_size=40))
def test_repeated_rows_are_those_of_a_plain_loop(keys):
    expected = [row for row, key in enumerate(keys) if key in keys[:row]]
    array = np.array(keys, np.uint64)
    assert repeated_rows(array, np.sort(array)).tolist() == expected


@pytest.mark.parametrize("size", [20, 80, 140])  # few repeats, many, and by ranks
def test_rows_stored_in_a_file_block_by_block_are_those_of_an_array(monkeypatch, tmp_path, size):
    monkeypatch.setattr("sacp.pruning.space.BLOCK_ROWS", 16)
    space = Space.build(WEIGHTS, LEVELS, THRESHOLD)
    whole = space.sample(size, 5)
    with h5py.File(tmp_path / "rows.h5", "w") as handle:
        rows = handle.create_dataset("rows", (size, len(WEIGHTS)), np.uint8)
        space.sample_into(rows, size, 5, threads=2)
        assert np.array_equal(rows[:], whole)
    assert len(np.unique(whole, axis=0)) == size


@pytest.mark.parametrize(("groups", "levels"), [(12, 10), (30, 10), (30, 256)])
def test_repeated_rows_have_equal_keys_and_others_not(groups, levels):
    rows = np.random.default_rng(6).integers(0, levels, (20_000, groups), dtype=np.uint8)
    keys = _keys(np.concatenate([rows, rows]), levels)
    assert np.array_equal(keys[:20_000], keys[20_000:])
    assert len(np.unique(keys)) == len(np.unique(rows, axis=0))


ROUNDED = groups_of([16, 60, 8, 5], least=8, multiple=8)  # widths 16 8, 60 56 ... 8, 8, 5


def test_with_rounding_every_configuration_is_another_network():
    counts = counts_by_step(ROUNDED, 20)
    assert [sorted(set(row)) for row in counts.tolist()] == [[8, 16], [8, 16, 24, 32, 40, 48, 56, 60], [8], [5]]
    space = Space.of(ROUNDED, 20, 0)
    assert space.count == 2 * 8
    rows = space.unrank(np.arange(space.count))
    assert len(np.unique(kept_counts(rows, ROUNDED, 20), axis=0)) == 16


def test_what_is_drawn_with_rounding_is_of_the_space_and_uniform():
    space = Space.of(ROUNDED, 20, 0.2)
    inside = space.unrank(np.arange(space.count))
    assert (inside @ np.array(ROUNDED.weights) >= 0.2 * 20 * sum(ROUNDED.weights)).all()
    rows = space.draw(20_000, 1)
    assert stats.chisquare(np.bincount(ranks(rows, inside), minlength=len(inside))).pvalue > 0.001
    assert len(np.unique(space.sample(space.count, 2), axis=0)) == space.count
    training = draw_training(20_000, ROUNDED, 20, np.random.default_rng(3))
    widths, times = np.unique(kept_counts(training, ROUNDED, 20)[:, 1], return_counts=True)
    assert widths.tolist() == [8, 16, 24, 32, 40, 48, 56, 60]
    assert stats.chisquare(times).pvalue > 0.001


def test_steps_of_what_is_rounded_remove_no_less_than_their_ratio():
    space = Space.of(ROUNDED, 20, 0)
    for row in space.unrank(np.arange(space.count)):
        kept = kept_counts(row, ROUNDED, 20)
        assert (kept <= np.array(ROUNDED.channels) * (20 - row.astype(int)) / 20).all()


def test_a_ratio_that_rounding_does_not_let_be_reached_is_refused():
    with pytest.raises(InputError, match=r"no configuration reaches 0\.8; .* largest pruning ratio is 0\.6629"):
        Space.of(ROUNDED, 20, 0.8)
