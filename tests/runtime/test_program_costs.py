"""FLOPs against formulas, collectives against small HLO texts whose sums are known."""

import jax
import jax.numpy as jnp
import pytest

from jnf_jax.runtime.program_costs import count_collectives, count_flops

HLO = """\
HloModule jit_step, is_scheduled=true, num_partitions=8

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %add.1 = f32[] add(%x, %y)
}

%body (state: (s32[], f32[128,4])) -> (s32[], f32[128,4]) {
  %state = (s32[], f32[128,4]{1,0:T(8,128)}) parameter(0)
  %part = f32[16,4]{1,0} get-tuple-element(%state), index=1
  %whole = f32[128,4]{1,0:T(8,128)} all-gather(%part), replica_groups=[1,8]<=[8], dimensions={0}
  ROOT %next = (s32[], f32[128,4]{1,0}) tuple(%i, %whole)
}

%condition (state: (s32[], f32[128,4])) -> pred[] {
  ROOT %less = pred[]{:T(512)} compare(%i, %n), direction=LT
}

%scattered (g: f32[64]) -> f32[8] {
  ROOT %rs = f32[8]{0} reduce-scatter(%g), dimensions={0}, to_apply=%add
}

ENTRY %main.1 (a: f32[100], b: bf16[7,2]) -> f32[100] {
  %a = f32[100]{0:T(256)} parameter(0)
  %loop = (s32[], f32[128,4]{1,0}) while(%start), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"60"}}
  %both = (f32[100]{0:T(256)}, bf16[7,2]{1,0}) all-reduce(%a, %b), channel_id=1, to_apply=%add
  %early = ((f32[5]), f32[40]) all-gather-start(%c), dimensions={0}
  %late = f32[40]{0} all-gather-done(%early)
  %fused = f32[8]{0} fusion(%g), kind=kCustom, calls=%scattered
  ROOT %r = f32[100]{0} get-tuple-element(%both), index=0
}
"""  # noqa: E501


def test_collectives_are_counted_with_their_loops():
    assert count_collectives(HLO, num_devices=8) == {
        "all-reduce": (1, 4 * 100 + 2 * 14),
        "all-gather": (60 + 1, 60 * 4 * 512 + 4 * 40),
        "reduce-scatter": (1, 8 * 4 * 8),
    }


def test_a_loop_of_unknown_length_that_sends_is_refused():
    text = HLO.replace(', backend_config={"known_trip_count":{"n":"60"}}', "")
    with pytest.raises(ValueError, match="a loop over 'body' sends something"):
        count_collectives(text, num_devices=8)


def test_a_loop_that_sends_nothing_may_be_of_any_length():
    text = HLO.replace(', backend_config={"known_trip_count":{"n":"60"}}', "")
    silent = text.replace(" all-gather(%part)", " broadcast(%part)")
    assert count_collectives(silent, num_devices=8)["all-gather"] == (1, 160)


def flops_of(function, *arguments):
    return count_flops(jax.make_jaxpr(function)(*arguments))


B, T, H, J, K = 3, 7, 4, 5, 6


def test_flops_of_a_batched_product_under_jit():
    x, w = jnp.ones((B, H, J)), jnp.ones((B, J, K))
    assert flops_of(jax.jit(jnp.matmul), x, w) == 2 * B * H * J * K


def test_flops_of_a_loop_are_multiplied_by_its_length():
    def loop(x, w):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, length=T)[0].sum()

    x, w = jnp.ones((B, J)), jnp.ones((J, J))
    once = 2 * B * J * J
    assert flops_of(loop, x, w) == T * once
    # The gradient runs forward, and two products a step backward.
    assert flops_of(jax.grad(loop, argnums=(0, 1)), x, w) == 3 * T * once


def test_flops_of_a_convolution():
    def convolve(x, w):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, w, (2, 2), "SAME", dimension_numbers=layout
        )

    x, w = jnp.ones((B, 8, 8, H)), jnp.ones((3, 3, H, K))
    assert flops_of(convolve, x, w) == 2 * (B * 4 * 4 * K) * (3 * 3 * H)


def test_flops_of_a_transposed_convolution_are_without_zeros():
    def up(x, w):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=layout)

    x, w = jnp.ones((B, 8, 8, H)), jnp.ones((4, 4, H, K))
    assert flops_of(up, x, w) == 2 * (B * 8 * 8 * H) * (4 * 4 * K)  # each value once


def test_flops_of_a_condition_are_those_of_its_dearer_branch():
    def either(x, w):
        return jax.lax.cond(x.sum() > 0, lambda: x @ w @ w, lambda: x @ w)

    x, w = jnp.ones((B, J)), jnp.ones((J, J))
    assert flops_of(either, x, w) == 2 * 2 * B * J * J


def test_products_in_a_loop_of_unknown_length_are_refused():
    def loop(x, w):
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ w, x)

    with pytest.raises(ValueError, match="`while_loop` has products"):
        flops_of(loop, jnp.ones((B, J)), jnp.ones((J, J)))
