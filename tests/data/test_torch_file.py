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


# torch 2.13: a tensor, a transposed one, a dictionary with another, two of NumPy's.
REAL_TUPLE = (
    "c-"
    "o~^O>EOv9Dj*ZxAC@qu#c9q6~+d*tfYzKCN5vC0t(VRm0$#lCQX^+nA)0S_iw*+>!eAQrWSgG`!w"
    "yuofAipkhp_5_JTOTPP^_f#NM-=)OHoh$CI2FCGYp~-uwOkuE|UWp`jtPYmB0ONOd*CT-"
    "9e=DpqqVKUvkvF#0|=*3-"
    "O(9kMLf=wQ?GxQ44YJEqlYVBPi{x3Ma4fOx(>NGLtBQeD;|6+pP}9DDh4@EZr|dWtN`15;<ntgUn"
    ")BQqEVF3Ct{Hh`5=8!)(~X^v&-8a5r<<1V@_-"
    "PK#?O$~D}G_61u1E;_T1`#y6B2~*#aZlw#U!?#a85x<yFihFgGP4OIa!O8b!swPkiN-MOQ{dy@;1"
    "k}r(>87RG@vyC3IRSN6e$ejgkpL+fK6c7ufSvgQGbC07Z$_Qtdmnlmg!;m{0I1gr($|XvpemTwOm"
    "7UTs_zBSlCouS6$;gO|?{)gQ;Kv*TQQn#QVW|nvh(R;Lz5M>+q!lhk2Rt&76j>mX?;jeMN@<AtMZ"
    "5H#I`s(lw9MZTf|SBlT?WdLP_efTMMmx>B)e7vR_?@Cr<C!f^$@>F12xu0~ECyB&JuGoe4b75ob)"
    "WV8V}<A`sn39|+v%_~s24uS$jx@&Tiq7iJwlwgi-"
    "q@+NZY{b~T1*y43xF#Z@OoekgoME0yoK)ZxhSN<9XL2=paA^CXckUKhLZ4dSfRCf&y@2PgIc{6Uj"
    "aA+CNVKYzqlujN8wIL&_n+<GQ=z;5dXuQUqZgJ!L$%ChyRF-"
    "}S}DGvWNef~YGC1K_&XgQOMe4nXrX7IxrTLzmQS^E>RoiZ!!j|pbn0Q_%(MM8PV8$v45PELt}>gi"
    "R!+W$0VWZQOgK|V+J7$}(eO;{;b<oAs8Fr&Z|o@GSYIF?q|_J5vreAB7ODRD&F8n?L0@<~{rmT**"
    "2UXD-pPdf@2@oyNkA{^?{)u0j;cTUbNR~N`I|z*P67B^^>o)H74WM{`+37`RV%r-"
    "G?SOac~O!iu{>Xz%ZpOEIF~O7C2>xg7sMj@uOO7mVo9Jb^M7o=;)xI5cbW2gNY`hyWsL4}o_r4`("
    "a{Dl9z#A&qkc^$NfIsM$r#Bc2EC?pBzdBRI2Pl19O3CTfFwLxHN!FZ)eK71ZW0?!d>s2Ci7h0t(F"
    "Dh_#y|oqB(c%_jl{4|BG^9X9*xCR46LwdkHFSsmYwOwn>o=#W)t&;@P+j++ig$mpnvDto%U6e2iO"
    "3U_16b${|9Y*H{1"
)


def stored(path, text):
    path.write_bytes(zlib.decompress(base64.b85decode(text)))
    return path


@pytest.fixture
def real(tmp_path):
    return stored(tmp_path / "real.pt", REAL)


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


def test_reads_the_tensors_of_a_tuple_and_nothing_else(tmp_path):
    path = stored(tmp_path / "tuple.pt", REAL_TUPLE)
    first, second, *others = torch_file.load_tuple(path)
    np.testing.assert_array_equal(first, [3, 1, 4])
    np.testing.assert_array_equal(second, [[0, 2, 4], [1, 3, 5]])
    assert others == [None] * 3
    with pytest.raises(ValueError, match="expected one dense tensor .found"):
        torch_file.load_tensor(path)


def test_one_tensor_is_no_tuple(real):
    with pytest.raises(ValueError, match="expected a tuple of tensors"):
        torch_file.load_tuple(real)


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
    # In a tuple it is passed over, and not run either.
    code = b"\x80\x02(" + code[2:-1] + b"t."
    assert torch_file.load_tuple(rewrite(real, data_pkl=code)) == [None]
    assert not flag.exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"\x80\x02]q\x00.", r"expected one dense tensor \(found \[\]"),
        (b"\x80\x02K\x05.", r"expected one dense tensor \(found 5"),
        (b"\x80\x04\x8f.", "opcode EMPTY_SET has no place"),
        (b"\x80\x02)(K\x01e.", r"expected dense tensors \('tuple' object has no"),
        (b"", "expected dense tensors"),
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
