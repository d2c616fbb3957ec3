"""What configs have in common; the other files say what they change.

Not a run of its own: ``data.name``, ``model`` and the steps have no default.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """All sections but ``data``, ``model`` and the stages."""
    return ml_collections.ConfigDict(
        dict(
            method="jnf",
            seed=0,
            num_seeds=1,
            stages="joint,unimodal",
            init=dict(shared="", joint="", unimodal="", prior=""),
            fitted_prior=dict(name=""),
            flow=dict(
                num_blocks=2,
                hidden_sizes=(128, 128, 128),
                context_size=0,
                max_log_scale=4.0,
                num_posterior_samples=1,
            ),
            sampler=dict(
                divisor="prior",
                defensive_weight=0.0,
                kernel="dynamic_hmc",
                num_transitions=100,
                min_leapfrog=1,
                max_leapfrog=9,
                num_leapfrog=10,
                target_acceptance=0.8,
                num_adaptation=100,
                initial_step_size=0.1,
            ),
            refinement=dict(
                num_transitions=0,
                kernel="dynamic_hmc",
                min_leapfrog=1,
                max_leapfrog=9,
                num_leapfrog=10,
                target_acceptance=0.8,
                num_adaptation=100,
                initial_step_size=0.1,
            ),
            optimizer=dict(
                optimizer="adam",
                learning_rate=1e-3,
                schedule="constant",
                warmup_steps=0,
                b1=0.9,
                b2=0.999,
                gradient_clip=0.0,
                ema_decay=0.0,
                plateau_patience_epochs=30,
                plateau_factor=0.1,
            ),
            training=dict(
                select="best",
                evaluate_every=0,
                checkpoint_every=0,
                keep_checkpoints=2,
                steps_per_dispatch=0,
                log_every=50,
                parameters="replicated",
            ),
            evaluation=dict(
                protocol="v1",
                subsets="all",
                num_tuples=0,
                num_prior_samples=10_000,
                batch_size=1_000,
                num_diagnostic_data=64,
                seed=0,
                measures="",
                frechet=dict(
                    features="classifier", inception_file="", inception_sha256=""
                ),
                posterior_match=dict(
                    num_pairs=2_000,
                    num_chain_data=16,
                    num_chains=32,
                    num_transitions=200,
                    num_subsets=1,
                    num_calibration_data=1_000,
                    num_calibration_draws=31,
                ),
                likelihood=dict(
                    num_importance_samples=1_000,
                    num_conditional_samples=100,
                    num_tuples=1_000,
                    num_conditional_tuples=100,
                    num_decoded=5_000,
                ),
                representation=dict(num_tuples=2_000, num_probe_tuples=2_000),
                classifier=dict(num_steps=4_000, batch_size=64, select="last"),
            ),
        )
    )
