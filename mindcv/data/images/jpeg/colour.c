/* Brings the colours of a picture to its size (T.81 A.1.1: components have samples of their own number) and makes
 * RGB. */

#include "colour.h"

#include "loops.h"

static const uint8_t *ring_row(const Component *component, long row)
{
    return component->ring + (size_t)(row % component->ring_rows) * component->stride;
}

/* The samples of a component for a row of pixels, from the first that is kept; `sums` and `out` are room for it. */
static const uint8_t *component_row(const Component *component, long y, uint16_t *sums, uint8_t *out)
{
    if (component->spread_x == 1 && component->spread_y == 1)
        return ring_row(component, y);
    long count = component->columns - component->first_column, kept = (long)component->stride;
    if (count > kept)
        count = kept;
    uint16_t *row = sums + 1;
    if (component->spread_y == 2) {
        long near = y / 2, far = near + (y % 2 ? 1 : -1);
        far = far < 0 ? 0 : far > component->rows - 1 ? component->rows - 1 : far;
        jpeg_loops->weigh_rows(ring_row(component, near), ring_row(component, far), count, row);
        if (component->spread_x == 1) {
            jpeg_loops->round_sums(row, count, (uint16_t)(1 + y % 2), out);
            return out;
        }
    } else {
        jpeg_loops->widen_row(ring_row(component, y), count, row);
    }
    row[-1] = row[0];
    row[count] = row[count - 1];
    if (component->spread_y == 2)
        jpeg_loops->spread_sums(row, count, out);
    else
        jpeg_loops->spread_samples(row, count, out);
    return out;
}

void jpeg_write_pixels(const Picture *picture, long y, JpegBox box, const Scratch *scratch, uint8_t *out)
{
    const Component *components = picture->components;
    const uint8_t *luma = ring_row(components, y) + (box.left - components[0].first_column);
    if (picture->component_count == 1) {
        for (long x = 0; x < box.width; x++)
            out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = luma[x];
        return;
    }
    const uint8_t *colours[2];
    for (int i = 0; i < 2; i++) {
        const Component *component = components + 1 + i;
        const uint8_t *row = component_row(component, y, scratch->sums, i ? scratch->red : scratch->blue);
        colours[i] = row + (box.left - component->first_column * component->spread_x);
    }
    jpeg_loops->convert_row(luma, colours[0], colours[1], box.width, out);
}
