"""The FID's network, converter and distance beside the pytorch-fid package.

Random weights and no download: pytorch-fid asks for its weights by URL, and gets these;
we read the file that torch wrote of them, without torch.
"""

import hashlib
import sys

import jax
import numpy as np
import pytest

from jnf_jax import options
from jnf_jax.data.torch_file import load_tensors
from jnf_jax.evaluation.measures.features import inception_features
from jnf_jax.evaluation.measures.frechet import Settings
from jnf_jax.evaluation.statistics.frechet import frechet_distance, gaussian_of
from jnf_jax.networks.inception import BLOCKS, Inception, from_torch

pytestmark = pytest.mark.fid
torch = pytest.importorskip("torch", reason="needs the extra fid-test")
KEPT = []
"""Operators that live as long as the library that defines them."""


def import_torchvision():
    """Also where it is a build for another device than torch's."""
    try:
        import torchvision
    except RuntimeError:  # its compiled operators are not there; Inception has none
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        KEPT.append(torch.library.Library("torchvision", "DEF"))
        KEPT[0].define("nms(Tensor boxes, Tensor scores, float limit) -> Tensor")
        KEPT[0].define("qnms(Tensor boxes, Tensor scores, float limit) -> Tensor")
        import torchvision
    return torchvision


@pytest.fixture(scope="module")
def theirs():
    """(pytorch-fid's network around a model, the model) with random weights."""
    torchvision = import_torchvision()
    from pytorch_fid import inception

    torch.manual_seed(0)
    plain = torchvision.models.inception_v3(
        num_classes=1008, aux_logits=False, weights=None, init_weights=False
    )

    def given(url, **options):
        assert url.endswith("pt_inception-2015-12-05-6726825d.pth")
        return plain.state_dict()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", given)
        model = inception.fid_inception_v3()
        patch.setattr(inception, "fid_inception_v3", lambda: model)
        network = inception.InceptionV3(use_fid_inception=True)
    scramble(model, network)
    return network, model


def pictures(side, count=4):
    """f32[count, side, side, 3] of smooth 8-bit pictures, so that resizing matters."""
    coarse = np.random.default_rng(side).uniform(0, 255, (count, 7, 7, 3))
    smooth = jax.image.resize(coarse, (count, side, side, 3), "cubic")
    return np.asarray(smooth).clip(0, 255).round().astype(np.float32) / 255


def as_torch(views):
    return torch.from_numpy(views.transpose(0, 3, 1, 2).copy())


def scramble(model, network):
    """As after training: every layer normalises its output, then has a factor and a
    shift of its own; shifts are positive on average, since a network that ReLUs cut in
    half everywhere is chaotic and multiplies the rounding of its first layers."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(1.0, 0.5)
    with torch.no_grad():
        network.train()(as_torch(pictures(28)))
    network.eval()


@pytest.fixture(scope="module")
def files(theirs, tmp_path_factory):
    """As torch wrote it before 1.6, and as it does now."""
    folder, state = tmp_path_factory.mktemp("weights"), theirs[1].state_dict()
    paths = folder / "stream.pth", folder / "zip.pth"
    for path in paths:
        is_zip = path.stem == "zip"
        torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    return paths


@pytest.fixture(scope="module")
def params(theirs, files):
    """Ours, from either file."""
    stream, zipped = map(load_tensors, files)
    assert set(stream) == set(zipped) == set(theirs[1].state_dict())
    jax.tree.map(np.testing.assert_array_equal, stream, zipped)
    return from_torch(stream)


def relative_error(got, expected):
    """Largest deviation, in the unit of the largest value."""
    assert got.shape == expected.shape
    return np.abs(got - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("side", [28, 333])
def test_every_layer_agrees(theirs, params, side):
    network, model = theirs
    expected, hooks = {}, []
    for name, module in model.named_modules():
        if name in BLOCKS or type(module).__name__ == "BasicConv2d":

            def keep(module, inputs, output, name=name):
                expected[name] = output.numpy().transpose(0, 2, 3, 1)

            hooks.append(module.register_forward_hook(keep))
    views = pictures(side, count=2)
    with torch.no_grad():
        (pooled,) = network(as_torch(views))
    for hook in hooks:
        hook.remove()
    apply = jax.jit(lambda p, x: Inception().apply(p, x, capture_intermediates=True))
    found, kept = apply({"params": params}, views)
    assert len(expected) == 94 + 11  # convolutions, blocks
    errors = {}
    for name, output in expected.items():
        layer = kept["intermediates"]
        for part in name.split("."):
            layer = layer[part]
        (own,) = layer["__call__"]
        own = np.asarray(own if name in BLOCKS else jax.nn.relu(own))
        errors[name] = relative_error(own, output)
    errors["pool3"] = relative_error(np.asarray(found), pooled[..., 0, 0].numpy())
    assert max(errors.values()) < 1e-4, errors
    print(f"pictures of {side}: worst layer", *max((e, n) for n, e in errors.items()))


def test_features_of_grey_pictures_from_a_file_named_in_a_config(theirs, files):
    """Hash checked, weights read, one channel repeated; not called FID."""
    digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
    settings = Settings("inception", str(files[0]), digest)
    assert not options.faults(settings, "evaluation.frechet")
    extractor = inception_features(str(files[0]), digest, None)
    assert extractor.distance == "frechet_inception" and extractor.size == 2048
    grey = pictures(32, count=2)[..., :1]
    with torch.no_grad():
        (expected,) = theirs[0](as_torch(np.repeat(grey, 3, axis=-1)))
    got = np.asarray(extractor.extract("m0", grey))
    assert relative_error(got, expected[..., 0, 0].numpy()) < 1e-4
    other = Settings("inception", str(files[1]), digest)
    (fault,) = options.faults(other, "evaluation.frechet")
    assert "has SHA-256" in fault and f"expected {digest}" in fault


def test_the_distance_agrees():
    from pytorch_fid.fid_score import calculate_frechet_distance

    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(2, 32, 32))
    one, other = (rng.normal(size=(500, 32)) @ m + m[0] for m in mixing)
    expected = calculate_frechet_distance(
        one.mean(0), np.cov(one.T), other.mean(0), np.cov(other.T)
    )
    got = frechet_distance(gaussian_of([one]), gaussian_of([other[:77], other[77:]]))
    assert got == pytest.approx(expected, rel=1e-6)
