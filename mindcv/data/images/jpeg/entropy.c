/* Tables of Huffman codes (T.81 annex C) and the bytes that they are read from.
 *
 * Most of the time goes into Huffman codes: a look at the next bits finds a code and its coefficient at once, and often
 * the next ones too; entropy_loops.h does so.
 */

#include "entropy.h"

#include <string.h>

/* The meaning of a code of `length` bits for a symbol; 0 when there is no such symbol. F.1.2.1 and F.1.2.2: a DC symbol
 * is the number of bits that follow, an AC symbol that and, on top, the zeros in front; 0 ends a block. */
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

/* C.2: codes of each length follow each other; F.2.2.3: those up to a length are below its limit. */
void jpeg_define_table(HuffmanTable *table, const uint8_t *counts, int is_ac)
{
    const uint8_t *symbols = counts + LONGEST_CODE;
    unsigned code = 0;
    int used = 0;
    memset(table, 0, sizeof *table);
    table->is_ac = is_ac;
    for (int length = 1; length <= LONGEST_CODE; length++) {
        table->offsets[length] = used - (int32_t)code;
        for (int i = 0; i < counts[length - 1]; i++, code++, used++) {
            table->symbols[used] = symbols[used];
            /* A run of zeros with no coefficient behind it is left to `jpeg_find_meaning`; it is rare. */
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
}

/* Annex K.3: the tables that most files have, as counts and symbols. */
/* clang-format off */
static const uint8_t LUMA_DC[] = {
    0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B,
};
static const uint8_t COLOUR_DC[] = {
    0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B,
};
static const uint8_t LUMA_AC[] = {
    0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125,
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14,
    0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09,
    0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A,
    0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65,
    0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
    0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9,
    0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA,
    0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA,
    0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
};
static const uint8_t COLOUR_AC[] = {
    0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119,
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32,
    0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52, 0xF0, 0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16,
    0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39,
    0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64,
    0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86,
    0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
    0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8,
    0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9,
    0xEA, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
};
/* clang-format on */

static const struct {
    const uint8_t *counts;
    size_t size;
} STANDARD[] = {
    {LUMA_DC, sizeof LUMA_DC},
    {COLOUR_DC, sizeof COLOUR_DC},
    {LUMA_AC, sizeof LUMA_AC},
    {COLOUR_AC, sizeof COLOUR_AC},
};
enum { STANDARD_COUNT = sizeof STANDARD / sizeof *STANDARD, STANDARD_DC_COUNT = 2 };
static HuffmanTable standard_tables[STANDARD_COUNT];

/* When the library is loaded, before there are threads. */
__attribute__((constructor)) static void define_standard_tables(void)
{
    for (int i = 0; i < STANDARD_COUNT; i++)
        jpeg_define_table(standard_tables + i, STANDARD[i].counts, i >= STANDARD_DC_COUNT);
}

const HuffmanTable *jpeg_standard_table(const uint8_t *counts, int is_ac)
{
    for (int i = is_ac ? STANDARD_DC_COUNT : 0; i < (is_ac ? STANDARD_COUNT : STANDARD_DC_COUNT); i++)
        /* The counts say how many symbols there are. */
        if (!memcmp(counts, STANDARD[i].counts, LONGEST_CODE) && !memcmp(counts, STANDARD[i].counts, STANDARD[i].size))
            return standard_tables + i;
    return NULL;
}

/* F.2.2.3: bits are added until the code is below the limit of its length. */
__attribute__((noinline)) Meaning jpeg_find_meaning(const HuffmanTable *table, uint64_t bits)
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

/* B.1.1.5: a zero behind 0xFF is left out; any other byte makes a marker, at which coded bytes end. */
void jpeg_move_window(Window *window, BitReader *reader)
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

void jpeg_start_window(Window *window, BitReader *reader, const uint8_t *scan, const uint8_t *end)
{
    window->source = scan;
    window->source_end = end;
    window->end = window->bytes;
    window->is_last = 0;
    *reader = (BitReader){window->bytes, 0, 0};
}

/* B.1.1.5: coded bytes have a zero behind 0xFF; B.1.1.2: a marker may have more of these in front. NULL: there is
 * none. */
static const uint8_t *find_marker(const uint8_t *next, const uint8_t *end)
{
    while (end - next > 1 && (next = memchr(next, 0xFF, (size_t)(end - next) - 1))) {
        if (next[1] != 0 && next[1] != 0xFF)
            return next;
        next += next[1] == 0 ? 2 : 1;
    }
    return NULL;
}

/* B.2.1: RST0 to RST7 take turns. */
int jpeg_seek_restart(Window *window, BitReader *reader, unsigned from, unsigned to)
{
    const uint8_t *marker = window->source - 2;
    for (unsigned count = from; count != to + 1; count++) {
        marker = find_marker(marker + 2, window->source_end);
        if (!marker || marker[1] != 0xD0 + (count & 7))
            return -1;
    }
    jpeg_start_window(window, reader, marker + 2, window->source_end);
    return 0;
}

/* All that was coded has been read, but for the bits that fill the last byte, and the marker is the next one. */
int jpeg_pass_restart(Window *window, BitReader *reader, unsigned count)
{
    if (!window->is_last)
        jpeg_move_window(window, reader);
    if (!window->is_last || reader->next - reader->count / 8 != window->end)
        return -1;
    return jpeg_seek_restart(window, reader, count, count);
}
