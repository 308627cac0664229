"""Float and Int: exact steps, fair edges, and what a person hears who gets one wrong."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfit.domain import Float, Int
from manyfit.errors import SpaceError


def shares(domain, count):
    """Return how much of the unit interval decodes to each value."""
    values = [domain.decode((i + 0.5) / count) for i in range(count)]
    return {value: values.count(value) / count for value in set(values)}


class TestFloat:
    def test_steps_are_free_of_dust(self):
        """Values on the grid are the decimals a person would write, and high is one of them."""
        assert list(Float(0, 1, step=0.1).values()) == [k / 10 for k in range(11)]
        assert list(Float(0.7, 1.3, step=0.2).values()) == [0.7, 0.9, 1.1, 1.3]
        assert list(Float(-0.3, 0.3, step=0.3).values()) == [-0.3, 0.0, 0.3]

    def test_a_high_off_the_grid_is_not_reached(self):
        """The last value is the last step within the bounds."""
        assert list(Float(0, 1 - 0.9, step=0.05).values()) == [0.0, 0.05, 0.1], "but for dust"
        assert Float(0, 0.9, step=0.1 * 3).size == 4
        assert Float(0.1 * 3, 1, step=0.1).size == 8
        domain = Float(0, 0.95, step=0.1)

        assert domain.size == 10
        assert list(domain.values())[-1] == domain.decode(1.0) == 0.9
        assert not domain.contains(0.95)

    @settings(max_examples=2 * settings.default.max_examples)
    @given(st.integers(-(10**6), 10**6), st.integers(1, 10**4), st.integers(1, 200), st.data())
    def test_every_step_is_the_nearest_float(self, low, step, count, data):
        """Step k of a decimal grid is the float closest to the exact decimal."""
        domain = Float(low / 1000, (low + count * step) / 1000, step=step / 1000)
        k = data.draw(st.integers(0, count))

        assert domain.size == count + 1
        assert domain.at(k) == (low + k * step) / 1000
        assert domain.contains(domain.at(k))

    def test_only_grid_values_are_contained(self):
        """A value off the grid, by whatever little, is not in stored form."""
        domain = Float(0, 1, step=0.1)

        assert domain.contains(0.3)
        assert not domain.contains(0.1 + 0.2)
        assert not domain.contains(0.25)

    def test_stores_what_rounding_left(self):
        """A point of a person may be off by rounding dust, on the grid and at the bounds."""
        assert Float(0, 1, step=0.1).store("x", 0.1 + 0.2) == 0.3
        assert Float(0.3, 1).store("x", 0.3 - 1e-16) == 0.3
        assert Float(1e-4, 1, log=True).store("x", 1e-4 - 1e-19) == 1e-4
        with pytest.raises(SpaceError, match=r"x must be a number from 0.0 to 1.0 in steps of 0.1"):
            Float(0, 1, step=0.1).store("x", 0.30001)

    def test_log_is_even_over_orders_of_magnitude(self):
        """Each factor of ten gets the same share."""
        domain = Float(1e-4, 1, log=True)

        assert [domain.decode(u) for u in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx(
            [1e-4, 1e-3, 1e-2, 1e-1, 1]
        )

    def test_never_leaves_its_bounds(self):
        """Rounding in the logarithm doesn't carry a value over the edge."""
        domain = Float(0.1, 0.7, log=True)

        assert domain.decode(0.0) >= 0.1
        assert domain.decode(1.0) <= 0.7

    @pytest.mark.parametrize(
        "domain",
        [
            Float(1.0, math.nextafter(1.0, 2)),
            Float(1e10, math.nextafter(1e10, math.inf), log=True),
            Float(0.0, 5e-324),
            Float(5e-324, 1.7e308, log=True),
            Float(-8e307, 8e307),
        ],
    )
    def test_extreme_bounds(self, domain):
        """Neighbouring, tiny and huge bounds decode to values between them, and encode back."""
        for unit in (0.0, 0.3, 1.0):
            value = domain.decode(unit)
            assert domain.contains(value)
            assert 0 <= domain.encode(value) <= 1

    def test_no_negative_zero(self):
        """-0.0 is stored as 0.0: they are equal, and would have two keys."""
        values = [
            Float(-0.0, 1).low,
            Float(-1, 1).store("x", -0.0),
            Float(-1, 0).decode(1.0),
            Float(-1, 1, step=0.5).at(2),
            Float(-1, 1).decode(0.5),
        ]

        assert [math.copysign(1, value) for value in values] == [1.0] * 5

    @pytest.mark.parametrize(
        "value", [1, True, "0.5", None, math.nan, math.inf, 1.5, np.float64(0.5)]
    )
    def test_contains_plain_floats_only(self, value):
        """The stored form is strict about types and bounds."""
        assert not Float(0, 1).contains(value)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (
                lambda: Float(1, 1),
                "Float(1.0, 1.0) needs low < high. Write a fixed value as a",
            ),
            (lambda: Float(2, 1), "Float(2.0, 1.0) needs low < high"),
            (lambda: Float(1, 2, log="no"), "Float needs True or False for log, but got 'no'"),
            (lambda: Int(1, 2, log=1), "Int needs True or False for log, but got 1"),
            (lambda: Float(0, 1, log=True), "Float(0.0, 1.0, log=True) needs low > 0, because"),
            (
                lambda: Float(-9, -2, log=True),
                "Bounds are the values themselves, not their logarithms",
            ),
            (lambda: Float(math.nan, 1), "Float needs a finite number for low, but got nan"),
            (lambda: Float(0, math.inf), "Float needs a finite number for high, but got inf"),
            (lambda: Float(0, 10**400), "Float needs a finite number for high, but got 1000"),
            (lambda: Float("0", 1), "Float needs a finite number for low, but got '0'"),
            (lambda: Float(False, 1), "Float needs a finite number for low, but got False"),
            (
                lambda: Float(0, 1, step=math.nan),
                "Float needs a finite number for step, but got nan",
            ),
            (lambda: Float(-1.5e308, 1.5e308), "high - low overflows a float"),
            (lambda: Float(0, 1, step=0), "Float(0.0, 1.0, step=0.0) needs 0 < step <= high - low"),
            (lambda: Float(0, 1, step=-0.5), "needs 0 < step <= high - low"),
            (lambda: Float(0, 1, step=1.5), "needs 0 < step <= high - low"),
            (
                lambda: Float(1, 2, step=0.5, log=True),
                "log and step exclude each other. Leave one out",
            ),
            (
                lambda: Float(1e9, 2e9, step=1e-9),
                "the step is too small to tell neighbouring floats",
            ),
        ],
    )
    def test_mistakes(self, make, message):
        """The message shows the Float, the rule it breaks, and the way out."""
        with pytest.raises(SpaceError) as caught:
            make()
        assert message in str(caught.value)

    def test_a_step_of_the_whole_width(self):
        """Both bounds are then the only values, also where high - low is not exact."""
        assert list(Float(0.1, 0.3, step=0.2).values()) == [0.1, 0.3]

    def test_options_are_named(self):
        """log and step can't be mistaken for a third bound."""
        with pytest.raises(TypeError):
            Float(0, 1, 0.1)

    def test_repr_and_equality(self):
        """The repr is code for an equal Float; it is hashable."""
        for domain in (Float(0, 1), Float(1e-4, 0.1, log=True), Float(0, 1, step=0.25)):
            assert eval(repr(domain)) == domain
        assert len({Float(0, 1), Float(0.0, 1.0), Float(0, 2)}) == 2


class TestInt:
    def test_steps(self):
        """Values go up from low; a high off the grid is not reached."""
        domain = Int(1, 10, step=4)

        assert list(domain.values()) == [1, 5, 9]
        assert [domain.contains(v) for v in (1, 2, 9, 10, 13, -3)] == [
            True, False, True, False, False, False
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("value", "nearest"), [(-1e300, 1), (0, 1), (2.9, 1), (3.1, 5), (9, 9), (10, 9), (1e300, 9)]
    )
    def test_the_nearest(self, value, nearest):
        """Any number has a value that is nearest to it."""
        assert Int(1, 10, step=4).snap(value) == nearest

    def test_every_value_is_equally_likely(self):
        """Without log, bounds included, each value has the same share."""
        assert shares(Int(3, 7), 1000) == dict.fromkeys(range(3, 8), 0.2)

    def test_log_is_fair_at_its_edges(self):
        """With log each value's share is that of its unit of length, at the bounds as elsewhere."""
        whole = math.log(4.5 / 0.5)
        expected = {v: math.log((v + 0.5) / (v - 0.5)) / whole for v in (1, 2, 3, 4)}

        assert shares(Int(1, 4, log=True), 10**4) == pytest.approx(expected, abs=1e-3)

    @settings(max_examples=2 * settings.default.max_examples)
    @given(st.integers(1, 10**9), st.integers(1, 10**9), st.data())
    def test_log_round_trip(self, low, width, data):
        """Each value of a log Int has a place of its own."""
        domain = Int(low, low + width, log=True)
        value = data.draw(st.integers(low, low + width))

        assert domain.decode(domain.encode(value)) == value

    @pytest.mark.parametrize("value", [1.0, True, "1", None, np.int64(1), 0, 10])
    def test_contains_plain_ints_only(self, value):
        """The stored form is strict about types and bounds."""
        assert not Int(1, 9).contains(value)

    def test_stores_whole_numbers_of_any_type(self):
        """NumPy integers and whole floats are stored as Python's ints."""
        stored = [Int(1, 9).store("x", value) for value in (np.int8(3), 3.0, np.float32(3))]

        assert list(map(repr, stored)) == ["3", "3", "3"]

    @pytest.mark.parametrize(
        "value", [3.5, math.nan, math.inf, -math.inf, "3", True, None, 2, 3 + 0j]
    )
    def test_refuses_the_rest(self, value):
        """Fractions, infinities, texts, truth values, and what is off the grid."""
        with pytest.raises(SpaceError, match="x must be a whole number from 1 to 9 in steps of 2"):
            Int(1, 9, step=2).store("x", value)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (
                lambda: Int(3, 3),
                "Int(3, 3) needs low < high. Write a fixed value as a",
            ),
            (lambda: Int(0.5, 3), "Int needs a whole number for low, but got 0.5"),
            (lambda: Int(0, "3"), "Int needs a whole number for high, but got '3'"),
            (lambda: Int(0, math.inf), "Int needs a whole number for high, but got inf"),
            (lambda: Int(True, 3), "Int needs a whole number for low, but got True"),
            (lambda: Int(0, 8, log=True), "Int(0, 8, log=True) needs low > 0, because log=True"),
            (lambda: Int(0, 2**53), "needs bounds below 2**53"),
            (lambda: Int(-(2**60), 0), "needs bounds below 2**53"),
            (lambda: Int(0, 8, step=0), "Int(0, 8, step=0) needs 0 < step <= high - low"),
            (lambda: Int(0, 8, step=9), "needs 0 < step <= high - low"),
            (lambda: Int(0, 8, step=0.5), "Int needs a whole number for step, but got 0.5"),
            (lambda: Int(1, 8, step=2, log=True), "log and step exclude each other"),
        ],
    )
    def test_mistakes(self, make, message):
        """The message shows the Int, the rule it breaks, and the way out."""
        with pytest.raises(SpaceError) as caught:
            make()
        assert message in str(caught.value)

    def test_repr_and_equality(self):
        """The repr is code for an equal Int; an Int is no Float."""
        for domain in (Int(0, 1), Int(16, 512, log=True), Int(0, 64, step=8)):
            assert eval(repr(domain)) == domain
        assert Int(0, 1) != Float(0, 1)
