/* All loops, as the file that includes this is compiled. TRANSPOSE is how it turns a block. */

#include "colour_loops.h"
#include "entropy_loops.h"
#include "resize_loops.h"
#include "cubic_loops.h"
#include "transform_loops.h"

#define LOOPS_SET(set_name)                                                                                          \
    {                                                                                                                \
        .name = set_name, .read_blocks = read_blocks, .pass_blocks = pass_blocks,                                    \
        .read_block_pairs = read_block_pairs,                                                                        \
        .inverse_transform = inverse_transform, .inverse_transform_corner = inverse_transform_corner,                \
        .widen_row = widen_row, .weigh_rows = weigh_rows,                                                            \
        .spread_samples = spread_samples, .spread_sums = spread_sums, .round_sums = round_sums,                      \
        .convert_row = convert_row, .mix_rows = mix_rows, .stretch_row = stretch_row,                                \
        .convert_to_floats = convert_to_floats, .add_row = add_row, .round_row = round_row,                          \
        .filter_row = filter_row,                                                                                    \
    }
