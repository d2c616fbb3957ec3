"""A run's folder as training and evaluation leave it, without a model."""

import json
import wave

import numpy as np

from jnf_jax.data.dataset import Dataset, Presentation
from jnf_jax.evaluation import explorer
from jnf_jax.evaluation.pictures import save_png
from jnf_jax.experiments import records

VIEWS = ("image", "sound", "text")
SHAPES = {"image": (4, 6, 3), "sound": (2, 2, 1), "text": (5,)}
NUM_TUPLES, NUM_DRAWS = 3, 2
SUBSETS = [("image",), ("sound",), ("text",), ("image", "sound")]


def write_wav(stem, x):
    path = stem.with_suffix(".wav")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.zeros(80, np.int16).tobytes())
    return [path]


def write_text(stem, x):
    path = stem.with_suffix(".txt")
    path.write_text(f"<b>{x[0, 0]:.3f}</b>\n")
    return [path]


def dataset():
    """Pictures; sounds that are written; vectors that are drawn flat, and are texts."""
    return Dataset(
        name="made_up",
        shapes=SHAPES,
        splits={},
        fetch=lambda arrays, rows: {},
        num_classes=2,
        record={},
        presentations={
            "sound": Presentation(write=write_wav),
            "text": Presentation(lambda x: x[:, None, :, None], write_text),
        },
    )


def explored(labels=(1, 0, 1), num_tuples=NUM_TUPLES):
    """Every value of a cell tells which it is."""
    generator = np.random.default_rng(0)

    def draw(num, m):
        return generator.random((num, *SHAPES[m]), np.float32)

    num = num_tuples * NUM_DRAWS
    return explorer.Explored(
        rows=np.arange(num_tuples),
        labels=None if labels is None else np.array(labels)[:num_tuples],
        num_draws=NUM_DRAWS,
        truth={m: draw(num_tuples, m) for m in VIEWS},
        given={s: {m: draw(num, m) for m in VIEWS if m not in s} for s in SUBSETS},
        priors={"normal": {m: draw(num + 1, m) for m in VIEWS}},
    )


def latents(labels=(1, 0, 1)):
    z = np.array([[3.0, 0.0, 0.0], [-3.0, 0.0, 0.5], [0.0, 1.0, -0.5]])
    known = None if labels is None else np.array(labels)
    return explorer.Latents(z, known, {"normal": np.zeros((2, 3))})


def record(**changes):
    """A record of one seed, with a measure."""
    found = {
        "dataset": "made_up",
        "method": "jnf",
        "protocol": "v1",
        "config": "made/up",
        "command": "python -m jnf_jax.train --config made/up --workdir w",
        "commit": "0123abc",
        "hardware": "2 cores",
        "seeds": [0],
        "wall_seconds": 90.0,
        "num_tuples": 100,
        "data": {"checksums": {"a": "0"}},
        "coherence": {
            "conditional": {"1": 0.5, "2": 0.75},
            "joint": {"normal": 0.25},
            "joint_entropy": 0.6,
            "ceiling": 0.9,
            "interval": {"conditional": {"1": {"low": 0.45, "high": 0.55}}},
        },
        "subset_coherence": {"image": {"sound": 0.5, "text": 0.25}},
        "classifiers": {m: 0.95 for m in VIEWS},
        "sampler": {
            "settings": {"kernel": "dynamic_hmc", "num_transitions": 9},
            "subsets": {
                "image+sound": {
                    "step_size": 0.1, "acceptance": 0.8, "rhat_max": 1.01,
                    "ess_min": 300.0, "share_unconverged": 0.0,
                }
            },
            "warnings": [],
        },
        "stage1_checkpoint": "joint/1",
        "representation": {
            "settings": {},
            "probe": {"image": 0.875, "joint": 0.95},
            "reconstruction": {"joint": {"absolute_error": {"image": 0.25}}},
        },
    }  # fmt: skip
    return found | changes


def write(folder, *, config=None, about=None, judged=None, labels=(1, 0, 1)):
    """Writes the files of a run; ``judged`` None: of one that was not evaluated."""
    folder.mkdir(parents=True)
    config = {"method": "jnf", "seed": 0, "model": {"latent_dim": 3}} | (config or {})
    text = {
        "config": config,
        "config_file": "made/up",
        "command": "python -m jnf_jax.train --config made/up --workdir w",
        "commit": "0123abc",
        "versions": {"jax": "0.10"},
    } | (about or {})
    (folder / "config.json").write_text(json.dumps(text))
    model = {
        "name": "made_up", "shapes": SHAPES, "num_classes": labels and 2,
        "record": {"sizes": {"train": 1000, "test": 100}},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(model))
    steps = [
        {"event": event, "stage": "joint", "step": step, "loss": 100.0 / step}
        | ({"kl": 2.0, "samples_per_second": 10.0} if event == "train" else {})
        for step in range(10, 110, 10)
        for event in ("train", "validation")[: 1 + (step % 50 == 0)]
    ]
    lines = [json.dumps(line) for line in [{"event": "start"}, *steps]]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    if judged is None:
        return folder
    records.write(folder / "results.json", judged)
    for name in ("any_to_any", "given_image", "unconditional"):
        path = folder / "samples" / f"{name}.png"
        save_png(path, np.full((8, 40, 3), 200, np.uint8))
    own = explored(labels)
    explorer.keep(dataset(), own, latents(labels), folder / "report")
    return folder
