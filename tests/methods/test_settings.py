"""Settings of a model that several modalities share in."""

from jnf_jax.methods.settings import LikelihoodSettings, ModelSettings


def test_views_are_balanced_by_their_sizes_on_request():
    """λ_m max_n dim(x_n) / dim(x_m): each weighs as the largest; else λ_m alone."""
    shapes = {"a": (2, 3), "b": (2,), "c": (1,)}
    likelihoods = {"default": LikelihoodSettings(), "c": LikelihoodSettings(weight=0.5)}

    def weights(**options):
        model = ModelSettings(2, networks={}, likelihoods=likelihoods, **options)
        return [model.weight(m, shapes) for m in "abc"]

    assert weights() == [1, 1, 0.5]
    assert weights(likelihood_rescaling=True) == [1, 3, 3]
