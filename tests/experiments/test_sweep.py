"""A sweep end to end on a tiny toy set; what it shares, and what it refuses."""

import functools
import json
import operator
import threading
from pathlib import Path

import jax
import ml_collections
import numpy as np
import pytest
from PIL import Image

from jnf_jax import programs
from jnf_jax.experiments import (
    ablations,
    config_files,
    experiment,
    logs,
    options,
    records,
    sweep_plot,
)
from jnf_jax.experiments import run as runs
from jnf_jax.experiments import sweep as sweep_run

TINY = '''
from jnf_jax.configs.circles_squares import noisy


def get_config():
    """64 pairs, networks of width 8, 6 steps a stage."""
    config = noisy.get_config("{name}")
    with config.unlocked():
        config.data.update(num_train=64, num_validation=16, num_test=32, noise=0.1)
    config.model.latent_dim = 2
    config.model.joint_hidden_sizes = (8,)
    config.model.networks.default.hidden_sizes = (8,)
    config.flow.hidden_sizes = (8,)
    config.evaluation.update(num_tuples=32, batch_size=32, num_prior_samples=32)
    config.evaluation.num_diagnostic_data = 8
    for stage in config.stages.split(","):
        config[stage].update(num_steps=6, batch_size=16)
    return config
'''


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A folder with two tiny configs, "jnf" and "shared_cl"; the current one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("jnf", "shared_cl"):
        (tmp_path / f"{name}.py").write_text(TINY.replace("{name}", name))
    return tmp_path


def sweep_config(**changes):
    config = dict(
        base="jnf.py",
        overrides=(),
        axes=(("flow.num_blocks", (0, 1)),),
        shares=("joint",),
        num_seeds=1,
        quantities=("coherence.conditional.1", "coherence.ceiling"),
        plot=dict(x="flow.num_blocks", y=("coherence.conditional.1",), log_x=False),
    )
    return ml_collections.ConfigDict(config | changes).lock()


@pytest.fixture
def calls(monkeypatch):
    """Workdirs that were run; nothing is trained, each has a record at once."""
    seen = []

    def pretend(config, workdir, *, config_name, command, mesh, with_evaluation=True):
        assert mesh.size == 1
        seen.append(str(workdir))
        if not with_evaluation:
            return None
        share = 0.25 + 0.5 * config.seed
        record = {
            **dict(dataset="toy", method="jnf", protocol="v1", config=config_name),
            **dict(command=command, commit="0123abc", hardware="2 cores"),
            **dict(seeds=[config.seed], wall_seconds=1.0, sampler={}),
            "coherence": {
                **dict(conditional={"1": share}, joint={"normal": 0.5}),
                **dict(joint_entropy=0.5, ceiling=0.9),
            },
            "classifiers": {"circle": 1.0},
            "stage1_checkpoint": f"joint/{config.seed}",
            "key": experiment.record_key(experiment.open_experiment(config)),
        }
        logs.write_config(workdir, config.to_dict(), config_name, command)
        records.write(workdir / "results.json", record)
        return record

    monkeypatch.setattr(sweep_run, "train_and_evaluate", pretend)
    return seen


def run(config, **options):
    names = dict(config_name="ablations/made_blocks", command="python -m …")
    return sweep_run.run_sweep(config, Path("runs"), **names, **options)


def starts(directory):
    """[(stage, step)] at which training started, by run."""
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [(e["stage"], e["step"]) for e in events if e["event"] == "start"]


@pytest.mark.slow
def test_trains_what_is_shared_once_and_the_rest_by_variant(base):
    """For real: two flows on one joint VAE; then two evaluations of one of them."""
    records = [variant["record"] for variant in run(sweep_config())["variants"]]
    assert records[0]["stage1_checkpoint"] == records[1]["stage1_checkpoint"]
    assert records[0]["coherence"]["ceiling"] == records[1]["coherence"]["ceiling"]
    assert records[0]["unimodal_log_prob"] != records[1]["unimodal_log_prob"]
    own = base / "runs" / "flow.num_blocks=1" / "seed_0"
    assert starts(own) == [("unimodal", 0)]
    (shared,) = (base / "runs" / "shared").iterdir()
    assert starts(shared) == [("joint", 0)]

    # Stopped before its record: its stage is read, and it ends the same.
    (own / "results.json").unlink()
    again = run(sweep_config())["variants"][1]["record"]
    assert starts(own)[-1] == ("unimodal", 6)
    assert again["coherence"] == records[1]["coherence"]

    settings = [(f"init.{s}", str(d / "checkpoints" / s))
                for s, d in (("joint", shared), ("unimodal", own))]  # fmt: skip
    settings.append(("flow.num_blocks", 1))
    axes = (("evaluation.num_tuples", (16, 32)),)
    plot = dict(x="evaluation.num_tuples", y=("coherence.ceiling",), log_x=True)
    config = sweep_config(axes=axes, plot=plot)
    done = run(config, settings=tuple(settings))
    assert [v["record"]["num_tuples"] for v in done["variants"]] == [16, 32]
    only_read = base / "runs" / "evaluation.num_tuples=16" / "seed_0"
    assert not (only_read / "checkpoints").exists()
    plan = sweep_run.make_plan(config, Path("runs"), tuple(settings))
    assert runs.record_of(only_read, plan.units[0].config)


def test_writes_table_and_plot_and_runs_nothing_again(base, calls):
    out = base / "results" / "made_blocks.json"
    done = run(sweep_config(), out=out)
    (shared, *own) = calls
    assert shared.startswith("runs/shared/joint_")
    assert own == [f"runs/flow.num_blocks={n}/seed_0" for n in (0, 1)]
    assert [v["values"] for v in done["variants"]] == [
        {"flow.num_blocks": 0}, {"flow.num_blocks": 1}
    ]  # fmt: skip
    for path in (out, base / "runs" / "sweep.json"):
        assert records.read(path, ablations.faults_of) == json.loads(json.dumps(done))
        assert np.asarray(Image.open(path.with_suffix(".png"))).std() > 0
    table = (base / "runs" / "sweep.md").read_text().splitlines()
    assert table[2:] == ["| 0 | 0.250 | 0.900 |", "| 1 | 0.250 | 0.900 |"]

    (base / own[1] / "results.json").unlink()  # as if stopped before
    del calls[:]
    run(sweep_config())
    assert calls[1:] == own[1:]
    del calls[:]
    run(sweep_config(axes=(("flow.num_blocks", (1, 2)),)))
    assert calls[1:] == ["runs/flow.num_blocks=2/seed_0"]
    del calls[:]  # another config of the same variants
    run(sweep_config(overrides=(("unimodal.num_steps", 7),)))
    assert calls[1:] == own


def test_a_variant_that_diverges_is_told_of_when_all_others_have_run(
    base, calls, monkeypatch
):
    pretend = sweep_run.train_and_evaluate

    def diverges(config, workdir, **options):
        if config.flow.num_blocks == 0 and options.get("with_evaluation", True):
            raise FloatingPointError("the loss is not finite at step 3")
        return pretend(config, workdir, **options)

    monkeypatch.setattr(sweep_run, "train_and_evaluate", diverges)
    told = r"1 of 2 variants diverged(.|\n)*num_blocks=0/seed_0: the loss is not finite"
    with pytest.raises(FloatingPointError, match=told):
        run(sweep_config())
    assert calls[-1] == "runs/flow.num_blocks=1/seed_0"
    assert (base / calls[-1] / "results.json").exists()
    assert not (base / "runs" / "sweep.json").exists()


def test_seeds_become_a_mean_and_a_spread(base, calls):
    done = run(sweep_config(num_seeds=2))
    assert len(calls) == 2 + 4  # a joint stage a seed
    record = done["variants"][0]["record"]
    # 0.25 and 0.75: mean 0.5, sd 0.5 / √2.
    assert record["coherence"]["conditional"]["1"]["n"] == 2
    assert ablations.table_of(done)[2].startswith("| 0 | 0.500 ± 0.354 | 0.900")
    stored = records.read(base / "runs" / "flow.num_blocks=0" / "results.json")
    assert stored == json.loads(json.dumps(record))
    points = sweep_plot.points_of(done, "coherence.conditional.1")
    sd = pytest.approx(0.5 / 2**0.5)
    assert points == {"": [(n, 0.5, sd, sd, n) for n in (0, 1)]}


def test_stages_are_shared_by_those_that_agree_on_them(base):
    """JNF's joint stage serves JNF-Shared; noise, β and the seed need their own."""
    axes = (
        ("method", ("jnf", "shared_cl")),
        ("data.noise", (0.0, 0.4)),
        ("flow.num_blocks", (0, 1)),
    )
    config = sweep_config(base="{method}.py", axes=axes, num_seeds=2)
    plan = sweep_run.make_plan(config, Path("runs"))
    assert len(plan.units) == 16 and len(plan.shared) == 4  # noises × seeds
    assert all(unit.config.stages == "joint" for unit in plan.shared)
    read = {unit.config.init["joint"] for unit in plan.units}
    assert len(read) == 4
    for unit in plan.units:
        (own,) = (u for u in plan.shared if str(u.directory) in unit.config.init.joint)
        assert own.config.data.noise == unit.values["data.noise"]
        assert own.config.seed == unit.config.seed
    # A checkpoint that is given is read, whatever the sweep shares.
    given = sweep_run.make_plan(
        config, Path("runs"), (("init.joint", "a/seed_{seed}"),)
    )
    assert not given.shared
    assert {u.config.init.joint for u in given.units} == {"a/seed_0", "a/seed_1"}


def test_faults_of_variants_are_told_at_once(base):
    config = sweep_config(
        overrides=(("evaluation.num_tuple", 16),),
        axes=(("flow.num_blocks", (0, "two")),),
        shares=("joint", "shared"),
    )
    with pytest.raises(ValueError) as told:
        sweep_run.make_plan(config, Path("runs"))
    first, unknown, last = str(told.value).splitlines()
    assert first == "the sweep has faults:"
    assert unknown.startswith("`evaluation.num_tuple` is unknown, expected one of")
    assert unknown.endswith(". Did you mean 'num_tuples'?")
    assert last == "`flow.num_blocks` is 'two' (str), expected an integer >= 0"
    plot = dict(x="flow.num_blocks", y=("coherence.conditional.2",), log_x=False)
    config = sweep_config(
        shares=("joint", "shared"), quantities=("coherence.ceilings",), plot=plot
    )
    with pytest.raises(ValueError) as told:
        sweep_run.make_plan(config, Path("runs"))
    text = str(told.value)
    assert "`shares` has 'shared', expected stages of 'jnf'" in text
    assert "'coherence.ceilings' is in no record of this run" in text
    assert "Did you mean 'coherence.ceiling'?" in text
    assert "'coherence.conditional.2' is in no record" in text  # two modalities
    with pytest.raises(ValueError, match=r"`shares` has 'unimodal' without 'joint', w"):
        sweep_run.make_plan(sweep_config(shares=("unimodal",)), Path("runs"))
    read = (("init.joint", "a/joint"),)
    assert sweep_run.make_plan(sweep_config(shares=("unimodal",)), Path("runs"), read)
    with pytest.raises(ValueError, match="`flow.num_blocks` is -1, expected >= 0"):
        sweep_run.make_plan(
            sweep_config(axes=(("flow.num_blocks", (-1,)),)), Path("runs")
        )
    assert not (base / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(axes=()), "`axes` is empty"),
        (dict(axes=(("flow.num_blocks", ()),)), "`axes` has 'flow.num_blocks' with ()"),
        (dict(axes=("flow.num_blocks",)), "`axes` has 'flow.num_blocks', expected pai"),
        (dict(num_seeds="3"), "`num_seeds` is '3', expected int"),
        (dict(num_seeds=0), "`num_seeds` is 0, expected 1 or more"),
        (dict(seeds=3), "`seeds` is unknown, .* Did you mean 'num_seeds'"),
        (dict(plot=dict(x="a", y=())), r"`plot` has \['x', 'y'\], expected x, y and l"),
        (
            dict(plot=dict(x="a", y=("b",), log_x=False)),
            r"`plot.x` is 'a', expected one of the axes \['flow.num_blocks'\]",
        ),
        (
            dict(
                axes=(("method", ("jnf", "shared_cl")),),
                plot=dict(x="method", y=("a",), log_x=True),
            ),
            r"`plot.log_x` is True, expected False: 'method' has \('jnf', 'sh",
        ),
        (
            dict(plot=dict(x="flow.num_blocks", y=("a",), log_x=True)),
            r"'flow.num_blocks' has \(0, 1\), which are not all numbers > 0",
        ),
        (dict(base="{a}.py"), "but 'a' is none of the axes"),
        (dict(base="gone.py"), "`base`: gone.py is no file"),
    ],
)
def test_faults_of_a_sweep(base, changes, told):
    with pytest.raises(ValueError, match=told):
        sweep_run.make_plan(sweep_config(**changes), Path("runs"))


def test_intervals_and_numbers_of_subsets_are_quantities():
    def faults(path, **options):
        return ablations.path_faults(path, ("a", "b", "c"), ("normal",), **options)

    known = ["num_subsets.2", "interval.ceiling.low", "interval.joint.normal.high"]
    known += ["interval.conditional.2.low", "interval.subsets.a+b.c.high"]
    for path in known:
        assert faults(f"coherence.{path}") == []
        assert faults(f"coherence.{path}", has_labels=False)
    for path in ("num_subsets.3", "interval.ceiling", "interval.joint.gmm.low"):
        assert faults(f"coherence.{path}")


def test_of_one_seed_bars_are_the_bootstrap_interval():
    interval = {"low": 0.4, "high": 0.7}
    record = {
        "coherence": {
            "ceiling": 0.6,
            "conditional": {"1": 0.5, "2": None},
            "interval": {
                "conditional": {"1": interval},
                "subsets": {"a": {"b": interval}},
            },
        },
        "subset_coherence": {"a": {"b": 0.45}},
    }
    ablation = {
        "axes": ["beta"],
        "plot": {"x": "beta"},
        "variants": [{"values": {"beta": 1.0}, "record": record}],
    }

    def point(quantity):
        ((found,),) = sweep_plot.points_of(ablation, quantity).values()
        return found

    assert point("coherence.conditional.1") == pytest.approx((1.0, 0.5, 0.1, 0.2, 1.0))
    assert point("subset_coherence.a.b") == pytest.approx((1.0, 0.45, 0.05, 0.25, 1.0))
    assert point("coherence.ceiling") == (1.0, 0.6, 0, 0, 1.0)
    assert np.isnan(point("coherence.conditional.2").mean)


def test_a_plot_over_a_quantity_has_a_line_along_the_last_axis(tmp_path):
    """One quantity of either method's prior against another, by β."""

    def variant(method, beta, prior):
        record = {"joint": {prior: beta / 10}, "distance": 1 / beta, "other": None}
        return {"values": {"method": method, "model.beta": beta}, "record": record}

    y = "joint.normal|joint.laplace"
    ablation = {
        "axes": ["method", "model.beta"],
        "plot": {"x": "distance", "y": [y, "joint.student|"], "log_x": True},
        "variants": [
            variant("jnf", 1.0, "normal"), variant("jnf", 2.0, "normal"),
            variant("mmvae", 1.0, "laplace"), variant("mmvae", 2.0, "laplace"),
        ],
    }  # fmt: skip
    lines = sweep_plot.points_of(ablation, y)
    assert [*lines] == ["method jnf", "method mmvae"]
    assert lines["method mmvae"] == [(1.0, 0.1, 0, 0, 1.0), (0.5, 0.2, 0, 0, 2.0)]
    assert np.isnan(
        sweep_plot.points_of(ablation, "joint.student|")["method jnf"][0].mean
    )
    with pytest.raises(ValueError, match="'joint.laplace' is not in the record"):
        ablations.look_up(ablation["variants"][0]["record"], "joint.t|joint.laplace")
    assert sweep_plot.draw(ablation, tmp_path / "plot.png").stat().st_size > 1_000


def test_titles_break_at_dots():
    path = "energy_priors.energy_after.gap_to_long_run.short_run.log_variance"
    lines = sweep_plot._in_lines(path).split("\n")
    assert "".join(lines) == path and len(lines) == 2
    assert lines[0].endswith(".") and max(map(len, lines)) <= 44


def test_a_mean_that_is_one_of_several_names_is_a_quantity():
    """A gap to long runs has "mean" and "log_variance"; over seeds each is a value."""
    summary = {"mean": 0.2, "sd": 0.1, "n": 3}
    record = {"gap": {"mean": 0.5, "log_variance": summary}}
    assert ablations.look_up(record, "gap.mean") == 0.5
    assert ablations.look_up(record, "gap.log_variance") == summary
    with pytest.raises(ValueError, match="gap.log_variance has"):
        ablations.look_up(record, "gap.log_variance.mean")


def test_a_quantity_that_no_record_has_is_told_by_the_first(base, calls):
    config = sweep_config(quantities=("sampler.subsets.circle.acceptance",))
    with pytest.raises(ValueError, match=r"not in the record: sampler has \[\]"):
        run(config)
    assert len(calls) == 2


def test_as_many_at_once_as_there_are_devices():
    device = jax.devices()[0]
    both = threading.Barrier(2, timeout=20)  # passes only if two run at a time

    def job(number, mesh):
        both.wait()
        return number, mesh.size

    found = sweep_run.on_each_device(job, [0, 1, 2, 3], [device, device])
    assert found == [(n, 1) for n in range(4)]
    main = threading.main_thread()
    alone = sweep_run.on_each_device(
        lambda *_: threading.current_thread() is main, [0], [device]
    )
    assert alone == [True]


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a.b=0.5", ("a.b", 0.5)),
        ("stages=joint,unimodal", ("stages", "joint,unimodal")),
        ("init.joint=runs/a=b", ("init.joint", "runs/a=b")),
        ("model.joint_hidden_sizes=(8, 8)", ("model.joint_hidden_sizes", (8, 8))),
    ],
)
def test_settings_of_the_command_line(text, pair):
    config = options.base()
    options.override(config, dict([config_files.parse_setting(text)]))
    path, value = pair
    assert functools.reduce(operator.getitem, path.split("."), config) == value


def test_a_setting_has_a_value():
    with pytest.raises(ValueError, match="`--set` is 'a.b', expected FIELD=VALUE"):
        config_files.parse_setting("a.b")


def test_folders_of_data_are_not_quoted(monkeypatch):
    words = ["sweep", "--set", "data.backgrounds_dir=/mine", "--set=data.a_dir=/b"]
    monkeypatch.setattr("sys.argv", words)
    assert programs.command_line().endswith(
        "--set data.backgrounds_dir=DIR --set=data.a_dir=DIR"
    )
