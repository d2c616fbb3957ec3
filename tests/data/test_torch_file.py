"""Tensors read from torch.save files without torch and without unpickling."""

import base64
import zipfile
import zlib

import numpy as np
import pytest

from jnf_jax.data import torch_file

# torch 2.13: torch.save(torch.tensor([[0, 1], [2, 3]], dtype=torch.uint8).T, path)
REAL = (
    "c-o~@&x_MQ6rLn)Qse#*bYX=>Jb0*}-"
    "K0s{4Y;U5a>>DNMJXbLY%<p1wAo3fD|!;t1<{Mgz4&j)9{m#(PvXtfp1gW=rfEZx+Ag}Ult<I|z3+Q"
    "(zDdUsDge}KU?x_;1&|Cpgf;_@c#XZM$hOXbhoyMQ`y`6}Ck=N*LX^mE40lH%3S0t*Nff*LO&NoFy("
    "iI*39a<{5OXO+ww@DsFMTFszQ@rL1q(faW`A#lD^7*r>W%{(-"
    "r*0h=x{7aZ+$;P2>K+9hKYPP4qyy}JE2cxT)W!EX9$+N_-"
    "v!&NHyU@@9>azW8co)LD#^Q$)JtLQ9SU7yAR`pcDJp|GxL^1WjvpL{dmRHa|?OafjQ-wY{K<W*dGqy"
    "kl2=SBGq4`r85CHpW$PkQt%4}tb*GU0lReb5!;+?ZT}zdG*Czgf=t7k?VlG#$|5e*umo=9T(zm#){R"
    "pM030tc_VWiv?<ggxEM#BKHjo|hDd*Q@#{T7F|NhDQ-vIj50OR2k7>CpWFFa;tHw<h``DZbz(Qa<3r"
    "fI0^mZ7(FO=-"
    "3i`b<+av!$zATWg#2V=$GEzQ2B7r#k9ml^heB>C9i1l^Ny5_dpq&xBprJcbs8MSF7A2Z{YPpiyaQky"
    "*1@7c?+%<x_r&LWY#Z(^A1`nfFJOn;Mp=VfBMS><hKktXYTxwY!skf0W362#}UPAliEwd^$aJK@@Fp"
    "1zlAhY-1x7fYWh2UXH~@%BaQ3R+CR#KQn~"
)


@pytest.fixture
def real(tmp_path):
    path = tmp_path / "real.pt"
    path.write_bytes(zlib.decompress(base64.b85decode(REAL)))
    return path


def rewrite(path, **members):
    """A copy of a torch.save file with other members; None leaves one out."""
    copy = path.with_name("copy.pt")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            short = name.partition("/")[2].replace(".", "_").replace("/", "_")
            content = members.get(short, source.read(name))
            if content is not None:
                target.writestr(name, content)
    return copy


def test_reads_what_torch_wrote_strides_and_all(real):
    tensor = torch_file.load_tensor(real)
    assert tensor.dtype == np.uint8
    np.testing.assert_array_equal(tensor, [[0, 2], [1, 3]])


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 3), (7,)])
def test_round_trip(tmp_path, torch_save, dtype, shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    torch_save(tmp_path / "a.pt", array)
    loaded = torch_file.load_tensor(tmp_path / "a.pt")
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)
    loaded += 1  # a copy of its own, not a view of the file


def test_a_hostile_pickle_is_refused_and_not_run(real, tmp_path):
    flag = tmp_path / "ran"
    code = b"\x80\x02cos\nsystem\nX" + len(f"touch {flag}").to_bytes(4, "little")
    code += f"touch {flag}".encode() + b"\x85R."
    with pytest.raises(ValueError, match="expected one dense tensor .*os system"):
        torch_file.load_tensor(rewrite(real, data_pkl=code))
    assert not flag.exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"\x80\x02]q\x00.", "opcode EMPTY_LIST has no place"),
        (b"\x80\x02K\x05.", "expected one dense tensor"),
        (b"", "expected one dense tensor"),
    ],
)
def test_other_contents_are_refused(real, code, message):
    with pytest.raises(ValueError, match=message):
        torch_file.load_tensor(rewrite(real, data_pkl=code))


def test_damaged_files_are_refused(real, tmp_path):
    with pytest.raises(ValueError, match="does not fit its 3 values"):
        torch_file.load_tensor(rewrite(real, data_0=b"abc"))
    with pytest.raises(ValueError, match="has no data.pkl"):
        torch_file.load_tensor(rewrite(real, data_pkl=None))
    with pytest.raises(ValueError, match="byte order b'big', expected little"):
        torch_file.load_tensor(rewrite(real, byteorder=b"big"))
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ValueError, match="expected a torch.save file in zip format"):
        torch_file.load_tensor(tmp_path / "text.pt")
