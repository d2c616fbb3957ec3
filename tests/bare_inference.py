"""What an inference must have and many a test does not ask for."""


class BareInference:
    """No chain runs, and there is no density nor prior; a test adds what it knows."""

    def adapt(self, params, rng_key, views, subset):
        return None

    def diagnose(self, params, rng_key, views, subset, step_size):
        return None

    def unimodal_log_probs(self, params, views, z):
        return {}

    def joint_log_prob(self, params, views, z):
        raise NotImplementedError("what is measured here asks for no density")

    def prior_of(self, params, name):
        raise NotImplementedError("what is measured here asks for no density")

    def sample_prior(self, params, rng_key, num_samples, name=None):
        raise NotImplementedError("what is measured here draws from no prior")
