/* All loops, as the file that includes this is compiled. It has `load_pair` and `last_of`, see geometry_loops.h. */

#include "colour_loops.h"
#include "smoothing_loops.h"
#include "geometry_loops.h"

#define LOOPS_SET(set_name, its_look_up)                                                                             \
    {                                                                                                                \
        .name = set_name, .look_up = its_look_up, .find_range = find_range, .sum_grey = sum_grey,                    \
        .blend_grey = blend_grey, .sharpen_row = sharpen_row, .mean_of_box = mean_of_box,                            \
        .warp_row_linear = warp_row_linear, .warp_row_cubic = warp_row_cubic, .mix_linear = mix_linear,              \
        .mix_cubic = mix_cubic,                                                                                      \
    }
