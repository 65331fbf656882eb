/* Tables of Huffman codes (T.81 annex C) and the bytes that they are read from.
 *
 * Most of the time goes into Huffman codes: a look at the next bits finds a code and its coefficient at once, and often
 * the next ones too; entropy_loops.h does so.
 */

#include "entropy.h"

#include <string.h>

/* The meaning of a code of `length` bits for a symbol; 0 when there is no such symbol. F.1.2.1 and F.1.2.2: a DC symbol is
 * the number of bits that follow, an AC symbol that and, on top, the zeros in front; 0 ends a block. */
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

/* E.2.4: all that was coded has been read, but for the bits that fill the last byte, and RST0 to RST7 take turns. */
int jpeg_pass_restart(Window *window, BitReader *reader, unsigned count)
{
    if (!window->is_last)
        jpeg_move_window(window, reader);
    const uint8_t *marker = window->source;
    while (window->source_end - marker > 2 && marker[0] == 0xFF && marker[1] == 0xFF)
        marker++;
    if (window->source_end - marker < 2 || marker[0] != 0xFF || marker[1] != 0xD0 + (count & 7) ||
        reader->next - reader->count / 8 != window->end)
        return -1;
    jpeg_start_window(window, reader, marker + 2, window->source_end);
    return 0;
}
