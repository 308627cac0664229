"""What stands in for a sampler where none is needed."""

from manyfit.samplers.base import NoSampler
from manyfit.trial import Trial


def test_no_sampler_proposes_nothing():
    """Reading a study's record asks for no params, whatever it holds."""
    sampler = NoSampler()
    sampler.tell(Trial(0, {"x": 1}))

    assert sampler.ask(1) is None
