/* Bits, Huffman codes and coefficients: T.81 annexes C and F. */

#ifndef MINDCV_JPEG_ENTROPY_H
#define MINDCV_JPEG_ENTROPY_H

#include "picture.h"

enum {
    MOST_DC_BITS = 11,
    MOST_AC_BITS = 10,
    LONGEST_CODE = 16,
    ONLY_ZEROS = 0xF0,                  /* the symbol for 16 of them */
    DAMAGED = 1024,                     /* a place in a block that nothing else leads to */
    LOOK_BITS = 10,                     /* looked at in one go; fewer find less, and more do not stay in the cache */
    MCU_BYTES = MOST_BLOCKS * AREA * 4, /* more than a damaged one can take */
    WINDOW_BYTES = 4 * MCU_BYTES,
};

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

typedef struct HuffmanTable {
    Meaning seen[1 << LOOK_BITS];      /* by the next bits */
    uint32_t limits[LONGEST_CODE + 1]; /* by length: codes of up to it are below, filled up to 16 bits */
    int32_t offsets[LONGEST_CODE + 1]; /* by length: from a code to the place of its symbol */
    uint8_t symbols[256];
    int is_ac;
} HuffmanTable;

/* Which coefficients of a block are not 0: the first one, those of the corner, or any. */
typedef enum { FLAT, CORNERED, WHOLE } BlockKind;

/* Reads bits of the bytes in a window, which must go on behind what is read. */
typedef struct {
    const uint8_t *next;
    uint64_t bits; /* the next ones on top */
    int count;     /* of those that are there */
} BitReader;

/* What the blocks of an interval are read from (E.2.4: each interval is on its own). */
typedef struct {
    BitReader reader;
    int16_t predicted[MOST_COMPONENTS]; /* DC coefficients of the blocks before */
} Stream;

/* Coded bytes up to the next marker, without the zeros behind 0xFF. */
typedef struct {
    const uint8_t *source, *source_end;
    uint8_t *end; /* of the bytes that are there; zeros follow */
    int is_last;  /* whether `source` has come to a marker, or to its end */
    uint8_t bytes[WINDOW_BYTES + MCU_BYTES];
} Window;

INLINE unsigned part(Meaning meaning, int which)
{
    return meaning >> which & 255;
}

/* Makes what is looked up of the counts of a table and the symbols behind them, which `jpeg_read_header` checked. */
void jpeg_define_table(HuffmanTable *table, const uint8_t *counts, int is_ac);

/* What `jpeg_define_table` makes of a table, where it is one of those that most files have; else NULL. */
const HuffmanTable *jpeg_standard_table(const uint8_t *counts, int is_ac);

/* The meaning of a code that cannot be looked up, for it is long or means a run of zeros alone; 0 when there is
 * none. */
Meaning jpeg_find_meaning(const HuffmanTable *table, uint64_t bits);

/* Begins at the first byte of a scan. */
void jpeg_start_window(Window *window, BitReader *reader, const uint8_t *scan, const uint8_t *end);

/* Moves on to what is not read yet. */
void jpeg_move_window(Window *window, BitReader *reader);

/* Goes on behind a restart marker, by numbers from the first of the scan, 0: behind `to`, when `from` is the next one.
 * What is coded in between is not looked at. -1 when the markers are not there. */
int jpeg_seek_restart(Window *window, BitReader *reader, unsigned from, unsigned to);

/* Passes the next restart marker; -1 when it does not stand where it should. */
int jpeg_pass_restart(Window *window, BitReader *reader, unsigned count);

#endif
