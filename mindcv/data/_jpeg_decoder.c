/* A decoder for baseline JPEG files, ITU-T T.81, that is fast where a training crop is wanted.
 *
 * Most of the time goes into Huffman codes: a look at the next bits finds a code and its coefficient at once, and
 * outside of the box only lengths are looked up. The inverse transform, the interpolation of colours and the conversion
 * to RGB round as libjpeg does in its accurate integer mode, so the pixels are the same. Files of other kinds, and
 * damaged ones, are refused, never guessed at. Nothing in a file is trusted: it can come from anywhere.
 */

#include "_jpeg_decoder.h"

#include <stdlib.h>
#include <string.h>

#include "_jpeg_vectors.h"

#define INLINE static inline __attribute__((always_inline))
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this is for little-endian processors"
#endif
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

enum {
    SIDE = 8,  /* of a block */
    AREA = 64, /* of a block */
    MOST_COMPONENTS = 3,
    MOST_TABLES = 4,
    MOST_BLOCKS = 6, /* of an MCU, the smallest coded unit: with 4:2:0 four of Y and one of each colour */
    MOST_DC_BITS = 11,
    MOST_AC_BITS = 10,
    LONGEST_CODE = 16,
    ONLY_ZEROS = 0xF0,                  /* the symbol for 16 of them */
    END_OF_BLOCK = 128,                 /* as a run of zeros: one that no others add up to */
    DAMAGED = 1024,                     /* a place in a block that nothing else leads to */
    PLACES = AREA + 16 + END_OF_BLOCK + 1,
    LOOK_BITS = 10,                     /* looked at in one go; fewer find less, and more do not stay in the cache */
    MCU_BYTES = MOST_BLOCKS * AREA * 4, /* more than a damaged one can take */
    WINDOW_BYTES = 4 * MCU_BYTES,
};

typedef int16_t Short8 __attribute__((vector_size(16)));
typedef int32_t Int8 __attribute__((vector_size(32)));

/* Coefficients, and room for those that would come behind the last. */
typedef union {
    int16_t values[AREA + SIDE];
    Short8 rows[SIDE + 1];
} Block;

/* What the next bits mean: one code and its coefficient, or two where both codes are in sight. 0: no code. */
typedef uint64_t Meaning;

/* Where a meaning has its parts, of 8 bits each. */
enum {
    LENGTH = 0,        /* of all */
    PASSED = 8,        /* coefficients, with the zeros in front of them, of all */
    FIRST_PASSED = 16, /* those of the first code */
    FIRST_PLACE = 24,  /* bits in front of the first coefficient */
    FIRST_SHIFT = 32,  /* 64 less its own */
    SECOND_PLACE = 40,
    SECOND_SHIFT = 48,
    FIRST_LENGTH = 56, /* of the first code and its coefficient */
};

typedef struct {
    Meaning seen[1 << LOOK_BITS];      /* by the next bits */
    uint32_t limits[LONGEST_CODE + 1]; /* by length: codes of up to it are below, filled up to 16 bits */
    int32_t offsets[LONGEST_CODE + 1]; /* by length: from a code to the place of its symbol */
    uint8_t symbols[256];
    int is_ac, is_defined;
} HuffmanTable;

typedef struct {
    int identifier, across, down, quantisation; /* across, down: blocks in an MCU */
    const HuffmanTable *dc, *ac;
    int16_t predicted;      /* DC coefficient of the block before */
    int reduce_x, reduce_y; /* samples that are averaged */
    int spread_x, spread_y; /* pixels that share a sample afterwards */
    long rows, columns;     /* samples of the picture */
    long first_column;      /* sample that the rows of the ring begin with */
    long ring_rows;         /* those of two rows of MCUs */
    size_t stride;
    uint8_t *ring;
} Component;

/* Reads bits of the bytes in a window, which must go on behind what is read. */
typedef struct {
    const uint8_t *next;
    uint64_t bits; /* the next ones on top */
    int count;     /* of those that are there */
} BitReader;

/* Coded bytes up to the next marker, without the zeros behind 0xFF. */
typedef struct {
    const uint8_t *source, *source_end;
    uint8_t *end; /* of the bytes that are there; zeros follow */
    int is_last;  /* whether `source` has come to a marker, or to its end */
    uint8_t bytes[WINDOW_BYTES + MCU_BYTES];
} Window;

typedef struct {
    const uint8_t *scan, *end;
    long height, width;
    int component_count, restart_interval, is_jfif, adobe_transform;
    int most_across, most_down, blocks; /* in an MCU */
    int has_quantisation[MOST_TABLES];
    Block quantisation[MOST_TABLES];
    Component components[MOST_COMPONENTS];
    HuffmanTable tables[2 * MOST_TABLES]; /* DC, then AC */
} Picture;

/* Where the k-th coefficient is, row by row; what comes behind the last one is put into a spare place. */
static const uint8_t ZIGZAG[PLACES] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,
    7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46,
    53, 60, 61, 54, 47, 55, 62, 63, [AREA ... PLACES - 1] = AREA,
};

/* ---- Tables ---- */

INLINE unsigned part(Meaning meaning, int which)
{
    return meaning >> which & 255;
}

/* The meaning of a code of `length` bits for a symbol; 0 when there is no such symbol. */
static Meaning meaning_of(int symbol, unsigned length, int is_ac)
{
    unsigned run = is_ac ? (unsigned)symbol >> 4 : 0, size = is_ac ? symbol & 15 : symbol;
    if (size > (is_ac ? MOST_AC_BITS : MOST_DC_BITS) || (is_ac && size == 0 && symbol != 0 && symbol != ONLY_ZEROS))
        return 0;
    if (is_ac && symbol == 0)
        run = END_OF_BLOCK;
    Meaning passed = run + 1, whole = length + size;
    return whole | passed << PASSED | passed << FIRST_PASSED | (Meaning)length << FIRST_PLACE |
           (Meaning)(64 - size) << FIRST_SHIFT | whole << FIRST_LENGTH;
}

/* A coefficient, not 0, in `bits`. Negative ones have all of their bits turned over. */
INLINE int16_t value_at(uint64_t bits, Meaning place, Meaning shift)
{
    bits <<= place & 63;
    uint64_t turned = ~(uint64_t)((int64_t)bits >> 63);
    return (int16_t)(((bits ^ turned) >> (shift & 63) ^ turned) - turned);
}

/* The first one; 0 where it has no bits. */
INLINE int16_t value_or_zero(Meaning meaning, uint64_t bits)
{
    bits <<= part(meaning, FIRST_PLACE) & 63;
    uint64_t turned = ~(uint64_t)((int64_t)bits >> 63);
    return (int16_t)(((bits ^ turned) >> 1 >> ((part(meaning, FIRST_SHIFT) - 1) & 63) ^ turned) - turned);
}

/* Adds second codes. */
static void define_pairs(HuffmanTable *table)
{
    for (unsigned bits = 0; bits < 1 << LOOK_BITS; bits++) {
        Meaning first = table->seen[bits];
        unsigned length = part(first, LENGTH);
        if (length >= LOOK_BITS || part(first, PASSED) > END_OF_BLOCK)
            continue;
        Meaning second = table->seen[bits << length & ((1 << LOOK_BITS) - 1)];
        unsigned place = length + part(second, FIRST_PLACE);
        if (second && place <= LOOK_BITS)
            table->seen[bits] = first + part(second, FIRST_LENGTH) + ((Meaning)part(second, FIRST_PASSED) << PASSED) +
                                ((Meaning)place << SECOND_PLACE) +
                                ((Meaning)part(second, FIRST_SHIFT) << SECOND_SHIFT);
    }
}

static int define_huffman_table(HuffmanTable *table, const uint8_t *counts, const uint8_t *symbols, int is_ac)
{
    unsigned code = 0;
    int used = 0;
    memset(table->seen, 0, sizeof table->seen);
    table->is_ac = is_ac;
    for (int length = 1; length <= LONGEST_CODE; length++) {
        table->offsets[length] = used - (int32_t)code;
        for (int i = 0; i < counts[length - 1]; i++, code++, used++) {
            if (code >> length || (!is_ac && symbols[used] > 15))
                return -1;
            table->symbols[used] = symbols[used];
            /* A run of zeros with no coefficient behind it is left to `find_meaning`; it is rare. */
            if (length > LOOK_BITS || (is_ac && symbols[used] == ONLY_ZEROS))
                continue;
            Meaning meaning = meaning_of(symbols[used], (unsigned)length, is_ac);
            for (unsigned bits = 0; bits < 1u << (LOOK_BITS - length); bits++)
                table->seen[(code << (LOOK_BITS - length)) + bits] = meaning;
        }
        table->limits[length] = (uint32_t)code << (LONGEST_CODE - length);
        code <<= 1;
    }
    if (is_ac)
        define_pairs(table);
    table->is_defined = 1;
    return 0;
}

/* ---- Header ---- */

INLINE unsigned read_16(const uint8_t *place)
{
    return (unsigned)place[0] << 8 | place[1];
}

/* A number of `count` bytes in the order that an EXIF block has. */
static uint32_t read_exif(const uint8_t *place, int count, int is_little)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | place[is_little ? count - 1 - i : i];
    return value;
}

/* Whether the first directory of an EXIF block has an orientation other than upright. */
static int is_turned(const uint8_t *segment, const uint8_t *end)
{
    if (end - segment < 14 || memcmp(segment, "Exif\0", 6))
        return 0;
    const uint8_t *exif = segment + 6;
    uint32_t size = (uint32_t)(end - exif);
    int is_little = !memcmp(exif, "II", 2);
    if (!is_little && memcmp(exif, "MM", 2))
        return 0;
    uint32_t start = read_exif(exif + 4, 4, is_little);
    if (start > size - 2)
        return 0;
    uint32_t count = read_exif(exif + start, 2, is_little);
    for (uint32_t place = start + 2; count > 0 && place + 12 <= size; count--, place += 12)
        if (read_exif(exif + place, 2, is_little) == 0x0112) {
            if (read_exif(exif + place + 2, 2, is_little) != 3)
                return 1; /* not the SHORT that the standard asks for: whoever turns images decides */
            uint32_t orientation = read_exif(exif + place + 8, 2, is_little);
            return orientation >= 2 && orientation <= 8;
        }
    return 0;
}

/* Whether an end of image follows; what is cut off has none. */
static int has_end(const uint8_t *scan, const uint8_t *end)
{
    for (const uint8_t *place = end - 2; place >= scan; place--)
        if (place[0] == 0xFF && place[1] == 0xD9)
            return 1;
    return 0;
}

static int read_quantisation(Picture *picture, const uint8_t *segment, const uint8_t *end)
{
    while (segment < end) {
        int is_long = *segment >> 4, number = *segment & 15;
        segment++;
        if (is_long > 1 || number >= MOST_TABLES || end - segment < AREA * (1 + is_long))
            return -1;
        for (int k = 0; k < AREA; k++, segment += 1 + is_long)
            picture->quantisation[number].values[ZIGZAG[k]] = (int16_t)(is_long ? read_16(segment) : *segment);
        picture->has_quantisation[number] = 1;
    }
    return 0;
}

static int read_huffman(Picture *picture, const uint8_t *segment, const uint8_t *end)
{
    while (segment < end) {
        int is_ac = *segment >> 4, number = *segment & 15, total = 0;
        const uint8_t *counts = segment + 1;
        if (is_ac > 1 || number >= MOST_TABLES || end - counts < LONGEST_CODE)
            return -1;
        for (int i = 0; i < LONGEST_CODE; i++)
            total += counts[i];
        segment = counts + LONGEST_CODE;
        if (total > 256 || end - segment < total ||
            define_huffman_table(&picture->tables[MOST_TABLES * is_ac + number], counts, segment, is_ac))
            return -1;
        segment += total;
    }
    return 0;
}

static int read_frame(Picture *picture, const uint8_t *segment, const uint8_t *end)
{
    if (picture->component_count || end - segment < 6)
        return -1;
    int count = segment[5];
    picture->height = read_16(segment + 1);
    picture->width = read_16(segment + 3);
    if (segment[0] != 8 || !picture->height || !picture->width || (count != 1 && count != 3) ||
        end - segment != 6 + 3 * count)
        return -1;
    picture->component_count = count;
    picture->most_across = picture->most_down = 1;
    for (int i = 0; i < count; i++) {
        Component *component = picture->components + i;
        const uint8_t *fields = segment + 6 + 3 * i;
        component->identifier = fields[0];
        component->across = fields[1] >> 4;
        component->down = fields[1] & 15;
        component->quantisation = fields[2];
        int most = count == 1 ? 4 : i ? 1 : 2;
        if (component->across < 1 || component->across > most || component->down < 1 || component->down > most ||
            component->quantisation >= MOST_TABLES)
            return -1;
        for (int j = 0; j < i; j++)
            if (picture->components[j].identifier == component->identifier)
                return -1;
        /* A single component comes block by block, whatever its factors. */
        if (count == 1)
            component->across = component->down = 1;
        if (i == 0) {
            picture->most_across = component->across;
            picture->most_down = component->down;
        }
        picture->blocks += component->across * component->down;
    }
    return 0;
}

static int read_scan(Picture *picture, const uint8_t *segment, const uint8_t *end)
{
    int count = picture->component_count;
    if (!count || end - segment != 4 + 2 * count || segment[0] != count)
        return -1;
    for (int i = 0; i < count; i++) {
        Component *component = picture->components + i;
        const uint8_t *fields = segment + 1 + 2 * i;
        int dc = fields[1] >> 4, ac = fields[1] & 15;
        if (fields[0] != component->identifier || dc >= MOST_TABLES || ac >= MOST_TABLES ||
            !picture->has_quantisation[component->quantisation])
            return -1;
        component->dc = picture->tables + dc;
        component->ac = picture->tables + MOST_TABLES + ac;
        if (!component->dc->is_defined || !component->ac->is_defined)
            return -1;
    }
    const uint8_t *selection = segment + 1 + 2 * count;
    return selection[0] != 0 || selection[1] != AREA - 1 || selection[2] != 0 ? -1 : 0;
}

/* Whether the three components are Y, Cb and Cr, by the rules that libjpeg has for it. */
static int is_ycc(const Picture *picture)
{
    const Component *components = picture->components;
    if (picture->is_jfif || picture->adobe_transform == 1)
        return 1;
    return picture->adobe_transform < 0 && components[0].identifier == 1 && components[1].identifier == 2 &&
           components[2].identifier == 3;
}

/* Reads what stands in front of the picture, or only its size and what makes it one for others. */
static JpegResult read_header(Picture *picture, const uint8_t *data, size_t size, int is_size_enough)
{
    const uint8_t *end = data + size;
    if (size < 4 || data[0] != 0xFF || data[1] != 0xD8)
        return JPEG_OTHER;
    picture->adobe_transform = -1;
    picture->end = end;
    data += 2;
    while (end - data >= 4) {
        if (data[0] != 0xFF)
            return JPEG_OTHER;
        int marker = data[1], wrong = 0;
        if (marker == 0xFF) {
            data++;
            continue;
        }
        const uint8_t *segment = data + 4;
        size_t length = read_16(data + 2);
        if (length < 2 || length > (size_t)(end - data) - 2)
            return JPEG_OTHER;
        data += 2 + length;
        if (marker == 0xC0 || marker == 0xC1) {
            wrong = read_frame(picture, segment, data);
        } else if (marker == 0xDA && is_size_enough) {
            return picture->component_count && has_end(data, end) ? JPEG_DONE : JPEG_OTHER;
        } else if (marker == 0xDA) {
            picture->scan = data;
            wrong = read_scan(picture, segment, data) || (picture->component_count == 3 && !is_ycc(picture));
            return wrong ? JPEG_OTHER : JPEG_DONE;
        } else if (marker == 0xC4) {
            wrong = !is_size_enough && read_huffman(picture, segment, data);
        } else if (marker == 0xDB) {
            wrong = !is_size_enough && read_quantisation(picture, segment, data);
        } else if (marker == 0xE1) {
            wrong = is_size_enough && is_turned(segment, data);
        } else if (marker == 0xDD) {
            wrong = length != 4;
            if (!wrong)
                picture->restart_interval = (int)read_16(segment);
        } else if (marker == 0xE0) {
            picture->is_jfif = picture->is_jfif || (length >= 16 && !memcmp(segment, "JFIF", 5));
        } else if (marker == 0xEE) {
            if (length >= 14 && !memcmp(segment, "Adobe", 5))
                picture->adobe_transform = segment[11];
        } else {
            wrong = marker != 0xFE && (marker < 0xE2 || marker > 0xEF);
        }
        if (wrong)
            return JPEG_OTHER;
    }
    return JPEG_OTHER;
}

/* ---- Huffman codes ---- */

/* Moves on to what is not read yet. */
static void move_window(Window *window, BitReader *reader)
{
    size_t kept = reader->next < window->end ? (size_t)(window->end - reader->next) : 0;
    memmove(window->bytes, reader->next, kept);
    reader->next = window->bytes;
    window->end = window->bytes + kept;
    while (!window->is_last) {
        size_t room = (size_t)(window->bytes + WINDOW_BYTES - window->end);
        size_t left = (size_t)(window->source_end - window->source), count = room < left ? room : left;
        const uint8_t *found = memchr(window->source, 0xFF, count);
        if (found)
            count = (size_t)(found - window->source);
        memcpy(window->end, window->source, count);
        window->end += count;
        window->source += count;
        if (found && window->source_end - found > 1 && found[1] == 0) {
            *window->end++ = 0xFF;
            window->source += 2;
        } else if (found || window->source == window->source_end) {
            window->is_last = 1;
        } else {
            break;
        }
    }
    memset(window->end, 0, MCU_BYTES);
}

/* Makes sure that an MCU can be read; -1 when more has been read than there is. */
INLINE int prepare(Window *window, BitReader *reader)
{
    if (UNLIKELY(window->end - reader->next < MCU_BYTES)) {
        if (window->is_last)
            return reader->next - reader->count / 8 > window->end ? -1 : 0;
        move_window(window, reader);
    }
    return 0;
}

/* Has at least 56 bits ready. */
INLINE void fill(BitReader *reader)
{
    uint64_t word;
    memcpy(&word, reader->next, sizeof word);
    reader->bits |= __builtin_bswap64(word) >> reader->count;
    reader->next += (63 - reader->count) >> 3;
    reader->count |= 56;
}

/* `length` may have more on top of its lowest byte, which saves the next look an instruction's time. */
INLINE void drop(BitReader *reader, Meaning length)
{
    reader->bits <<= length & 63;
    reader->count -= (int)(length & 255);
}

/* The meaning of a code that cannot be looked up, for it is long or stands for zeros alone; 0 when there is none. */
static __attribute__((noinline)) Meaning find_meaning(const HuffmanTable *table, uint64_t bits)
{
    uint32_t code = (uint32_t)(bits >> (64 - LONGEST_CODE));
    int length = 1;
    while (length <= LONGEST_CODE && code >= table->limits[length])
        length++;
    if (length > LONGEST_CODE)
        return 0;
    int place = (int)(code >> (LONGEST_CODE - length)) + table->offsets[length];
    return meaning_of(table->symbols[place & 255], (unsigned)length, table->is_ac);
}

/* Reads the difference of a DC coefficient to the one before. */
INLINE int read_dc(BitReader *reader, Component *component)
{
    Meaning seen = component->dc->seen[reader->bits >> (64 - LOOK_BITS)];
    if (UNLIKELY(!seen)) {
        seen = find_meaning(component->dc, reader->bits);
        if (!seen)
            return -1;
    }
    component->predicted = (int16_t)(component->predicted + value_or_zero(seen, reader->bits));
    drop(reader, seen);
    return 0;
}

/* Takes the second of two codes too unless the first one ends the block, and returns the place of the next one. */
INLINE size_t take(BitReader *reader, size_t k, Meaning seen)
{
    size_t next = k + part(seen, PASSED);
    if (LIKELY(next < AREA)) {
        drop(reader, seen);
        return next;
    }
    /* Either is as likely, so this has no branch. */
    unsigned is_over = 0u - (k + part(seen, FIRST_PASSED) >= AREA);
    drop(reader, part(seen, LENGTH) ^ ((part(seen, LENGTH) ^ part(seen, FIRST_LENGTH)) & is_over));
    return k + (part(seen, PASSED) ^ ((part(seen, PASSED) ^ part(seen, FIRST_PASSED)) & is_over));
}

/* Reads one coefficient, or two, and returns the place of the next one. */
INLINE size_t read_ac(BitReader *reader, const HuffmanTable *table, size_t k, int16_t *block)
{
    Meaning seen = table->seen[reader->bits >> (64 - LOOK_BITS)];
    if (UNLIKELY(!seen)) {
        seen = find_meaning(table, reader->bits);
        if (!seen)
            return DAMAGED;
        k += part(seen, PASSED);
        block[ZIGZAG[k - 1]] = value_or_zero(seen, reader->bits);
        drop(reader, seen);
        return k;
    }
    /* Without a second one both are put into the same place, and the first one stays. */
    const uint8_t *zigzag = ZIGZAG - 1 + k;
    block[zigzag[part(seen, PASSED)]] = value_at(reader->bits, seen >> SECOND_PLACE, seen >> SECOND_SHIFT);
    block[zigzag[part(seen, FIRST_PASSED)]] = value_at(reader->bits, seen >> FIRST_PLACE, seen >> FIRST_SHIFT);
    return take(reader, k, seen);
}

/* The same for coefficients that nobody wants. */
INLINE size_t pass_ac(BitReader *reader, const HuffmanTable *table, size_t k)
{
    Meaning seen = table->seen[reader->bits >> (64 - LOOK_BITS)];
    if (UNLIKELY(!seen)) {
        seen = find_meaning(table, reader->bits);
        drop(reader, seen);
        return seen ? k + part(seen, PASSED) : DAMAGED;
    }
    return take(reader, k, seen);
}

/* Whether a block whose next coefficient would be the k-th one has ended as it should. */
INLINE int has_ended(size_t k)
{
    return k == AREA || (k >= 2 + END_OF_BLOCK && k < DAMAGED);
}

/* Reads a block whose coefficients are 0 yet: -1 when it is damaged, 0 when it has a single value, else 1. */
INLINE int read_block(BitReader *reader, Component *component, int16_t *block)
{
    const HuffmanTable *table = component->ac;
    fill(reader);
    if (UNLIKELY(read_dc(reader, component)))
        return -1;
    block[0] = component->predicted;
    size_t k = read_ac(reader, table, 1, block);
    while (LIKELY(k < AREA)) {
        fill(reader);
        k = read_ac(reader, table, k, block);
        if (k >= AREA)
            break;
        k = read_ac(reader, table, k, block);
    }
    if (UNLIKELY(!has_ended(k)))
        return -1;
    return k != 2 + END_OF_BLOCK;
}

/* Passes a block and keeps only its DC coefficient; -1 when it is damaged. */
INLINE int pass_block(BitReader *reader, Component *component)
{
    const HuffmanTable *table = component->ac;
    fill(reader);
    if (UNLIKELY(read_dc(reader, component)))
        return -1;
    size_t k = pass_ac(reader, table, 1);
    while (LIKELY(k < AREA)) {
        fill(reader);
        k = pass_ac(reader, table, k);
        if (k >= AREA)
            break;
        k = pass_ac(reader, table, k);
    }
    return has_ended(k) ? 0 : -1;
}

/* Reads the blocks of an MCU; -1 when one is damaged. */
FOR_PROCESSORS_WITH("bmi2")
static int read_blocks(BitReader *shared, Component *components, int component_count, Block *blocks, int *kinds)
{
    BitReader reader = *shared; /* in registers */
    for (int c = 0; c < component_count; c++)
        for (int i = components[c].down * components[c].across; i > 0; i--) {
            *kinds = read_block(&reader, components + c, blocks++->values);
            if (UNLIKELY(*kinds++ < 0))
                return -1;
        }
    *shared = reader;
    return 0;
}

FOR_PROCESSORS_WITH("bmi2")
static int pass_blocks(BitReader *shared, Component *components, int component_count)
{
    BitReader reader = *shared;
    for (int c = 0; c < component_count; c++)
        for (int i = components[c].down * components[c].across; i > 0; i--)
            if (UNLIKELY(pass_block(&reader, components + c)))
                return -1;
    *shared = reader;
    return 0;
}

/* ---- Inverse transform ---- */

/* By operations of 32 bytes, which only some processors have; put together from others they take very long. */
INLINE void transpose_wide(Int8 *x)
{
    Int8 pairs[SIDE], fours[SIDE];
    for (int i = 0; i < SIDE; i += 2) {
        pairs[i] = SHUFFLE(Int8, x[i], x[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        pairs[i + 1] = SHUFFLE(Int8, x[i], x[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < SIDE; i += 4)
        for (int j = 0; j < 2; j++) {
            fours[i + 2 * j] = SHUFFLE(Int8, pairs[i + j], pairs[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            fours[i + 2 * j + 1] = SHUFFLE(Int8, pairs[i + j], pairs[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < SIDE / 2; i++) {
        x[i] = SHUFFLE(Int8, fours[i], fours[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        x[i + 4] = SHUFFLE(Int8, fours[i], fours[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* By operations of 16 bytes: each quarter of the block in turn. */
INLINE void transpose_narrow(Int8 *x)
{
    typedef int32_t Int4 __attribute__((vector_size(16)));
    Int4 from[SIDE][2], to[SIDE][2];
    memcpy(from, x, sizeof from);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            Int4 *rows[4] = {&from[4 * i][j], &from[4 * i + 1][j], &from[4 * i + 2][j], &from[4 * i + 3][j]};
            Int4 a = SHUFFLE(Int4, *rows[0], *rows[2], 0, 4, 1, 5), b = SHUFFLE(Int4, *rows[0], *rows[2], 2, 6, 3, 7);
            Int4 c = SHUFFLE(Int4, *rows[1], *rows[3], 0, 4, 1, 5), d = SHUFFLE(Int4, *rows[1], *rows[3], 2, 6, 3, 7);
            to[4 * j][i] = SHUFFLE(Int4, a, c, 0, 4, 1, 5);
            to[4 * j + 1][i] = SHUFFLE(Int4, a, c, 2, 6, 3, 7);
            to[4 * j + 2][i] = SHUFFLE(Int4, b, d, 0, 4, 1, 5);
            to[4 * j + 3][i] = SHUFFLE(Int4, b, d, 2, 6, 3, 7);
        }
    memcpy(x, to, sizeof to);
}

enum { FRACTION_BITS = 13, FIRST_PASS_BITS = 2 };

/* One pass, for eight rows or columns at once: the flow graph of Loeffler, Ligtenberg and Moschytz (ICASSP 1989), with
 * factors in 13 bits. */
INLINE void transform(Int8 *x, int shift)
{
    Int8 turned = (x[2] + x[6]) * 4433;
    Int8 low = turned + x[2] * 6270, high = turned - x[6] * 15137;
    /* What is rounded is added once, to the two terms that all results have. */
    Int8 sum = ((x[0] + x[4]) << FRACTION_BITS) + (1 << (shift - 1));
    Int8 difference = ((x[0] - x[4]) << FRACTION_BITS) + (1 << (shift - 1));
    Int8 even[4] = {sum + low, difference + high, difference - high, sum - low};

    Int8 of_37 = x[3] + x[7], of_15 = x[1] + x[5], both = (of_37 + of_15) * 9633;
    Int8 of_17 = (x[1] + x[7]) * 7373, of_35 = (x[3] + x[5]) * 20995;
    of_37 = both - of_37 * 16069;
    of_15 = both - of_15 * 3196;
    Int8 odd[4] = {x[1] * 12299 - of_17 + of_15, x[3] * 25172 - of_35 + of_37, x[5] * 16819 - of_35 + of_15,
                   x[7] * 2446 - of_17 + of_37};

    for (int i = 0; i < SIDE / 2; i++) {
        x[i] = (even[i] + odd[i]) >> shift;
        x[SIDE - 1 - i] = (even[i] - odd[i]) >> shift;
    }
}

INLINE Int8 to_byte_range(Int8 values)
{
    values += 128;
    values &= ~(values >> 31);
    return (values | (values > 255)) & 255;
}

/* Writes the 8 x 8 samples of a block. */
INLINE void inverse_transform(const Block *block, const Block *quantisation, uint8_t *out, size_t stride, int is_wide)
{
    Int8 x[SIDE];
    for (int i = 0; i < SIDE; i++)
        x[i] = __builtin_convertvector(block->rows[i] * quantisation->rows[i], Int8);
    transform(x, FRACTION_BITS - FIRST_PASS_BITS);
    is_wide ? transpose_wide(x) : transpose_narrow(x);
    transform(x, FRACTION_BITS + FIRST_PASS_BITS + 3);
    /* Columns are joined to rows byte by byte. */
    for (int i = 0; i < SIDE; i++)
        x[i] = to_byte_range(x[i]);
    Int8 left = x[0] | x[1] << 8 | x[2] << 16 | x[3] << 24, right = x[4] | x[5] << 8 | x[6] << 16 | x[7] << 24;
    for (int i = 0; i < SIDE; i++) {
        int32_t row[2] = {left[i], right[i]};
        memcpy(out + (size_t)i * stride, row, sizeof row);
    }
}

INLINE void fill_flat(int dc, uint8_t *out, size_t stride)
{
    int value = ((dc * 4 + 16) >> 5) + 128;
    value = value < 0 ? 0 : value > 255 ? 255 : value;
    for (int i = 0; i < SIDE; i++)
        memset(out + (size_t)i * stride, value, SIDE);
}

/* Writes the means of `reduce_y` x `reduce_x` samples. */
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

/* ---- Rows of MCUs ---- */

/* Decodes one MCU into the rings; `row` and `column` count MCUs, `column` from the first that is kept. */
INLINE int read_mcu(Picture *picture, BitReader *reader, long row, long column, int is_wide)
{
    /* All blocks are read before the first is transformed, since values just stored in parts are slow to load whole. */
    Block blocks[MOST_BLOCKS];
    int kinds[MOST_BLOCKS], count = picture->blocks;
    for (int i = 0; i < count; i++)
        for (int y = 0; y < SIDE; y++)
            blocks[i].rows[y] = (Short8){0};
    if (UNLIKELY(read_blocks(reader, picture->components, picture->component_count, blocks, kinds)))
        return -1;
    count = 0;
    for (int c = 0; c < picture->component_count; c++) {
        const Component *component = picture->components + c;
        const Block *quantisation = picture->quantisation + component->quantisation;
        int height = SIDE / component->reduce_y, width = SIDE / component->reduce_x;
        int is_reduced = height < SIDE || width < SIDE;
        for (int y = 0; y < component->down; y++)
            for (int x = 0; x < component->across; x++, count++) {
                uint8_t whole[AREA];
                long ring_row = (row * component->down + y) * height % component->ring_rows;
                uint8_t *place = component->ring + (size_t)ring_row * component->stride +
                                 (size_t)((column * component->across + x) * width);
                uint8_t *out = is_reduced ? whole : place;
                size_t stride = is_reduced ? SIDE : component->stride;
                if (kinds[count] == 0)
                    fill_flat((int16_t)(blocks[count].values[0] * quantisation->values[0]), out, stride);
                else
                    inverse_transform(blocks + count, quantisation, out, stride, is_wide);
                if (is_reduced)
                    average(whole, component->reduce_x, component->reduce_y, place, component->stride);
            }
    }
    return 0;
}

/* Where in the coded picture a decoder is. */
typedef struct {
    Window window;
    BitReader reader;
    int until_restart;
    unsigned restarts;
} Position;

/* Passes a restart marker. */
static int restart(Picture *picture, Position *position)
{
    Window *window = &position->window;
    BitReader *reader = &position->reader;
    if (!window->is_last)
        move_window(window, reader);
    const uint8_t *marker = window->source;
    while (window->source_end - marker > 2 && marker[0] == 0xFF && marker[1] == 0xFF)
        marker++;
    /* All that was there must have been read, but for the bits that fill the last byte. */
    if (window->source_end - marker < 2 || marker[0] != 0xFF || marker[1] != 0xD0 + (position->restarts++ & 7) ||
        reader->next - reader->count / 8 != window->end)
        return -1;
    window->source = marker + 2;
    window->end = window->bytes;
    window->is_last = 0;
    *reader = (BitReader){window->bytes, 0, 0};
    for (int c = 0; c < picture->component_count; c++)
        picture->components[c].predicted = 0;
    position->until_restart = picture->restart_interval;
    return 0;
}

/* Reads a row of MCUs up to `end`; those outside of `first` to `last` are passed. */
INLINE int read_mcu_row(Picture *picture, Position *position, long row, long first, long last, long end, int is_wide)
{
    for (long column = 0; column < end; column++) {
        if (picture->restart_interval && position->until_restart-- == 0) {
            if (restart(picture, position))
                return -1;
            position->until_restart--;
        }
        if (UNLIKELY(prepare(&position->window, &position->reader)))
            return -1;
        int is_passed = column < first || column >= last;
        if (UNLIKELY(is_passed ? pass_blocks(&position->reader, picture->components, picture->component_count)
                               : read_mcu(picture, &position->reader, row, column - first, is_wide)))
            return -1;
    }
    /* What was made up behind the end does not count. */
    return position->reader.next - position->reader.count / 8 > position->window.end ? -1 : 0;
}

static int read_mcu_row_narrow(Picture *picture, Position *position, long row, long first, long last, long end)
{
    return read_mcu_row(picture, position, row, first, last, end, 0);
}

#ifdef FOR_X86
__attribute__((target("avx2"))) static int read_mcu_row_wide(Picture *picture, Position *position, long row, long first,
                                                             long last, long end)
{
    return read_mcu_row(picture, position, row, first, last, end, 1);
}
#endif

/* ---- Pixels ---- */

/* The row of samples, or of weighted sums of two, between which colours are interpolated. */
FOR_PROCESSORS_WITH("avx2")
static void weigh_rows(const uint8_t *restrict near, const uint8_t *restrict far, long count, uint16_t *restrict out)
{
    for (long i = 0; i < count; i++)
        out[i] = (uint16_t)(3 * near[i] + far[i]);
}

FOR_PROCESSORS_WITH("avx2")
static void widen_row(const uint8_t *restrict row, long count, uint16_t *restrict out)
{
    for (long i = 0; i < count; i++)
        out[i] = row[i];
}

/* Two pixels for each sample, 3 parts of it and 1 of the neighbour's; there is one value in front and behind. */
INLINE void spread(const uint16_t *restrict row, long count, int round_left, int round_right, int shift,
                   uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        uint16_t left = (uint16_t)(3 * row[i] + row[i - 1] + round_left);
        uint16_t right = (uint16_t)(3 * row[i] + row[i + 1] + round_right);
        out[2 * i] = (uint8_t)(left >> shift);
        out[2 * i + 1] = (uint8_t)(right >> shift);
    }
}

FOR_PROCESSORS_WITH("avx2")
static void spread_samples(const uint16_t *restrict row, long count, uint8_t *restrict out)
{
    spread(row, count, 1, 2, 2, out);
}

/* Sums of two rows are four times as large. */
FOR_PROCESSORS_WITH("avx2")
static void spread_sums(const uint16_t *restrict row, long count, uint8_t *restrict out)
{
    spread(row, count, 8, 7, 4, out);
}

FOR_PROCESSORS_WITH("avx2")
static void round_sums(const uint16_t *restrict row, long count, uint16_t round, uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        uint16_t sum = (uint16_t)(row[i] + round);
        out[i] = (uint8_t)(sum >> 2);
    }
}

INLINE uint8_t to_byte(int16_t value)
{
    value = value < 0 ? 0 : value;
    value = value > 255 ? 255 : value;
    return (uint8_t)value;
}

/* value x factor / 65536, rounded, by 16-bit operations; |value| is at most 128. */
INLINE int16_t scale(int16_t value, int16_t factor)
{
    int16_t twice = (int16_t)(2 * value), high = (int16_t)((twice * factor) >> 16);
    high = (int16_t)(high + 1);
    return (int16_t)(high >> 1);
}

/* R = Y + 1.402 Cr, G = Y - 0.34414 Cb - 0.71414 Cr, B = Y + 1.772 Cb (ITU-R BT.601 as JFIF has it), the factors in 16
 * bits, whole parts apart. */
FOR_PROCESSORS_WITH("avx2")
static void convert_row(const uint8_t *restrict luma, const uint8_t *restrict blue, const uint8_t *restrict red,
                        long count, uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        int16_t y = luma[i], cb = (int16_t)(blue[i] - 128), cr = (int16_t)(red[i] - 128);
        int16_t green = (int16_t)((18734 * cr - 22554 * cb + (1 << 15)) >> 16);
        out[3 * i] = to_byte((int16_t)(y + cr + scale(cr, 26345)));
        out[3 * i + 1] = to_byte((int16_t)(y - cr + green));
        out[3 * i + 2] = to_byte((int16_t)(y + 2 * cb + scale(cb, -14942)));
    }
}

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
        weigh_rows(ring_row(component, near), ring_row(component, far), count, row);
        if (component->spread_x == 1) {
            round_sums(row, count, (uint16_t)(1 + y % 2), out);
            return out;
        }
    } else {
        widen_row(ring_row(component, y), count, row);
    }
    row[-1] = row[0];
    row[count] = row[count - 1];
    if (component->spread_y == 2)
        spread_sums(row, count, out);
    else
        spread_samples(row, count, out);
    return out;
}

/* Room for what a row of pixels is made of. */
typedef struct {
    uint16_t *sums;
    uint8_t *blue, *red;
} Scratch;

static void write_pixels(const Picture *picture, long y, JpegBox box, const Scratch *scratch, uint8_t *out)
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
    convert_row(luma, colours[0], colours[1], box.width, out);
}

/* ---- The whole ---- */

static long divide_up(long value, long by)
{
    return (value + by - 1) / by;
}

static long smaller(long one, long other)
{
    return one < other ? one : other;
}

static JpegResult decode(Picture *picture, JpegBox box, int reduction, JpegRows *out)
{
    long mcu_width = SIDE * picture->most_across, mcu_height = SIDE * picture->most_down;
    long mcu_columns = divide_up(picture->width, mcu_width);
    long left = box.left * reduction - 2, right = (box.left + box.width) * reduction + 2;
    long top = box.top * reduction - 2, bottom = (box.top + box.height) * reduction + 2;
    /* Two pixels more on each side, from which colours are interpolated. */
    long first_column = left > 0 ? left / mcu_width : 0;
    long last_column = divide_up(smaller(right, picture->width), mcu_width);
    long first_row = top > 0 ? top / mcu_height : 0;
    long last_row = divide_up(smaller(bottom, picture->height), mcu_height);

    size_t room = 0, kept = (size_t)((last_column - first_column) * mcu_width) + 64;
    for (int c = 0; c < picture->component_count; c++) {
        Component *component = picture->components + c;
        int shared_x = picture->most_across / component->across, shared_y = picture->most_down / component->down;
        component->reduce_x = reduction > shared_x ? reduction / shared_x : 1;
        component->reduce_y = reduction > shared_y ? reduction / shared_y : 1;
        component->spread_x = reduction == 1 ? shared_x : 1;
        component->spread_y = reduction == 1 ? shared_y : 1;
        component->rows = divide_up(picture->height, shared_y);
        component->columns = divide_up(picture->width, shared_x);
        if (component->spread_x == 2 && component->columns < 3)
            return JPEG_OTHER; /* libjpeg does not interpolate so few */
        long width = component->across * SIDE / component->reduce_x;
        component->first_column = first_column * width;
        component->stride = (size_t)((last_column - first_column) * width);
        component->ring_rows = 2 * component->down * SIDE / component->reduce_y;
        component->predicted = 0;
        room += component->stride * (size_t)component->ring_rows;
    }
    Position *position = malloc(sizeof *position + room + 2 * kept + kept * sizeof(uint16_t));
    if (!position)
        return JPEG_NO_MEMORY;
    uint8_t *memory = (uint8_t *)(position + 1);
    Scratch scratch = {(uint16_t *)memory, memory + kept * sizeof(uint16_t), memory + kept * (sizeof(uint16_t) + 1)};
    uint8_t *ring = scratch.red + kept;
    for (int c = 0; c < picture->component_count; c++) {
        picture->components[c].ring = ring;
        ring += picture->components[c].stride * (size_t)picture->components[c].ring_rows;
    }

    Window *window = &position->window;
    window->source = picture->scan;
    window->source_end = picture->end;
    window->end = window->bytes;
    window->is_last = 0;
    position->reader = (BitReader){window->bytes, 0, 0};
    position->until_restart = picture->restart_interval;
    position->restarts = 0;
    int (*read_row)(Picture *, Position *, long, long, long, long) = read_mcu_row_narrow;
#ifdef FOR_X86
    if (__builtin_cpu_supports("avx2"))
        read_row = read_mcu_row_wide;
#endif
    JpegResult result = JPEG_DONE;
    long rows = mcu_height / reduction, done = box.top, wanted = box.top + box.height;
    for (long row = 0; row < last_row; row++) {
        int is_kept = row >= first_row, is_last = row == last_row - 1;
        long first = is_kept ? first_column : mcu_columns;
        if (read_row(picture, position, row, first, last_column, is_last ? last_column : mcu_columns)) {
            result = JPEG_OTHER;
            break;
        }
        /* The last row of pixels waits for the colours of the next row of MCUs. */
        long ready = is_last ? wanted : smaller(wanted, (row + 1) * rows - 1);
        for (; is_kept && done < ready; done++) {
            write_pixels(picture, done, box, &scratch, out->room(out, done - box.top));
            out->filled(out, done - box.top);
        }
    }
    free(position);
    return result;
}

static Picture *new_picture(void)
{
    Picture *picture = malloc(sizeof *picture);
    if (!picture)
        return NULL;
    memset(picture, 0, offsetof(Picture, tables));
    for (int i = 0; i < 2 * MOST_TABLES; i++)
        picture->tables[i].is_defined = 0;
    return picture;
}

JpegResult jpeg_size(const uint8_t *data, size_t size, long *height, long *width)
{
    Picture *picture = new_picture();
    if (!picture)
        return JPEG_NO_MEMORY;
    JpegResult result = read_header(picture, data, size, 1);
    *height = picture->height;
    *width = picture->width;
    free(picture);
    return result;
}

JpegResult jpeg_decode_box(const uint8_t *data, size_t size, JpegBox box, int reduction, JpegRows *rows)
{
    Picture *picture = new_picture();
    if (!picture)
        return JPEG_NO_MEMORY;
    JpegResult result = read_header(picture, data, size, 0);
    if (result == JPEG_DONE) {
        long height = divide_up(picture->height, reduction), width = divide_up(picture->width, reduction);
        int is_inside = box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
                        box.height <= height - box.top && box.width <= width - box.left;
        result = is_inside ? decode(picture, box, reduction, rows) : JPEG_OUTSIDE;
    }
    free(picture);
    return result;
}
