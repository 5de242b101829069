"""Costs of compiled TPU programs, read from small texts in the form that the compiler writes."""

import importlib.util
import math
import sys

import pytest
from training_cli import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import tpu_compile
import tpu_costs
from xla_program import parse

from lhg_jax.util.errors import UserError

PROGRAM = """
HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %sum = f32[]{:T(128)} add(%a, %b)
}

%other_name (p.9: bf16[32,182,128,32]) -> bf16[32,182,128,32] {
  %p.9 = bf16[32,182,128,32]{3,0,2,1:T(8,128)(2,1)} parameter(0)
  ROOT %b.9 = bf16[32,182,128,32]{3,0,2,1:T(8,128)(2,1)} bitcast(%p.9)
}

%convolved (p.1: bf16[32,182,128,32], p.2: bf16[3,3,32,32]) -> bf16[32,182,128,32] {
  %p.1 = bf16[32,182,128,32]{3,0,2,1:T(8,128)(2,1)} parameter(0)
  %renamed = bf16[32,182,128,32]{3,0,2,1:T(8,128)(2,1)} fusion(%p.1), kind=kLoop, calls=%other_name
  %p.2 = bf16[3,3,32,32]{3,2,1,0:T(8,128)(2,1)S(1)} parameter(1)
  ROOT %conv = bf16[32,182,128,32]{3,0,2,1:T(8,128)(2,1)} convolution(%renamed, %p.2), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f
}

%stepped (p.3: f32[90,32,32], p.4: s32[], p.5: f32[32,32]) -> f32[90,32,32] {
  %p.3 = f32[90,32,32]{2,1,0:T(8,128)} parameter(0)
  %p.4 = s32[]{:T(128)} parameter(1)
  %p.5 = f32[32,32]{1,0:T(8,128)S(1)} parameter(2)
  %new = f32[1,32,32]{2,1,0:T(8,128)} bitcast(%p.5)
  %zero = s32[]{:T(128)} constant(0)
  ROOT %update = f32[90,32,32]{2,1,0:T(8,128)} dynamic-update-slice(%p.3, %new, %p.4, %zero, %zero)
}

%body (t: (s32[], f32[90,32,32], f32[32,32])) -> (s32[], f32[90,32,32], f32[32,32]) {
  %t = (s32[]{:T(128)}, f32[90,32,32]{2,1,0:T(8,128)}, f32[32,32]{1,0:T(8,128)S(1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%t), index=0
  %one = s32[]{:T(128)} constant(1)
  %all = f32[90,32,32]{2,1,0:T(8,128)} get-tuple-element(%t), index=1
  %h = f32[32,32]{1,0:T(8,128)S(1)} get-tuple-element(%t), index=2
  %write = f32[90,32,32]{2,1,0:T(8,128)} fusion(%all, %i, %h), kind=kLoop, calls=%stepped, backend_config={"window_config":{"estimated_cycles":"100"}}
  %shared = f32[32,32]{1,0:T(8,128)S(1)} all-reduce(%h), replica_groups=[4,4]<=[16], to_apply=%add
  %next = s32[]{:T(128)} add(%i, %one)
  ROOT %out = (s32[]{:T(128)}, f32[90,32,32]{2,1,0:T(8,128)}, f32[32,32]{1,0:T(8,128)S(1)}) tuple(%next, %write, %shared)
}

%test (t.2: (s32[], f32[90,32,32], f32[32,32])) -> pred[] {
  %t.2 = (s32[]{:T(128)}, f32[90,32,32]{2,1,0:T(8,128)}, f32[32,32]{1,0:T(8,128)S(1)}) parameter(0)
  %limit = s32[]{:T(128)} constant(LIMIT)
  %i.2 = s32[]{:T(128)} get-tuple-element(%t.2), index=0
  ROOT %less = pred[]{:T(512)} compare(%i.2, %limit), direction=LT
}

ENTRY %main (x: bf16[32,182,128,32], k: bf16[3,3,32,32], y: f32[90,32,32]) -> f32[90,32,32] {
  %x = bf16[32,182,128,32]{3,0,2,1:T(8,128)(2,1)} parameter(0)
  %k = bf16[3,3,32,32]{3,2,1,0:T(8,128)(2,1)S(1)} parameter(1)
  %y = f32[90,32,32]{2,1,0:T(8,128)} parameter(2)
  %conv_fusion = bf16[32,182,128,32]{3,0,2,1:T(8,128)(2,1)} fusion(%x, %k), kind=kOutput, calls=%convolved
  %start = s32[]{:T(128)} constant(0)
  %h0 = f32[32,32]{1,0:T(8,128)S(1)} custom-call(), custom_call_target="AllocateBuffer"
  %begin = (s32[]{:T(128)}, f32[90,32,32]{2,1,0:T(8,128)}, f32[32,32]{1,0:T(8,128)S(1)}) tuple(%start, %y, %h0)
  %loop = (s32[]{:T(128)}, f32[90,32,32]{2,1,0:T(8,128)}, f32[32,32]{1,0:T(8,128)S(1)}) while(%begin), condition=%test, body=%body
  %gathering = (f32[4,8]{1,0:T(8,128)}, f32[16,8]{1,0:T(8,128)}) all-gather-start(%h0), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}
  %gathered = f32[16,8]{1,0:T(8,128)} all-gather-done(%gathering)
  ROOT %result = f32[90,32,32]{2,1,0:T(8,128)} get-tuple-element(%loop), index=1
}
""".replace("LIMIT", "90")  # noqa: E501

MAP = 32 * 182 * 128 * 32 * 2  # bytes of a feature map in bfloat16


@pytest.fixture(scope="module")
def program():
    return parse(PROGRAM)


def test_tiles_pad_the_two_fastest_dimensions(program):
    (array,) = program.computations["main"].instructions["x"].arrays
    assert (array.bytes, array.padded_bytes) == (MAP, 4 * MAP)  # 32 channels on 128 lanes
    (small,) = program.computations["add"].instructions["a"].arrays
    assert small.padded_bytes == 0


def test_a_fusion_reads_its_operands_and_writes_its_results_once(program):
    cost = tpu_costs.costs(program)["conv_fusion"]
    assert (cost.plain_bytes, cost.bytes) == (2 * MAP, 8 * MAP)


def test_products_are_those_on_real_inputs(program):
    cost = tpu_costs.costs(program)["conv_fusion"]
    taps = (3 - 2 / 182) * (3 - 2 / 128)  # at the borders some fall on padding
    assert math.isclose(cost.flops, 2 * taps * (32 * 182 * 128 * 32) * 32)
    assert math.isclose(cost.unit_flops, 16 * cost.flops)


def test_a_loop_counts_as_often_as_it_runs_and_writes_slices_in_place(program):
    cost = tpu_costs.costs(program)["write"]
    assert cost.bytes == 90 * 32 * 128 * 4  # one slice a turn; what lies on the chip costs nothing
    assert cost.cycles == 9_000


def test_a_loop_that_a_flag_starts_does_not_count():
    text = PROGRAM.replace("compare(%i.2, %limit), direction=LT", "get-tuple-element(%t.2), index=3")
    assert "write" not in tpu_costs.costs(parse(text))


def test_a_loop_that_counts_to_what_is_computed_is_named():
    text = PROGRAM.replace("%limit = s32[]{:T(128)} constant(90)", "%limit = s32[]{:T(128)} add(%t.2, %t.2)")
    with pytest.raises(ValueError, match="loop: counts from or to something that is computed"):
        tpu_costs.costs(parse(text))


def test_collectives_have_sizes_groups_and_turns(program):
    assert tpu_costs.collectives(program) == {
        tpu_costs.Collective("all-reduce", 32 * 32 * 4, 4): 90,
        tpu_costs.Collective("all-gather", 16 * 8 * 4, 4): 1,
    }


def test_the_table_says_what_limits_the_step(program):
    lines = tpu_compile.table(program, tpu_compile.CHIPS["v5e"], clips=32)
    (bound,) = (line for line in lines if line.startswith("| bytes, padding included"))
    seconds = (8 * MAP + 90 * 32 * 128 * 4 + (8 + 16) * 128 * 4) / 819e9
    assert float(bound.split("|")[3]) == pytest.approx(1e3 * seconds, abs=0.006)
    assert any(line.startswith("| all-reduce | 4 | 90 | 0.004 |") for line in lines)
    assert any(line.startswith("| fusion bf16[32,182,128,32]") for line in lines)


def test_rings_send_an_all_reduce_twice():
    chip = tpu_compile.CHIPS["v5e"]
    seconds = [
        tpu_compile.wire_s(tpu_costs.Collective(kind, 1_000_000, 4), chip)
        for kind in ("all-reduce", "all-gather", "collective-permute")
    ]
    assert seconds == pytest.approx([1.5e6 / 100e9, 0.75e6 / 100e9, 1e6 / 100e9])


@pytest.mark.parametrize("topology", ["v4:2x2", "v5e:2xx", "v5e"])
def test_a_topology_that_does_not_exist_is_named(topology):
    with pytest.raises(UserError, match=f"--topology {topology}: not"):
        tpu_compile.chip_of(topology)
        tpu_compile.devices_of(topology)


def test_without_libtpu_the_command_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"v5e:2x2: needs libtpu \(pip install -e '\.\[tpu\]'\)"):
        tpu_compile.devices_of("v5e:2x2")
