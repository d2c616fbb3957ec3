"""Loading by name."""

import pytest

from jnf_jax.data import DATASETS, load


def test_known_names():
    assert sorted(DATASETS) == [
        "circles_squares",
        "cub",
        "digits",
        "handwriting",
        "mhd",
        "mnist_svhn",
        "polymnist",
        "records",
    ]


def test_default_settings_are_good():
    for make_settings, _ in DATASETS.values():
        assert make_settings().faults() == []


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ValueError, match=r"data.name: got 'mnst', expected .*polymnist"
    ):
        load("mnst")


def test_unknown_setting_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"\['num_modality'\], expected .*num_modal"):
        load("digits", num_modality=2)
