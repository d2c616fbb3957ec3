"""MultiVae, driven through its own classes, on request: see ``measuring.Rival``.

Runs in an environment of its own (torch, multivae; no JAX). Reads requests from stdin,
one JSON a line, and answers on what was stdout; all that MultiVae prints goes to
stderr. Models, trainer, evaluator and update rule are MultiVae's; the networks that it
lets a user pass in are built here, layer by layer those of the other side.
"""

import importlib.metadata
import json
import logging
import math
import os
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn

# The torchvision that fits may be a CUDA build, whose operators a CPU torch misses:
# their names are all that the import needs, none is called.
try:
    import torchvision  # noqa: F401
except (RuntimeError, ImportError):
    for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    library.define("qnms(Tensor boxes, Tensor scores, float threshold) -> Tensor")

from multivae import models
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.metrics import CoherenceEvaluator, CoherenceEvaluatorConfig
from multivae.models import JNF
from multivae.models.base.base_config import BaseAEConfig
from multivae.models.nn.base_architectures import (
    BaseDecoder,
    BaseEncoder,
    BaseMultilatentEncoder,
)
from multivae.models.nn.default_architectures import MultipleHeadJointEncoder
from multivae.trainers import (
    BaseTrainer,
    BaseTrainerConfig,
    MultistageTrainer,
    MultistageTrainerConfig,
)
from pythae.models.base.base_utils import ModelOutput
from pythae.models.normalizing_flows.maf import MAF, MAFConfig


def trunk_of(network, shape):
    """Layers from pictures [B, C, H, W] to features, and how many features."""
    side, channels, layers = shape[0], shape[2], []
    if network["kind"] == "conv":
        for features in network["features"]:
            layers += [
                nn.Conv2d(channels, features, network["kernel_size"], 2, 1),
                nn.ReLU(),
            ]
            side = (side + 2 - network["kernel_size"]) // 2 + 1
            channels = features
    layers.append(nn.Flatten())
    size = side * side * channels
    for hidden in network["hidden_sizes"]:
        layers += [nn.Linear(size, hidden), nn.ReLU()]
        size = hidden
    return nn.Sequential(*layers), size


class Encoder(BaseEncoder):
    """A trunk, and a dense layer each for mean and log-variance."""

    def __init__(self, network, shape, latent_size):
        BaseEncoder.__init__(self)
        self.latent_dim = latent_size
        self.trunk, size = trunk_of(network, shape)
        self.mean = nn.Linear(size, latent_size)
        self.log_variance = nn.Linear(size, latent_size)

    def forward(self, x):
        h = self.trunk(x)
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class TwoLatents(BaseMultilatentEncoder):
    """An encoder each of the shared and of the private latent."""

    def __init__(self, network, shape, latent_size, private_size):
        BaseMultilatentEncoder.__init__(self)
        self.latent_dim, self.style_dim = latent_size, private_size
        self.shared = Encoder(network, shape, latent_size)
        self.private = Encoder(network, shape, private_size)

    def forward(self, x):
        shared, private = self.shared(x), self.private(x)
        return ModelOutput(
            embedding=shared.embedding,
            log_covariance=shared.log_covariance,
            style_embedding=private.embedding,
            style_log_covariance=private.log_covariance,
        )


class Decoder(BaseDecoder):
    """The trunk's mirror image."""

    def __init__(self, network, shape, latent_size):
        BaseDecoder.__init__(self)
        self.shape = (shape[2], shape[0], shape[1])
        hidden, size, layers = network["hidden_sizes"][::-1], latent_size, []
        for new in hidden:
            layers += [nn.Linear(size, new), nn.ReLU()]
            size = new
        if network["kind"] == "mlp":
            layers += [nn.Linear(size, math.prod(shape)), nn.Unflatten(1, self.shape)]
        else:
            k, sides = network["kernel_size"], [shape[0]]
            for _ in network["features"]:
                sides.append((sides[-1] + 2 - k) // 2 + 1)
            channels = network["features"][-1]
            side = sides.pop()
            layers += [nn.Linear(size, channels * side**2), nn.ReLU()]
            layers += [nn.Unflatten(1, (channels, side, side))]
            for features in [*network["features"][-2::-1], shape[2]]:
                fill = sides[-1] - (2 * side - 4 + k)
                side = sides.pop()
                layers.append(nn.ConvTranspose2d(channels, features, k, 2, 1, fill))
                layers.append(nn.ReLU())
                channels = features
            layers.pop()
        if network["activation"] == "sigmoid":
            layers.append(nn.Sigmoid())
        self.layers = nn.Sequential(*layers)

    def forward(self, z):
        x = self.layers(z.reshape(-1, z.shape[-1]))
        return ModelOutput(reconstruction=x.reshape(*z.shape[:-1], *self.shape))


class OneTransition(JNF):
    """The sampler's first position is handed in, so that each call is one transition
    of MultiVae's own update rule."""

    position = None

    def _sample_from_moe_subset(self, subset, data):
        return self.position


PEERS = {
    "jmvae": ("JMVAE", dict(alpha=0.1, warmup=1)),
    "mvae": ("MVAE", dict(k=0, warmup=1)),
    "mopoe": ("MoPoE", {}),
    "mvtcae": ("MVTCAE", dict(alpha=5 / 6)),
    "mmvae": ("MMVAE", dict(K=1, loss="dreg_looser")),
    "mmvae_plus": ("MMVAEPlus", dict(K=1, loss="iwae_looser")),
}
"""Our method -> their class, and how it is set."""


def build_peer(model):
    """A model of ``PEERS`` of the networks that the other side described."""
    name, own = PEERS[model["method"]]
    latent, shapes = model["latent_size"], model["shapes"]
    private, networks = 0, model["networks"]
    if name == "MMVAEPlus":
        private = model["private_size"]
        own = own | dict(modalities_specific_dim=private)
    config = getattr(models, f"{name}Config")(
        n_modalities=len(shapes),
        latent_dim=latent,
        input_dims={m: (s[2], s[0], s[1]) for m, s in shapes.items()},
        decoders_dist=dict.fromkeys(shapes, "laplace"),
        decoder_dist_params={m: {"scale": model["scale"][m]} for m in shapes},
        uses_likelihood_rescaling=model["rescaling"],
        beta=model["beta"],
        **own,
    )
    encoders = {
        m: TwoLatents(networks[m], s, latent, private)
        if private
        else Encoder(networks[m], s, latent)
        for m, s in shapes.items()
    }
    decoders = {m: Decoder(networks[m], s, latent + private) for m, s in shapes.items()}
    more = {}
    if name == "JMVAE":
        more["joint_encoder"] = joint_encoder(model, encoders)
    return getattr(models, name)(config, encoders=encoders, decoders=decoders, **more)


def joint_encoder(model, encoders):
    """The heads of all encoders, and an MLP on them."""
    hidden = model["joint_hidden_sizes"]
    (width,) = set(hidden)
    config = BaseAEConfig(latent_dim=model["latent_size"])
    return MultipleHeadJointEncoder(encoders, config, width, len(hidden))


def build(kind, model):
    """A JNF of the networks that the other side described."""
    latent, shapes = model["latent_size"], model["shapes"]
    order = {m: (s[2], s[0], s[1]) for m, s in shapes.items()}
    config = models.JNFConfig(
        n_modalities=len(shapes),
        latent_dim=latent,
        input_dims=order,
        decoders_dist=dict.fromkeys(shapes, "laplace"),
        decoder_dist_params={m: {"scale": model["scale"][m]} for m in shapes},
        uses_likelihood_rescaling=model["rescaling"],
        warmup=1_000_000,
        beta=model["beta"],
    )
    encoders = {m: Encoder(model["networks"][m], s, latent) for m, s in shapes.items()}
    (flow_width,) = set(model["flow_hidden_sizes"])
    flow = MAFConfig(
        input_dim=(latent,),
        n_made_blocks=model["flow_blocks"],
        n_hidden_in_made=len(model["flow_hidden_sizes"]),
        hidden_size=flow_width,
    )
    return kind(
        config,
        encoders=encoders,
        decoders={
            m: Decoder(model["networks"][m], s, latent) for m, s in shapes.items()
        },
        joint_encoder=joint_encoder(model, encoders),
        flows={m: MAF(flow) for m in shapes},
    )


class Side:
    """What the requests of one benchmark share: a model and its data."""

    def open(self, model, data, batch_size, learning_rate=1e-3):
        """Builds a model; ``data`` names an .npz of u8[N, H, W, C] and labels."""
        stored = dict(np.load(data))
        labels = torch.from_numpy(stored.pop("labels")).long()
        views = {
            m: torch.from_numpy(x).permute(0, 3, 1, 2).contiguous().float() / 255
            for m, x in stored.items()
        }
        self.dataset = MultimodalBaseDataset(views, labels)
        is_jnf = model["method"] == "jnf"
        self.model = build(OneTransition, model) if is_jnf else build_peer(model)
        self.folder = tempfile.TemporaryDirectory()
        of_trainer = MultistageTrainerConfig if is_jnf else BaseTrainerConfig
        config = of_trainer(
            output_dir=self.folder.name,
            per_device_train_batch_size=batch_size,
            learning_rate=learning_rate,
            no_cuda=True,
        )
        config.drop_last = True
        trainer = MultistageTrainer if is_jnf else BaseTrainer
        self.trainer = trainer(self.model, self.dataset, None, config)
        self.batch_size = batch_size
        return {}

    def train(self, stage):
        """One epoch of MultiVae's trainer; seconds and number of steps."""
        if isinstance(self.model, JNF):
            self.model.warmup = 1_000_000 if stage == "joint" else 0
        begin = time.perf_counter()
        loss, _ = self.trainer.train_step(1)
        seconds = time.perf_counter() - begin
        steps = len(self.trainer.train_loader)
        return {"seconds": seconds, "steps": steps, "loss": loss}

    def _first(self, num):
        """As many tuples, from the first."""
        return MultimodalBaseDataset(
            {m: x[:num] for m, x in self.dataset.data.items()},
            self.dataset.labels[:num],
        )

    def draw(self, subset, num, transitions, leapfrog):
        """Seconds of ``encode``: one z a datum, given a subset."""
        self.model.eval()
        self._use_own_start()
        begin = time.perf_counter()
        self.model.encode(
            self._first(num), subset, mcmc_steps=transitions, n_lf=leapfrog
        )
        return {"seconds": time.perf_counter() - begin}

    def _use_own_start(self):
        self.model.__class__ = JNF

    def chains(self, subset, num, num_chains, transitions, out):
        """Traces MultiVae's rule, ε 0.01 and ten leapfrog steps; exports its target.

        Writes ``draws`` f32[T, R, B, D], the means and log-variances of the experts
        and the masked weights of their flows to ``out``.
        """
        model = self.model.eval()
        self._use_own_start()
        data = {
            m: torch.cat([x] * num_chains) for m, x in self._first(num).data.items()
        }
        start = model._sample_from_moe_subset(subset, data)
        model.__class__ = OneTransition
        model.position, draws = start, []
        begin = time.perf_counter()
        for _ in range(transitions):
            model.position = model._sample_from_poe_subset(
                subset, data, mcmc_steps=1, n_lf=10, eps_lf=0.01
            )
            draws.append(model.position)
        seconds = time.perf_counter() - begin
        arrays = {
            "draws": torch.stack(draws).reshape(transitions, num_chains, num, -1),
            "start": start.reshape(num_chains, num, -1),
        }
        with torch.no_grad():
            for m in subset:
                code = model.encoders[m](self._first(num).data[m])
                arrays[f"{m}/mean"] = code.embedding
                arrays[f"{m}/log_variance"] = code.log_covariance
                for i, made in enumerate(model.flows[m].net):
                    layers = [layer for layer in made.net if hasattr(layer, "mask")]
                    for j, layer in enumerate(layers):
                        arrays[f"{m}/{i}/{j}/weight"] = (layer.mask * layer.weight).T
                        arrays[f"{m}/{i}/{j}/bias"] = layer.bias
            log_density = model._compute_poe_posterior(
                subset, start, data, divide_prior=True, grad=False
            )
            arrays["log_density"] = log_density.reshape(num_chains, num)
        np.savez(out, **{name: a.detach().numpy() for name, a in arrays.items()})
        return {"seconds": seconds}

    def coherence(self, num, num_prior, batch_size, classes, features, hidden_size):
        """Seconds of MultiVae's coherence evaluator on ``num`` tuples.

        The classifiers have the other side's layers and random weights: what they say
        costs the same.
        """
        self._use_own_start()
        network = {"kind": "conv", "features": features, "kernel_size": 3}
        network["hidden_sizes"] = [hidden_size]
        classifiers = {}
        for m, x in self.dataset.data.items():
            channels, height, width = x.shape[1:]
            trunk, size = trunk_of(network, (height, width, channels))
            classifiers[m] = nn.Sequential(trunk, nn.Linear(size, classes))
        evaluator = CoherenceEvaluator(
            self.model,
            classifiers,
            self._first(num),
            eval_config=CoherenceEvaluatorConfig(
                batch_size=batch_size,
                nb_samples_for_joint=num_prior,
                num_classes=classes,
            ),
        )
        begin = time.perf_counter()
        evaluator.cross_coherences()
        conditional = time.perf_counter() - begin
        evaluator.joint_coherence()
        return {"conditional": conditional, "all": time.perf_counter() - begin}


def main():
    """Answers until stdin ends."""
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    versions = {p: importlib.metadata.version(p) for p in ("multivae", "torch")}
    print(json.dumps({**versions, "threads": threads}), file=answers, flush=True)
    side = Side()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(side, request.pop("do"))(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
