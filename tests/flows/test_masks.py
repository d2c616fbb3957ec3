import numpy as np
import pytest

from jnf_jax.flows.masks import hidden_degrees, input_degrees, made_masks


def reachable(masks):
    """Which outputs read which inputs through hidden layers: bool[D, D]."""
    paths = masks.hidden[0].astype(int)
    for mask in [*masks.hidden[1:], masks.output]:
        paths = (paths @ mask.astype(int) > 0).astype(int)
    return paths > 0


def test_degrees_written_out():
    assert input_degrees(4).tolist() == [1, 2, 3, 4]
    assert input_degrees(4, reverse=True).tolist() == [4, 3, 2, 1]
    assert hidden_degrees(4, 6, has_context=True).tolist() == [0, 0, 1, 2, 2, 3]
    assert hidden_degrees(4, 6, has_context=False).tolist() == [1, 1, 2, 2, 3, 3]
    assert hidden_degrees(6, 3, has_context=True).tolist() == [0, 2, 4]


def test_masks_with_context_written_out():
    # D = 3; hidden degrees 0 0 1 2 (H = 4), then 0 1 (H = 2).
    masks = made_masks(3, [4, 2], has_context=True)
    first, second = masks.hidden
    assert first.astype(int).tolist() == [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert second.astype(int).tolist() == [[1, 1], [1, 1], [0, 1], [0, 0]]
    assert masks.output.astype(int).tolist() == [[1, 1, 1], [0, 1, 1]]
    assert masks.direct.astype(int).tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]


def test_masks_reversed_without_context_written_out():
    # D = 3, inputs and outputs 3 2 1; hidden degrees 1 1 2 2 (H = 4).
    masks = made_masks(3, [4], has_context=False, reverse=True)
    assert masks.hidden[0].astype(int).tolist() == [
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [1, 1, 1, 1],
    ]
    assert masks.output.astype(int).tolist() == [[1, 1, 0]] * 2 + [[1, 0, 0]] * 2
    assert masks.direct.astype(int).tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]


def test_masks_of_one_coordinate_have_no_edge_from_it():
    for has_context in (True, False):
        masks = made_masks(1, [5, 5], has_context=has_context)
        assert not reachable(masks).any() and not masks.direct.any()
        assert masks.output.all()  # the output still reads its (constant) hidden units


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("has_context", [False, True])
@pytest.mark.parametrize("hidden_sizes", [[1], [7], [3, 11], [8, 8, 8], [40, 5]])
@pytest.mark.parametrize("event_size", [2, 5, 8])
def test_paths_are_strictly_triangular(event_size, hidden_sizes, has_context, reverse):
    masks = made_masks(
        event_size, hidden_sizes, has_context=has_context, reverse=reverse
    )
    earlier = np.triu(np.ones((event_size, event_size), bool), 1)
    if reverse:
        earlier = earlier[::-1, ::-1]
    assert not (reachable(masks) & ~earlier).any()
    assert (masks.direct == earlier).all()  # with the direct edge: all dependencies
    if min(hidden_sizes) >= event_size:
        assert (reachable(masks) == earlier).all()


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_wide_events_through_narrow_layers_lose_only_nearest_predecessors(num_layers):
    masks = made_masks(512, [128] * num_layers, has_context=True)
    paths = reachable(masks)
    assert paths.sum() == 130_048  # of 512 * 511 / 2 = 130,816: 99.41 %
    assert (paths | masks.direct).sum() == 130_816
    never_read = ~paths.any(axis=1)
    assert never_read.sum() == 4  # the last coordinate, which nothing may read, and 3


def test_every_output_has_a_unit_that_sees_the_context_only():
    masks = made_masks(512, [128, 128], has_context=True)
    assert masks.output[0].all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, [4]), "event_size: got 0"),
        ((3, []), "hidden_sizes: got none"),
        ((3, [4, 0]), "hidden_size: got 0"),
    ],
)
def test_bad_sizes(arguments, message):
    with pytest.raises(ValueError, match=message):
        made_masks(*arguments, has_context=True)
