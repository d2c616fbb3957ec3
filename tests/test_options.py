"""Options declared once: what is told of a wrong value, and how sections are read."""

import dataclasses
from collections.abc import Mapping

import pytest

from jnf_jax.options import REQUIRED, faults, option, read, require


@dataclasses.dataclass(frozen=True)
class Inner:
    size: int = option(2, "Size.", at_least=1)


@dataclasses.dataclass(frozen=True)
class Settings:
    count: int = option(REQUIRED, "Count.", at_least=1)
    rate: float = option(0.5, "Rate.", above=0, below=1)
    share: float = option(0.1, "Share.", between=(0, 0.5))
    kind: str = option("mean", "Kind.", one_of=("mean", "median"))
    sizes: tuple[int, ...] = option((3,), "Sizes.", at_least=1, not_empty=True)
    is_on: bool = option(False, "Whether it is on.")
    steps: int = option(0, "Steps of a draw.", of_identity=False)
    inner: Mapping[str, Inner] = dataclasses.field(default_factory=dict)

    def cross_faults(self, field):
        if self.steps <= self.count:
            return []
        return [f"`{field}.steps` is {self.steps}, expected <= `count` = {self.count}"]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (dict(count=0), "`s.count` is 0, expected >= 1"),
        (dict(count="1"), "`s.count` is '1' (str), expected an integer >= 1"),
        (dict(count=True), "`s.count` is True (bool), expected an integer >= 1"),
        (dict(count=1.0), "`s.count` is 1.0 (float), expected an integer >= 1"),
        (dict(count=None), "`s.count` is None (NoneType), expected an integer >= 1"),
        (dict(), "`s.count` is missing, expected an integer >= 1"),
        (dict(rate=1), "`s.rate` is 1.0, expected > 0 and < 1"),
        (
            dict(rate=float("nan")),
            "`s.rate` is nan, expected a finite number > 0 and < 1",
        ),
        (
            dict(share=float("inf")),
            "`s.share` is inf, expected a finite number 0 to 0.5",
        ),
        (dict(share=0.6), "`s.share` is 0.6, expected 0 to 0.5"),
        (
            dict(kind="medan"),
            "`s.kind` is 'medan', expected one of 'mean', 'median'. "
            "Did you mean 'median'?",
        ),
        (dict(kind=1), "`s.kind` is 1 (int), expected one of 'mean', 'median'"),
        (
            dict(sizes=[2, 0]),
            "`s.sizes` is (2, 0), expected a tuple of one or more integers >= 1",
        ),
        (
            dict(sizes=()),
            "`s.sizes` is (), expected a tuple of one or more integers >= 1",
        ),
        (
            dict(sizes=(2, True)),
            "`s.sizes` is (2, True) (tuple), expected a tuple of one or more "
            "integers >= 1",
        ),
        (dict(is_on=1), "`s.is_on` is 1 (int), expected True or False"),
        (dict(steps=4), "`s.steps` is 4, expected <= `count` = 3"),
        (dict(inner={"a": Inner(0)}), "`s.inner.a.size` is 0, expected >= 1"),
        (
            dict(shares=0.2),
            "`s.shares` is unknown, expected one of 'count', 'rate', 'share', 'kind', "
            "'sizes', 'is_on', 'steps', 'inner'. Did you mean 'share'?",
        ),
    ],
)
def test_every_fault_is_one_line(section, told):
    section = {"count": 3} | section if section else {}
    assert read(Settings, section, "s")[1] == [told]


def test_every_fault_is_told_once():
    section = dict(count=0, rate=2.0, kind="x", share="y", nonsense=1)
    settings, found = read(Settings, section, "s")
    assert settings is None and len(found) == 5
    told = [line.split("`")[1] for line in found]
    assert sorted(told) == ["s.count", "s.kind", "s.nonsense", "s.rate", "s.share"]
    # Where all can be compared, what concerns two of them is told beside the rest.
    settings, found = read(Settings, dict(count=0, steps=2), "s")
    assert found == faults(settings, "s") and len(found) == 2


def test_lists_become_tuples_and_integers_floats():
    settings, found = read(Settings, dict(count=1, sizes=[2, 3], share=0))
    assert not found and settings.sizes == (2, 3) and type(settings.share) is float


def test_require_raises_with_every_line():
    require(Settings(3))
    with pytest.raises(ValueError, match="`count` is 0, .*\n`rate` is 0.0, expected"):
        require(Settings(0, 0.0))


def test_what_is_of_no_identity_says_so():
    fields = {f.name: f.metadata for f in dataclasses.fields(Settings)}
    without = [n for n, rules in fields.items() if not rules.get("of_identity", True)]
    assert without == ["steps"]
