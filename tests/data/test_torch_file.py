"""Tensors read from torch.save files, without torch and without unpickling."""

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

# torch 2.13, a state_dict: f32[2] weight, a strided view of f32[2, 2], a number.
STATE_IN_STREAM = (  # torch.save(…, _use_new_zipfile_serialization=False)
    "c-n1J&2G~`5MFPbl$y2_%3t|w;pAMR;#QEHC=%+${54$mf>w^biWl5<W_Mf!Qlwle0nfmJBagwOaODw@"
    "I53W(Qc-rbBk%0Y_kA<t8UGv<zrP&(+J5ux<z{cjpZ#o+odOHRI%8~NODxl}kjKh8T^jHxK&;YBp%Duu"
    "mC1BsfPWMLIr05ONvA(32dydip=guS<)uYv$6U1NrVT<T_Jv<#lx7S|v0qihnG#K*QY01^ys(+FDtn?+"
    "41jfq;Dw??8Sj)H=LkH-(x!P&R;UXXNUKJbE;5PAxYEkwD1cTNilv&JB9pNKzex!WiZa1hjWd9@SfiN1"
    "?jYKsy%*izdl*4yE;OA~q>VpEICmJcn4iFM?43aHDX;aMM_3ucs#u{&TN$IxSRN_r#9B_wxu2g!jvfs9"
    "JAJs2Q?-P+ei(Z-;>FrrY7jRNE)U^~*q}619m!FGX|9|^o1|}523H&4zhyk7)}2;y?f)uvqdr_GE|0i2"
    "Nqx85aNIz+IfPr)6mE-UN+HRZWC<p4Xa2q=$jM-P3U}wt`#1G_F?Y_5XiBf^KVv~<-XaNnQFmLaSI@p#"
    "U-udNPUi<5_Sj=*7eD=)JtDLJ2e1^dO8"
)
STATE_IN_ZIP = (
    "c-o~@PiWIn9DYgvXH!>KwR8U6sRQlWEbUTZZVM8S2zC{r3?!y$Y{JrHFL~Wi91O+|UIjhME}lJl^&oih"
    ";>DAo;K`FW&%T#*U6OU1%m*)zB){+beeeB#->XZpH~{H1I4~HH2g*!aK}vCL)f9ysSQ#?5XjQdMQ&W*)"
    "TP}0oX={$wzGJ9}fnd4;sX{Y}$u=~jqa#SG$aYk{DEE+Ix{T~-t)5}FWu#fI?a1pa17n3kGldZ@j#N4t"
    "jQbEqG;IYv@INvz(WG!p2_~B{ysB$Gn38A&)5{W&=pC4ms2#|>(20T(1V<b2RC5#uIz7uWtd88(6bqi#"
    "aV|Zs`&?ysMo&p`1jm*oig0Af<E+myj$p0<&o#$!pw;WjEd{B%=E}%X)K#qw&-+w;srPKFGf;ZLV`pI="
    "vr`C8V1?7uKI=sUCmZlmZxdc_W^fReg%on&@QU~UYLnCfUfYD%y(3xI92cK5oRVnQbz8-{luA!N+J5~U"
    "XCSkFXf3lKfooZOVmn<0$$cJCpukF*ki7r>ZJVeh^Kg<Jm?tFt!pMqgbgZssAyKFeZH<2#RgMT)*nq!i"
    "oPs`5z=*et)>EX}q|H42rh$;D5ssbtpA)3jl1Fl+LA>A9GbK?VU$z$TW05edzg;M%y_lmJggu6`DBM2z"
    "*1ZA1?jism@ce-%SRy*!IgkI0;g_*vbllq0!HPl^oHV~bNM7Unly?07Ghhkl9rV!r{~f?ALo$DP(|LG&"
    "{quk)4d`vz)f@wN;4_8XJF?Lh1@1&bN<3HNc%J9xYSl`K<L728rE<B-vHV<#udpo3)hboCQX(opexhF$"
    "u#SSKlA^sT^mPV($Q)3<e~(6SLF;8hn9meA=-DVdXq;Tw@-!Ig)+j^JHX|X1mmb5wZc$*+E#YE)rNO{s"
    "QB<(E!>D|0fGS5(!Oje$cK1<i6cy~MOgL8@?DudK7A$i<d?Frfcmvj@Wb#Ho?n>-tz%Jo6OZzLI*fU;|"
    "-0k3Q%76Fo;6&2LWW0Dk_Ale=h}Z"
)


# torch 2.13: a tensor, a transposed one, a dictionary with another, two of NumPy's.
REAL_TUPLE = (
    "c-"
    "o~^O>EOv9Dj*ZxAC@qu#c9q6~+d*tfYzKCN5vC0t(VRm0$#lCQX^+nA)0S_iw*+>!eAQrWSgG`!wyu"
    "ofAipkhp_5_JTOTPP^_f#NM-=)OHoh$CI2FCGYp~-uwOkuE|UWp`jtPYmB0ONOd*CT-"
    "9e=DpqqVKUvkvF#0|=*3-"
    "O(9kMLf=wQ?GxQ44YJEqlYVBPi{x3Ma4fOx(>NGLtBQeD;|6+pP}9DDh4@EZr|dWtN`15;<ntgUn)B"
    "QqEVF3Ct{Hh`5=8!)(~X^v&-8a5r<<1V@_-"
    "PK#?O$~D}G_61u1E;_T1`#y6B2~*#aZlw#U!?#a85x<yFihFgGP4OIa!O8b!swPkiN-MOQ{dy@;1k}"
    "r(>87RG@vyC3IRSN6e$ejgkpL+fK6c7ufSvgQGbC07Z$_Qtdmnlmg!;m{0I1gr($|XvpemTwOm7UTs"
    "_zBSlCouS6$;gO|?{)gQ;Kv*TQQn#QVW|nvh(R;Lz5M>+q!lhk2Rt&76j>mX?;jeMN@<AtMZ5H#I`s"
    "(lw9MZTf|SBlT?WdLP_efTMMmx>B)e7vR_?@Cr<C!f^$@>F12xu0~ECyB&JuGoe4b75ob)WV8V}<A`"
    "sn39|+v%_~s24uS$jx@&Tiq7iJwlwgi-"
    "q@+NZY{b~T1*y43xF#Z@OoekgoME0yoK)ZxhSN<9XL2=paA^CXckUKhLZ4dSfRCf&y@2PgIc{6UjaA"
    "+CNVKYzqlujN8wIL&_n+<GQ=z;5dXuQUqZgJ!L$%ChyRF-"
    "}S}DGvWNef~YGC1K_&XgQOMe4nXrX7IxrTLzmQS^E>RoiZ!!j|pbn0Q_%(MM8PV8$v45PELt}>giR!"
    "+W$0VWZQOgK|V+J7$}(eO;{;b<oAs8Fr&Z|o@GSYIF?q|_J5vreAB7ODRD&F8n?L0@<~{rmT**2UXD"
    "-pPdf@2@oyNkA{^?{)u0j;cTUbNR~N`I|z*P67B^^>o)H74WM{`+37`RV%r-"
    "G?SOac~O!iu{>Xz%ZpOEIF~O7C2>xg7sMj@uOO7mVo9Jb^M7o=;)xI5cbW2gNY`hyWsL4}o_r4`(a{"
    "Dl9z#A&qkc^$NfIsM$r#Bc2EC?pBzdBRI2Pl19O3CTfFwLxHN!FZ)eK71ZW0?!d>s2Ci7h0t(FDh_#"
    "y|oqB(c%_jl{4|BG^9X9*xCR46LwdkHFSsmYwOwn>o=#W)t&;@P+j++ig$mpnvDto%U6e2iO3U_16b"
    "${|9Y*H{1"
)


def unpacked(text):
    return zlib.decompress(base64.b85decode(text))


@pytest.fixture
def real(tmp_path):
    path = tmp_path / "real.pt"
    path.write_bytes(unpacked(REAL))
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


@pytest.mark.parametrize("text", [STATE_IN_STREAM, STATE_IN_ZIP])
def test_reads_state_dicts_of_old_and_new_torch(tmp_path, text):
    path = tmp_path / "state.pth"
    path.write_bytes(unpacked(text))
    tensors = torch_file.load_tensors(path)
    assert {name: a.tolist() for name, a in tensors.items()} == {
        "weight": [1, 2],
        "running_mean": [6, 8],
        "num_batches_tracked": 0,
    }
    dtypes = [str(a.dtype) for a in tensors.values()]
    assert dtypes == ["float32", "float32", "int64"]
    with pytest.raises(ValueError, match="expected one dense tensor"):
        torch_file.load_tensor(path)


def test_streams_that_are_cut_off_or_of_another_machine_are_refused(tmp_path):
    path, whole = tmp_path / "state.pth", unpacked(STATE_IN_STREAM)
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="storage '.*' is cut off"):
        torch_file.load_tensors(path)
    path.write_bytes(whole.replace(b"endianq\x02\x88", b"endianq\x02\x89"))
    with pytest.raises(ValueError, match="expected a file of a little-endian machine"):
        torch_file.load_tensors(path)
    path.write_bytes(whole.replace(b"FloatStorage", b"FlootStorage"))
    with pytest.raises(ValueError, match="found storage .*FlootStorage"):
        torch_file.load_tensors(path)


def test_one_tensor_is_no_state_dict(real):
    with pytest.raises(ValueError, match="expected names with tensors"):
        torch_file.load_tensors(real)


def test_reads_the_tensors_of_a_tuple_and_nothing_else(tmp_path):
    path = tmp_path / "tuple.pt"
    path.write_bytes(unpacked(REAL_TUPLE))
    first, second, *others = torch_file.load_tuple(path)
    np.testing.assert_array_equal(first, [3, 1, 4])
    np.testing.assert_array_equal(second, [[0, 2, 4], [1, 3, 5]])
    assert others == [None] * 3


def test_one_tensor_is_no_tuple(real):
    with pytest.raises(ValueError, match="expected a tuple of tensors"):
        torch_file.load_tuple(real)


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
        (b"\x80\x02]q\x00.", "expected one dense tensor"),
        (b"\x80\x02\x8f.", "opcode EMPTY_SET has no place"),
        (b"\x80\x02K\x05.", "expected one dense tensor"),
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
    with pytest.raises(ValueError, match="expected a torch.save file"):
        torch_file.load_tensor(tmp_path / "text.pt")
