"""The meaning of RidgeGrowth in standard operators, for engines without our kernel.

`fingergen.cpp_ops.reference.ridge_growth` says what it computes.
"""

from __future__ import annotations

import math

import onnx.parser

from .builder import OPSET
from .ops import DOMAIN

# How the orientation turns along an axis, in half turns: after half a turn orientations are alike.
_TURN = """
    radians_{axis} = Sub ({after}, {before})
    half_turns_{axis} = Div (radians_{axis}, pi)
    whole_{axis} = Round (half_turns_{axis})
    turn_{axis} = Sub (half_turns_{axis}, whole_{axis})
"""
# Of one of two opposite offsets: envelope, wave, and what they add to the sums; then the weight without gain.
_WAVE = """
    {side}_across_2 = Mul ({side}_across, {side}_across)
    {side}_across_exponent = Mul ({side}_across_2, across_decay)
    {side}_exponent = Add ({side}_across_exponent, along_exponent)
    {side}_envelope = Exp ({side}_exponent)
    {side}_phase = Mul ({side}_across, turn)
    {side}_wave = Cos ({side}_phase)
    {side}_product = Mul ({side}_envelope, {side}_wave)
    {side}_square = Mul ({side}_product, {side}_wave)
"""
_RAW = """
    {side}_centered = Sub ({side}_wave, mean)
    {side}_raw = Mul ({side}_envelope, {side}_centered)
"""
# Each place's kernel over half of the disc of offsets, dy > 0 or dy = 0 and dx >= 0: two opposite samples are
# added first, and subtracted, for half the sum of their weights and half the difference (the middle, which
# meets itself, counts half). A round is a loop over these offsets, of two slices each.
RIDGE_GROWTH = onnx.parser.parse_function(f"""
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
RidgeGrowth <rounds: int = 30, radius: int = 6> (noise, orientation, period) => (ridges)
{{
    i_0 = Constant <value_ints = [0]> ()
    i_1 = Constant <value_ints = [1]> ()
    one = Constant <value_float = 1.0> ()
    half = Constant <value_float = 0.5> ()
    all = Constant <value_ints = [-1]> ()
    pixels = Constant <value_ints = [2, 3]> ()
    channel = Constant <value_ints = [1]> ()
    true = Constant <value = bool {{1}}> ()

    rounds = Constant <value_int: int = @rounds> ()
    radius = Constant <value_int: int = @radius> ()
    radius_1 = Unsqueeze (radius, i_0)
    zero = Squeeze (i_0)
    scalar_1 = Squeeze (i_1)
    last = Add (radius, scalar_1)
    first = Neg (radius)
    steps = Range (first, last, scalar_1)
    side = Shape (steps)
    square = Concat <axis = 0> (side, side)
    dx_square = Expand (steps, square)
    dx_all = Reshape (dx_square, all)
    dy_square = Transpose (dx_square)
    dy_all = Reshape (dy_square, all)
    dx_2 = Mul (dx_all, dx_all)
    dy_2 = Mul (dy_all, dy_all)
    distance = Add (dx_2, dy_2)
    limit = Mul (radius, last)
    in_disc = LessOrEqual (distance, limit)
    span = Add (last, last)
    order_rows = Mul (dy_all, span)
    order = Add (order_rows, dx_all)
    from_middle = GreaterOrEqual (order, zero)
    wanted = And (in_disc, from_middle)
    dx = Compress (dx_all, wanted)
    dy = Compress (dy_all, wanted)
    order_wanted = Compress (order, wanted)
    is_middle = Equal (order_wanted, zero)

    as_channels = Constant <value_ints = [1, -1, 1, 1]> ()
    dx_float = Cast <to = 1> (dx)
    dx_4d = Reshape (dx_float, as_channels)
    dy_float = Cast <to = 1> (dy)
    dy_4d = Reshape (dy_float, as_channels)
    share_flat = Where (is_middle, half, one)
    share = Reshape (share_flat, as_channels)
    cos = Cos (orientation)
    sin = Sin (orientation)
    cos_per_period = Div (cos, period)
    sin_per_period = Div (sin, period)
    i_0011 = Constant <value_ints = [0, 0, 1, 1, 0, 0, 1, 1]> ()
    beside = Pad <mode = "edge"> (orientation, i_0011)
    i_2 = Constant <value_ints = [2]> ()
    to_2 = Constant <value_ints = [-2]> ()
    to_1 = Constant <value_ints = [-1]> ()
    rest = Constant <value_ints = [{2**63 - 1}]> ()
    column_axis = Constant <value_ints = [3]> ()
    rows_inside = Slice (beside, i_1, to_1, i_2)
    west = Slice (rows_inside, i_0, to_2, column_axis)
    east = Slice (rows_inside, i_2, rest, column_axis)
    columns_inside = Slice (beside, i_1, to_1, column_axis)
    north = Slice (columns_inside, i_0, to_2, i_2)
    south = Slice (columns_inside, i_2, rest, i_2)
    pi = Constant <value_float = {math.pi:.8f}> ()
    {_TURN.format(axis="x", before="west", after="east")}
    {_TURN.format(axis="y", before="north", after="south")}
    turned_x = Mul (turn_x, cos)
    turned_y = Mul (turn_y, sin)
    turned = Sub (turned_y, turned_x)
    # Half turns in two samples: radians in one.
    half_of_pi = Constant <value_float = {math.pi / 2:.8f}> ()
    turned_radians = Mul (turned, half_of_pi)
    bend_all = Mul (turned_radians, period)
    bend_size = Abs (bend_all)
    bend_sign = Sign (bend_all)
    twice = Add (bend_size, bend_size)
    straight = Constant <value_float = 0.3> ()
    rise = Sub (twice, straight)
    rising = Min (rise, bend_size)
    none = Constant <value_float = 0.0> ()
    kept_size = Clip (rising, none, one)
    kept = Mul (kept_size, bend_sign)
    half_bend = Mul (kept, half)

    across_x = Mul (dx_4d, sin_per_period)
    across_y = Mul (dy_4d, cos_per_period)
    across_straight = Add (across_x, across_y)
    along_x = Mul (dx_4d, cos_per_period)
    along_y = Mul (dy_4d, sin_per_period)
    along = Sub (along_x, along_y)
    along_2 = Mul (along, along)
    arc = Mul (along_2, half_bend)
    across_decay = Constant <value_float = {-0.5 / 0.45**2:.8f}> ()
    along_decay = Constant <value_float = {-0.5 / 0.55**2:.8f}> ()
    along_exponent = Mul (along_2, along_decay)
    turn = Constant <value_float = {2 * math.pi:.8f}> ()
    one_across = Sub (across_straight, arc)
    other_across = Add (across_straight, arc)
    {_WAVE.format(side="one")}
    {_WAVE.format(side="other")}

    envelopes = Add (one_envelope, other_envelope)
    products = Add (one_product, other_product)
    both_squares = Add (one_square, other_square)
    shared = Mul (envelopes, share)
    shared_wave = Mul (products, share)
    shared_square = Mul (both_squares, share)
    total = ReduceSum <keepdims = 1> (shared, channel)
    waves = ReduceSum <keepdims = 1> (shared_wave, channel)
    squares = ReduceSum <keepdims = 1> (shared_square, channel)
    mean = Div (waves, total)
    mean_waves = Mul (mean, waves)
    gain = Sub (squares, mean_waves)
    twice_gain = Add (gain, gain)
    {_RAW.format(side="one")}
    {_RAW.format(side="other")}
    raw_sum = Add (one_raw, other_raw)
    shared_sum = Mul (raw_sum, share)
    weights = Div (shared_sum, twice_gain)
    raw_difference = Sub (one_raw, other_raw)
    differences = Div (raw_difference, twice_gain)

    offsets = Shape (dx)
    offset_count = Squeeze (offsets)
    size = Shape <start = 2, end = 4> (noise)
    i_00 = Constant <value_ints = [0, 0]> ()
    margin = Concat <axis = 0> (radius_1, radius_1)
    pads = Concat <axis = 0> (i_00, margin, i_00, margin)
    blank = Sub (noise, noise)
    filters = Add (rounds, scalar_1)
    ridges = Loop <body = round (
        int64 number, bool more_in, float[n, 1, h, w] image
    ) => (bool more, float[n, 1, h, w] next) {{
        padded = Pad <mode = "reflect"> (image, pads)
        filtered = Loop <body = offset (
            int64 k, bool go_in, float[n, 1, h, w] sum_in
        ) => (bool go, float[n, 1, h, w] sum) {{
            k_1 = Unsqueeze (k, i_0)
            dx_k = Gather (dx, k_1)
            dy_k = Gather (dy, k_1)
            step = Concat <axis = 0> (dy_k, dx_k)
            begin = Add (margin, step)
            end = Add (begin, size)
            sample = Slice (padded, begin, end, pixels)
            other_begin = Sub (margin, step)
            other_end = Add (other_begin, size)
            opposite = Slice (padded, other_begin, other_end, pixels)
            both = Add (sample, opposite)
            weight = Gather <axis = 1> (weights, k_1)
            even_term = Mul (both, weight)
            apart = Sub (sample, opposite)
            difference = Gather <axis = 1> (differences, k_1)
            odd_term = Mul (apart, difference)
            term = Add (even_term, odd_term)
            sum = Add (sum_in, term)
            go = Identity (go_in)
        }}> (offset_count, true, blank)
        doubled = Add (filtered, filtered)
        grown = Tanh (doubled)
        is_last = Equal (number, rounds)
        next = Where (is_last, filtered, grown)
        more = Identity (more_in)
    }}> (filters, true, noise)
}}
""")
