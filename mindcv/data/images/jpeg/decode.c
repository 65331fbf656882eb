/* Decodes a box of a baseline JPEG file (ITU-T T.81) that is fast where a training crop is wanted.
 *
 * Outside of the box only the lengths of codes are looked up. Damaged files are refused, never guessed at.
 */

#include <stdlib.h>
#include <string.h>

#include "colour.h"
#include "entropy.h"
#include "jpeg.h"
#include "loops.h"
#include "picture.h"

/* A.3.3 for a block of a DC coefficient alone, an eighth of which is added to 128 (A.3.1) for all samples. */
INLINE void fill_flat(int dc, uint8_t *out, size_t stride)
{
    int value = ((dc * 4 + 16) >> 5) + 128;
    value = value < 0 ? 0 : value > 255 ? 255 : value;
    for (int i = 0; i < SIDE; i++)
        memset(out + (size_t)i * stride, value, SIDE);
}

/* Not of the standard: writes the means of `reduce_y` x `reduce_x` samples. */
static void average(const uint8_t *samples, int reduce_x, int reduce_y, uint8_t *out, size_t stride)
{
    int area = reduce_x * reduce_y;
    for (int y = 0; y < SIDE / reduce_y; y++)
        for (int x = 0; x < SIDE / reduce_x; x++) {
            int sum = area / 2;
            for (int i = 0; i < reduce_y; i++)
                for (int j = 0; j < reduce_x; j++)
                    sum += samples[(y * reduce_y + i) * SIDE + x * reduce_x + j];
            out[(size_t)y * stride + (size_t)x] = (uint8_t)(sum / area);
        }
}

/* Makes sure that an MCU can be read; -1 when more has been read than there is. */
INLINE int prepare(Window *window, BitReader *reader)
{
    if (UNLIKELY(window->end - reader->next < MCU_BYTES)) {
        if (window->is_last)
            return reader->next - reader->count / 8 > window->end ? -1 : 0;
        jpeg_move_window(window, reader);
    }
    return 0;
}

/* Writes a block's samples, averaged where they are reduced, to `place` in a ring. */
static void write_block(const Component *component, const Block *block, const Block *quantisation, BlockKind kind,
                        uint8_t *place)
{
    uint8_t whole[AREA];
    int is_reduced = component->reduce_x > 1 || component->reduce_y > 1;
    uint8_t *out = is_reduced ? whole : place;
    size_t stride = is_reduced ? SIDE : component->stride;
    if (kind == FLAT)
        fill_flat((int16_t)(block->values[0] * quantisation->values[0]), out, stride);
    else if (kind == CORNERED)
        jpeg_loops->inverse_transform_corner(block, quantisation, out, stride);
    else
        jpeg_loops->inverse_transform(block, quantisation, out, stride);
    if (is_reduced)
        average(whole, component->reduce_x, component->reduce_y, place, component->stride);
}

/* Writes the samples of an MCU into the rings; `row` and `column` count MCUs, `column` from the first that is kept.
 * A.2.3: components take turns, each with all of its blocks, row by row. */
static void write_mcu(const Picture *picture, const Block *blocks, const int *kinds, long row, long column)
{
    int count = 0;
    for (int c = 0; c < picture->component_count; c++) {
        const Component *component = picture->components + c;
        int height = SIDE / component->reduce_y, width = SIDE / component->reduce_x;
        for (int y = 0; y < component->down; y++)
            for (int x = 0; x < component->across; x++, count++) {
                long ring_row = (row * component->down + y) * height % component->ring_rows;
                uint8_t *place = component->ring + (size_t)ring_row * component->stride +
                                 (size_t)((column * component->across + x) * width);
                write_block(component, blocks + count, picture->quantisation + component->quantisation, kinds[count],
                            place);
            }
    }
}

INLINE void clear(Block *blocks, int count)
{
    for (int i = 0; i < count; i++)
        for (int y = 0; y < SIDE; y++)
            blocks[i].rows[y] = (Short8){0};
}

/* Where in the coded picture a decoder is. */
typedef struct {
    Window window;
    Stream *stream;
    long mcu; /* the next one, counted row by row */
    long restart_interval, next_restart; /* in MCUs; where there are none, the next one is never */
    unsigned restarts; /* passed */
} Position;

enum { MOST_STREAMS = 2 };

typedef struct {
    int stream_count; /* rows of MCUs that are decoded at once */
    Stream streams[MOST_STREAMS];
    Position positions[MOST_STREAMS];
    int is_defined[2 * MOST_TABLES];
    HuffmanTable tables[2 * MOST_TABLES]; /* those that the scan uses, but for standard ones */
} Decoder;

/* F.2.1.3.1: behind a restart marker differences of DC coefficients begin at 0 again. */
static void begin_interval(Position *position)
{
    memset(position->stream->predicted, 0, sizeof position->stream->predicted);
    position->next_restart = position->mcu + position->restart_interval;
}

/* E.2.3 to E.2.5: a restart marker comes behind each interval of MCUs. Makes sure that the next MCU can be read. */
INLINE int prepare_mcu(Position *position)
{
    BitReader *reader = &position->stream->reader;
    if (UNLIKELY(position->mcu == position->next_restart)) {
        if (jpeg_pass_restart(&position->window, reader, position->restarts++))
            return -1;
        begin_interval(position);
    }
    position->mcu++;
    return prepare(&position->window, reader);
}

/* Whether all that was read was there: what was made up behind the end does not count. */
static int is_inside(const Position *position)
{
    const BitReader *reader = &position->stream->reader;
    return reader->next - reader->count / 8 <= position->window.end;
}

/* Reads MCUs of a row; -1 when one is damaged. All blocks of one are read before the first is transformed, since values
 * just stored in parts are slow to load whole. */
static int read_mcus(const Picture *picture, Position *position, long row, long count)
{
    Block blocks[MOST_BLOCKS];
    int kinds[MOST_BLOCKS];
    for (long column = 0; column < count; column++) {
        clear(blocks, picture->blocks);
        if (UNLIKELY(prepare_mcu(position) || jpeg_loops->read_blocks(position->stream, picture->components,
                                                                      picture->component_count, blocks, kinds)))
            return -1;
        write_mcu(picture, blocks, kinds, row, column);
    }
    return is_inside(position) ? 0 : -1;
}

/* The same of a row and the next one at once. */
static int read_mcu_pairs(const Picture *picture, Decoder *decoder, long row, long count)
{
    Position *positions = decoder->positions;
    Block blocks[MOST_STREAMS][MOST_BLOCKS];
    int kinds[MOST_STREAMS][MOST_BLOCKS];
    for (long column = 0; column < count; column++) {
        clear(blocks[0], picture->blocks);
        clear(blocks[1], picture->blocks);
        if (UNLIKELY(prepare_mcu(positions) || prepare_mcu(positions + 1) ||
                     jpeg_loops->read_block_pairs(decoder->streams, picture->components, picture->component_count,
                                                  blocks, kinds)))
            return -1;
        write_mcu(picture, blocks[0], kinds[0], row, column);
        write_mcu(picture, blocks[1], kinds[1], row + 1, column);
    }
    return is_inside(positions) && is_inside(positions + 1) ? 0 : -1;
}

/* Passes MCUs, by whole intervals where there are some; of the others the values are not needed, but for DC
 * coefficients, from which later ones differ. `other`: where another stream is; NULL: there is none. */
static int pass_mcus(const Picture *picture, Position *position, const Position *other, long wanted)
{
    long restarts = position->restart_interval ? wanted / position->restart_interval : 0;
    if (restarts > (long)position->restarts) {
        /* Markers are looked for from where the other stream is, if that is nearer. */
        if (other && other->restarts > position->restarts && (long)other->restarts < restarts) {
            position->window.source = other->window.source;
            position->restarts = other->restarts;
        }
        if (jpeg_seek_restart(&position->window, &position->stream->reader, position->restarts,
                              (unsigned)restarts - 1))
            return -1;
        position->restarts = (unsigned)restarts;
        position->mcu = restarts * position->restart_interval;
        begin_interval(position);
    }
    while (position->mcu < wanted)
        if (UNLIKELY(prepare_mcu(position) ||
                     jpeg_loops->pass_blocks(position->stream, picture->components, picture->component_count)))
            return -1;
    return is_inside(position) ? 0 : -1;
}

static long divide_up(long value, long by)
{
    return (value + by - 1) / by;
}

static long smaller(long one, long other)
{
    return one < other ? one : other;
}

/* The MCUs that a box needs. */
typedef struct {
    long first_column, last_column, first_row, last_row, columns, height;
} McuRange;

/* A.2.4: the last MCU of a row, and the last row, are whole, with samples that are not of the picture. */
static McuRange range_of(const Picture *picture, JpegBox box, int reduction)
{
    long mcu_width = SIDE * picture->most_across, mcu_height = SIDE * picture->most_down;
    /* Two pixels more on each side, from which colours are interpolated. */
    long left = box.left * reduction - 2, right = (box.left + box.width) * reduction + 2;
    long top = box.top * reduction - 2, bottom = (box.top + box.height) * reduction + 2;
    return (McuRange){
        .first_column = left > 0 ? left / mcu_width : 0,
        .last_column = divide_up(smaller(right, picture->width), mcu_width),
        .first_row = top > 0 ? top / mcu_height : 0,
        .last_row = divide_up(smaller(bottom, picture->height), mcu_height),
        .columns = divide_up(picture->width, mcu_width),
        .height = mcu_height / reduction,
    };
}

/* A.1.1: a component has a share of the picture's samples, rounded up. Says how it is reduced, or spread, and returns
 * the bytes of its ring, which has the rows of MCUs that are read at once and one more; 0: it is left to others. */
static size_t plan_component(const Picture *picture, Component *component, const McuRange *range, int reduction,
                             int stream_count)
{
    int shared_x = picture->most_across / component->across, shared_y = picture->most_down / component->down;
    component->reduce_x = reduction > shared_x ? reduction / shared_x : 1;
    component->reduce_y = reduction > shared_y ? reduction / shared_y : 1;
    component->spread_x = reduction == 1 ? shared_x : 1;
    component->spread_y = reduction == 1 ? shared_y : 1;
    component->rows = divide_up(picture->height, shared_y);
    component->columns = divide_up(picture->width, shared_x);
    if (component->spread_x == 2 && component->columns < 3)
        return 0; /* libjpeg does not interpolate so few */
    long width = component->across * SIDE / component->reduce_x;
    component->first_column = range->first_column * width;
    component->stride = (size_t)((range->last_column - range->first_column) * width);
    component->ring_rows = (1 + stream_count) * component->down * SIDE / component->reduce_y;
    return component->stride * (size_t)component->ring_rows;
}

/* A table that the scan uses. */
static const HuffmanTable *define_table(const Picture *picture, Decoder *decoder, int index)
{
    const uint8_t *counts = picture->huffman[index];
    int is_ac = index >= MOST_TABLES;
    const HuffmanTable *standard = jpeg_standard_table(counts, is_ac);
    HuffmanTable *own = decoder->tables + index;
    if (!standard && !decoder->is_defined[index])
        jpeg_define_table(own, counts, is_ac);
    decoder->is_defined[index] = 1;
    return standard ? standard : own;
}

/* E.2.3, E.2.4: what is set at the beginning of a scan. */
static void start(Picture *picture, Decoder *decoder)
{
    memset(decoder->is_defined, 0, sizeof decoder->is_defined);
    for (int c = 0; c < picture->component_count; c++) {
        Component *component = picture->components + c;
        component->dc = define_table(picture, decoder, component->dc_table);
        component->ac = define_table(picture, decoder, component->ac_table);
    }
    for (int i = 0; i < decoder->stream_count; i++) {
        Position *position = decoder->positions + i;
        position->stream = decoder->streams + i;
        jpeg_start_window(&position->window, &position->stream->reader, picture->scan, picture->end);
        position->mcu = 0;
        position->restart_interval = picture->restart_interval;
        position->restarts = 0;
        begin_interval(position);
        if (!picture->restart_interval)
            position->next_restart = -1;
    }
}

/* How many rows of MCUs are decoded at once: two where markers lead to a row without many MCUs in front of it. */
static int count_streams(const Picture *picture, const McuRange *range)
{
    long interval = picture->restart_interval;
    int is_near = interval && (2 * interval <= range->columns || range->columns % interval == 0);
    return is_near && range->last_row - range->first_row > 1 ? 2 : 1;
}

/* Reads rows of MCUs, one for each stream, and returns how many; 0 when they are damaged. */
static int read_rows(const Picture *picture, Decoder *decoder, const McuRange *range, long row)
{
    long left = range->last_row - row, width = range->last_column - range->first_column;
    int count = left < decoder->stream_count ? (int)left : decoder->stream_count;
    for (int i = 0; i < count; i++)
        if (pass_mcus(picture, decoder->positions + i, decoder->stream_count > 1 ? decoder->positions + 1 - i : NULL,
                      (row + i) * range->columns + range->first_column))
            return 0;
    int is_damaged = count == 2 ? read_mcu_pairs(picture, decoder, row, width)
                                : read_mcus(picture, decoder->positions, row, width);
    return is_damaged ? 0 : count;
}

/* Reads rows of MCUs and emits rows of pixels as soon as their samples are there. */
static JpegResult decode_rows(Picture *picture, Decoder *decoder, const McuRange *range, JpegBox box,
                              const Scratch *scratch, JpegRows *out)
{
    long done = box.top, wanted = box.top + box.height;
    for (long row = range->first_row; row < range->last_row;) {
        int count = read_rows(picture, decoder, range, row);
        if (!count)
            return JPEG_OTHER;
        row += count;
        /* The last row of pixels waits for the colours of the next row of MCUs. */
        long ready = row == range->last_row ? wanted : smaller(wanted, row * range->height - 1);
        for (; done < ready; done++) {
            jpeg_write_pixels(picture, done, box, scratch, out->room(out, done - box.top));
            out->filled(out, done - box.top);
        }
    }
    return JPEG_DONE;
}

static JpegResult decode(Picture *picture, JpegBox box, int reduction, JpegRows *out)
{
    McuRange range = range_of(picture, box, reduction);
    size_t room = 0, kept = (size_t)((range.last_column - range.first_column) * SIDE * picture->most_across) + 64;
    int stream_count = count_streams(picture, &range);
    for (int c = 0; c < picture->component_count; c++) {
        size_t ring = plan_component(picture, picture->components + c, &range, reduction, stream_count);
        if (!ring)
            return JPEG_OTHER;
        room += ring;
    }
    Decoder *decoder = malloc(sizeof *decoder + room + 2 * kept + kept * sizeof(uint16_t));
    if (!decoder)
        return JPEG_NO_MEMORY;
    uint8_t *memory = (uint8_t *)(decoder + 1);
    Scratch scratch = {(uint16_t *)memory, memory + kept * sizeof(uint16_t), memory + kept * (sizeof(uint16_t) + 1)};
    uint8_t *ring = scratch.red + kept;
    for (int c = 0; c < picture->component_count; c++) {
        picture->components[c].ring = ring;
        ring += picture->components[c].stride * (size_t)picture->components[c].ring_rows;
    }
    decoder->stream_count = stream_count;
    start(picture, decoder);
    JpegResult result = decode_rows(picture, decoder, &range, box, &scratch, out);
    free(decoder);
    return result;
}

JpegResult jpeg_decode_box(const uint8_t *data, size_t size, JpegBox box, int reduction, JpegRows *rows)
{
    Picture picture;
    jpeg_read_header(&picture, data, size);
    if (picture.fault || picture.is_other)
        return JPEG_OTHER;
    long height = divide_up(picture.height, reduction), width = divide_up(picture.width, reduction);
    int is_whole = box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
                    box.height <= height - box.top && box.width <= width - box.left;
    return is_whole ? decode(&picture, box, reduction, rows) : JPEG_OUTSIDE;
}
