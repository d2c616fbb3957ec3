"""Seconds for the coherence protocol on 200 tuples, ours and MultiVae's evaluator.

    python -m benchmarks.evaluate --vs multivae --rival-python DIR/bin/python \\
        --out evaluate.json

The networks of digits/jnf_paper (three modalities, six subsets), 100 transitions
of HMC, 200 draws from the prior, classifiers with the same layers. Ours includes what
theirs leaves out: adapting each subset's step size, R-hat on 64 data, the ceiling;
what R-hat took, more than all draws at 200 tuples, is also given by itself.
`cold` counts compilation as well, `ours` does not. What 10,000 tuples would take is
extrapolated, and named so: in proportion, theirs from 200 tuples, ours from 1,000, but
for R-hat, which does not grow with the tuples.
"""

import contextlib
import dataclasses
import itertools

from benchmarks import measuring


def main() -> None:
    """Both sides in turn."""
    flags = measuring.read_flags(__doc__, rival=True)
    from benchmarks import cases, train_step

    num, more, pairs = (16, 24, 1) if flags.small else (200, 1_000, 3)
    setup, one_flow = (
        cases.open_case(
            "digits", size=8 * more, small=flags.small, config=config, head_size=0,
            joint_hidden_sizes=(8, 8) if flags.small else (512, 512),
        )
        for config in ("digits/jnf_paper", "digits/jnf")
    )  # fmt: skip
    evaluate, diagnose, draw = our_protocol(setup, small=flags.small)
    evaluate_one_flow, _, draw_one_flow = our_protocol(one_flow, small=flags.small)
    evaluate_one_flow(num)
    record = {"num_tuples": num, "cold": evaluate(num), "ratios": {}}
    with contextlib.ExitStack() as stack:
        theirs = None
        if flags.vs:
            rival = stack.enter_context(
                measuring.Rival(flags.rival_python, flags.threads)
            )
            record["rival"] = rival.versions
            train_step.open_theirs(rival, setup, 64)

            def theirs() -> float:
                answer = rival.ask(
                    "coherence", num=num, num_prior=num, batch_size=num, classes=10,
                    features=(32, 64, 128), hidden_size=256,
                )  # fmt: skip
                return answer["all"]

        works = {
            "ours": lambda: evaluate(num),
            "amortised": lambda: evaluate_one_flow(num),
        }
        record |= measuring.times_in_turn(
            works | ({"theirs": theirs} if theirs else {}), pairs
        )
    diagnose()  # compiles
    record["of_which_rhat"] = diagnose()
    sides = {
        "draws": {"product": draw, "amortised": draw_one_flow},
        "protocol": {"product": evaluate, "amortised": evaluate_one_flow},
    }
    record["at_1000_tuples"] = {}
    for what, works in sides.items():
        for work in works.values():
            work(more)  # compiles
        works = {side: lambda work=work: work(more) for side, work in works.items()}
        seconds = measuring.times_in_turn(works, pairs)
        record["at_1000_tuples"][what] = seconds
        record["ratios"][f"{what}_at_1000_tuples"] = (
            seconds["product"] / seconds["amortised"]
        )
    rhat = record["of_which_rhat"]
    whole = rhat + (evaluate(more) - rhat) * 10_000 / more
    record["extrapolated_to_10000_tuples"] = {"ours": whole}
    if theirs is not None:
        scaled = record["theirs"] * 10_000 / num
        record["extrapolated_to_10000_tuples"]["theirs"] = scaled
        record["ratios"]["coherence_protocol"] = record["theirs"] / record["ours"]
        record["ratios"]["amortised_coherence_protocol"] = (
            record["theirs"] / record["amortised"]
        )
        without_rhat = record["theirs"] / (record["ours"] - rhat)
        record["ratios"]["coherence_protocol_without_rhat"] = without_rhat
        record["ratios"]["extrapolated_to_10000_tuples"] = scaled / whole
    measuring.write_record(flags, "evaluate", record)


def our_protocol(setup, *, small: bool):
    """Protocol v1 on the first ``num`` test tuples; parts of it alone.

    Returns:
        ``evaluate(num) -> seconds``; ``diagnose() -> seconds`` of R-hat, where chains
        run; ``draw(num) -> seconds`` of z given every subset.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jnf_jax.evaluation.classifiers import Classifiers
    from jnf_jax.evaluation.coherence import evaluate_coherence
    from jnf_jax.evaluation.protocol import ProtocolSettings
    from jnf_jax.evaluation.subject import HeldOut, Subject
    from jnf_jax.networks.classifier import Classifier

    key = jax.random.key(0)
    params = {s.name: jax.jit(s.init)(key) for s in setup.method.stages}
    inference, sampler = setup.method.inference, setup.experiment.sampler
    if small:
        sampler = dataclasses.replace(sampler, num_transitions=4, num_adaptation=4)
    if hasattr(inference, "chains"):
        inference = dataclasses.replace(inference, chains=sampler)
    network = Classifier(10)
    weights = {
        m: jax.jit(network.init)(key, jnp.zeros((1, *shape)))["params"]
        for m, shape in setup.dataset.shapes.items()
    }

    def classify(weights, views):
        return {
            m: network.apply({"params": weights[m]}, x).logits.argmax(-1)
            for m, x in views.items()
        }

    test = setup.dataset.splits["test"]
    held_out = HeldOut(
        jax.tree.map(jnp.asarray, test.arrays),
        setup.dataset.fetch,
        test.size,
        test.labels,
        10,
    )

    predict = jax.tree_util.Partial(classify, weights)
    classifiers = Classifiers(predict, None, {}, None)

    def evaluate(num: int) -> float:
        settings = ProtocolSettings(
            num_tuples=num, num_prior_samples=num, batch_size=num if small else 200,
            num_diagnostic_data=4 if small else 64,
        )  # fmt: skip
        return measuring.seconds_of(
            lambda: (
                evaluate_coherence(
                    Subject(inference, params, None, held_out, classifiers, settings)
                ).ceiling
            )
        )

    def diagnose() -> float:
        few = held_out.views(np.arange(4 if small else 64, dtype=np.int32))
        pairs = itertools.combinations(inference.modalities, 2)
        return sum(
            measuring.seconds_of(
                lambda pair=pair: inference.diagnose(
                    params, key, few, pair, jnp.float32(0.1)
                )
            )
            for pair in pairs
        )

    def draw(num: int) -> float:
        views = held_out.views(np.arange(num, dtype=np.int32))
        subsets = [
            subset
            for size in range(1, len(inference.modalities))
            for subset in itertools.combinations(inference.modalities, size)
        ]
        return sum(
            measuring.seconds_of(lambda s=s: inference.infer(params, key, views, s))
            for s in subsets
        )

    return evaluate, diagnose, draw


if __name__ == "__main__":
    main()
