/* Reads the header of a JPEG file: segments of a marker, a length and parameters, T.81 annex B.
 *
 * The one parser of it: what it finds decides what Python passes on, converts and refuses, and what is decoded here.
 * Nothing in a file is trusted: it can come from anywhere.
 */

#include <string.h>

#include "picture.h"

/* T.81 table B.1. */
enum {
    MARK = 0xFF,
    TEM = 0x01,
    SOF0 = 0xC0, /* baseline */
    SOF1 = 0xC1, /* extended sequential */
    DHT = 0xC4,
    JPG = 0xC8,
    DAC = 0xCC,
    SOF15 = 0xCF,
    RST0 = 0xD0,
    RST7 = 0xD7,
    SOI = 0xD8,
    EOI = 0xD9,
    SOS = 0xDA,
    DQT = 0xDB,
    DNL = 0xDC,
    DRI = 0xDD,
    APP0 = 0xE0,
    APP1 = 0xE1,
    APP14 = 0xEE,
    APP15 = 0xEF,
    COM = 0xFE,
};
enum { LONGEST_CODE = 16, MOST_SYMBOLS = 256, LARGEST_FACTOR = 4, MOST_SCAN_COMPONENTS = 4, ORIENTATION = 0x0112 };

/* clang-format off */
const uint8_t jpeg_zigzag[PLACES] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,
    7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46,
    53, 60, 61, 54, 47, 55, 62, 63, [AREA ... PLACES - 1] = AREA,
};
/* clang-format on */

/* B.1.1.1: numbers of 16 bits have their high byte first. */
INLINE unsigned read_16(const uint8_t *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

/* A number of `count` bytes in the order that an EXIF block has. */
static uint32_t read_exif(const uint8_t *bytes, int count, int is_little)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[is_little ? count - 1 - i : i];
    return value;
}

/* Whether the first directory of an EXIF block (Exif 2.3, section 4.6) has an orientation other than upright. */
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
    for (uint32_t offset = start + 2; count > 0 && offset + 12 <= size; count--, offset += 12)
        if (read_exif(exif + offset, 2, is_little) == ORIENTATION) {
            if (read_exif(exif + offset + 2, 2, is_little) != 3)
                return 1; /* not the SHORT that the standard asks for: whoever turns images decides */
            uint32_t orientation = read_exif(exif + offset + 8, 2, is_little);
            return orientation >= 2 && orientation <= 8;
        }
    return 0;
}

/* B.2.1: a picture ends with EOI; what is cut off has none. A thumbnail's, in front of the picture, does not count. */
static int has_end(const uint8_t *scan, const uint8_t *end)
{
    for (const uint8_t *marker = end - 2; marker >= scan; marker--)
        if (marker[0] == MARK && marker[1] == EOI)
            return 1;
    return 0;
}

/* B.2.4.1: a byte of precision and destination, and 64 values of 8 or 16 bits in zigzag order, any number of times. */
static JpegFault read_quantisation(Picture *picture, const uint8_t *segment, const uint8_t *end)
{
    while (segment < end) {
        int is_long = *segment >> 4, table = *segment & 15;
        segment++;
        if (is_long > 1 || table >= MOST_TABLES || end - segment < AREA * (1 + is_long))
            return JPEG_BAD_QUANTISATION;
        for (int k = 0; k < AREA; k++, segment += 1 + is_long)
            picture->quantisation[table].values[jpeg_zigzag[k]] =
                (int16_t)(is_long ? read_16(segment) : *segment);
        picture->has_quantisation[table] = 1;
    }
    return JPEG_NO_FAULT;
}

/* Annex C: codes of a length are counted up from twice the last one of the length before, and must fit into it.
 * F.1.2.1: a DC symbol is a number of bits, here at most 15. */
static int are_codes_possible(const uint8_t *counts, const uint8_t *symbols, int is_ac)
{
    int free = 1, used = 0;
    for (int i = 0; i < LONGEST_CODE; i++) {
        free = 2 * free - counts[i];
        if (free < 0)
            return 0;
        used += counts[i];
    }
    for (int i = 0; i < used && !is_ac; i++)
        if (symbols[i] > 15)
            return 0;
    return 1;
}

/* B.2.4.2: a byte of class and destination, the number of codes of each length, and their symbols, any number of
 * times. */
static JpegFault read_huffman(Picture *picture, const uint8_t *segment, const uint8_t *end)
{
    while (segment < end) {
        int is_ac = *segment >> 4, table = *segment & 15, total = 0;
        const uint8_t *counts = segment + 1;
        if (is_ac > 1 || table >= MOST_TABLES || end - counts < LONGEST_CODE)
            return JPEG_BAD_HUFFMAN;
        for (int i = 0; i < LONGEST_CODE; i++)
            total += counts[i];
        segment = counts + LONGEST_CODE;
        if (total > MOST_SYMBOLS || end - segment < total || !are_codes_possible(counts, segment, is_ac))
            return JPEG_BAD_HUFFMAN;
        picture->huffman[MOST_TABLES * is_ac + table] = counts;
        segment += total;
    }
    return JPEG_NO_FAULT;
}

/* B.2.2: identifiers differ, sampling factors are 1 to 4 and tables 0 to 3. Decoders scale by whole numbers only. */
static int are_components_possible(const uint8_t *fields, int count)
{
    int most_across = 1, most_down = 1;
    for (int i = 0; i < count; i++) {
        int across = fields[3 * i + 1] >> 4, down = fields[3 * i + 1] & 15;
        if (across < 1 || across > LARGEST_FACTOR || down < 1 || down > LARGEST_FACTOR ||
            fields[3 * i + 2] >= MOST_TABLES)
            return 0;
        for (int j = 0; j < i; j++)
            if (fields[3 * j] == fields[3 * i])
                return 0;
        most_across = across > most_across ? across : most_across;
        most_down = down > most_down ? down : most_down;
    }
    for (int i = 0; i < count; i++)
        if (most_across % (fields[3 * i + 1] >> 4) || most_down % (fields[3 * i + 1] & 15))
            return 0;
    return 1;
}

/* B.2.2, A.1.1: sampling factors are the blocks of a component in an MCU. Colours may be halved against Y in either
 * direction; what is rarer is left to others. */
static void take_components(Picture *picture, const uint8_t *fields)
{
    int count = picture->component_count;
    for (int i = 0; i < count && i < MOST_COMPONENTS; i++, fields += 3) {
        Component *component = picture->components + i;
        int across = fields[1] >> 4, down = fields[1] & 15, most = i ? 1 : 2;
        /* A.2.2: a single component comes block by block, whatever its factors. */
        if (count == 1)
            across = down = 1;
        if (across > most || down > most)
            picture->is_other = 1;
        component->identifier = fields[0];
        component->across = across;
        component->down = down;
        component->quantisation = fields[2];
        if (i == 0) {
            picture->most_across = across;
            picture->most_down = down;
        }
        picture->blocks += across * down;
    }
}

/* B.2.2: precision, height, width, number of components, and three bytes for each. There is one frame. */
static JpegFault read_frame(Picture *picture, const uint8_t *segment, const uint8_t *end)
{
    if (picture->is_sequential || end - segment < 6 || end - segment != 6 + 3 * segment[5])
        return JPEG_BAD_FRAME;
    picture->precision = segment[0];
    picture->component_count = segment[5];
    if (picture->precision != 8 ||
        (picture->component_count != 1 && picture->component_count != 3 && picture->component_count != 4))
        return JPEG_BAD_COMPONENTS;
    picture->height = read_16(segment + 1);
    picture->width = read_16(segment + 3);
    picture->is_sequential = 1;
    if (!are_components_possible(segment + 6, picture->component_count))
        return JPEG_BAD_FRAME;
    if (!picture->height || !picture->width || picture->component_count > MOST_COMPONENTS)
        picture->is_other = 1;
    picture->frame = segment + 6;
    take_components(picture, picture->frame);
    return JPEG_NO_FAULT;
}

/* The component of the frame that a scan names (B.2.3: Cs is one of the C of the frame); -1: there is none. `frame`:
 * parameters of the components. */
static int find_component(const uint8_t *frame, int count, int identifier)
{
    for (int i = 0; i < count; i++)
        if (frame[3 * i] == identifier)
            return i;
    return -1;
}

/* B.2.3: the number of components, their identifiers and tables, and what of a spectrum comes, which in sequential
 * files is all of it. Tables must have been defined. */
static JpegFault read_scan(Picture *picture, const uint8_t *segment, const uint8_t *end)
{
    const uint8_t *frame = picture->frame;
    int count = end > segment ? segment[0] : 0, seen = 0;
    if (!picture->is_sequential || count < 1 || count > MOST_SCAN_COMPONENTS || end - segment != 4 + 2 * count)
        return JPEG_BAD_SCAN;
    for (int i = 0; i < count; i++) {
        const uint8_t *fields = segment + 1 + 2 * i;
        int index = find_component(frame, picture->component_count, fields[0]);
        int dc = fields[1] >> 4, ac = fields[1] & 15;
        if (index < 0 || seen >> index & 1 || !picture->has_quantisation[frame[3 * index + 2]] || dc >= MOST_TABLES ||
            ac >= MOST_TABLES || !picture->huffman[dc] || !picture->huffman[MOST_TABLES + ac])
            return JPEG_BAD_SCAN;
        seen |= 1 << index;
        if (index != i || index >= MOST_COMPONENTS) {
            picture->is_other = 1;
        } else {
            picture->components[index].dc_table = dc;
            picture->components[index].ac_table = MOST_TABLES + ac;
        }
    }
    const uint8_t *selection = segment + 1 + 2 * count;
    if (selection[0] != 0 || selection[1] != AREA - 1 || selection[2] != 0 || count != picture->component_count)
        picture->is_other = 1;
    picture->scan_components = count;
    return JPEG_NO_FAULT;
}

/* Whether the three components are Y, Cb and Cr, by the rules that libjpeg has for it; T.81 leaves colours to
 * others. */
static int is_ycc(const Picture *picture)
{
    const Component *components = picture->components;
    if (picture->is_jfif || picture->adobe_transform == 1)
        return 1;
    return picture->adobe_transform < 0 && components[0].identifier == 1 && components[1].identifier == 2 &&
           components[2].identifier == 3;
}

/* B.2.4.4 and B.2.4.6: restart interval, and what applications say of colours and orientation. */
static JpegFault read_other(Picture *picture, int marker, const uint8_t *segment, const uint8_t *end)
{
    size_t size = (size_t)(end - segment);
    if (marker == DRI && size == 2)
        picture->restart_interval = (int)read_16(segment);
    else if (marker == APP0)
        picture->is_jfif = picture->is_jfif || (size >= 14 && !memcmp(segment, "JFIF", 5));
    else if (marker == APP1)
        picture->is_turned = picture->is_turned || is_turned(segment, end);
    else if (marker == APP14 && size >= 12 && !memcmp(segment, "Adobe", 5))
        picture->adobe_transform = segment[11];
    else if (marker == DRI || marker == DNL || marker == DAC)
        picture->is_other = 1;
    else if (marker != COM && (marker < APP0 || marker > APP15))
        return JPEG_NO_PICTURE;
    return JPEG_NO_FAULT;
}

/* Table B.1: whether a marker begins a frame of a kind that is not read here: progressive, lossless, hierarchical,
 * arithmetic. */
static int is_other_frame(int marker)
{
    return marker > SOF1 && marker <= SOF15 && marker != DHT && marker != JPG && marker != DAC;
}

/* B.2.4, B.2.2: a segment in front of the scan. */
static JpegFault read_segment(Picture *picture, int marker, const uint8_t *segment, const uint8_t *end)
{
    if (marker == DQT)
        return read_quantisation(picture, segment, end);
    if (marker == DHT)
        return read_huffman(picture, segment, end);
    if (marker == SOF0 || marker == SOF1)
        return read_frame(picture, segment, end);
    return read_other(picture, marker, segment, end);
}

/* B.2.3: coded bytes follow the scan header at once, up to a marker. */
static void start_scan(Picture *picture, const uint8_t *segment, const uint8_t *scan)
{
    picture->fault = read_scan(picture, segment, scan);
    picture->scan = scan;
    picture->has_end = has_end(scan, picture->end);
    picture->is_other = picture->is_other || (picture->component_count == 3 && !is_ycc(picture));
}

/* Table B.1 has more kinds of frames than are read here: the file is no fault, but another decoder's. */
static void leave_to_others(Picture *picture)
{
    picture->fault = JPEG_NO_FAULT;
    picture->is_sequential = 0;
    picture->is_other = 1;
}

/* B.1.1.3: markers that stand alone. B.1.1.2: 0xFF may be repeated in front of a marker. */
static int has_no_length(int marker)
{
    return marker == MARK || marker == TEM || (marker >= RST0 && marker <= RST7);
}

/* B.1.1.4: the marker of a segment is followed by a length that counts itself. Ends at the first scan, a fault, or a
 * frame of another kind. */
void jpeg_read_header(Picture *picture, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    memset(picture, 0, sizeof *picture);
    picture->adobe_transform = -1;
    picture->end = end;
    picture->fault = JPEG_NO_PICTURE;
    if (size < 4 || data[0] != MARK || data[1] != SOI)
        return;
    for (data += 2; end - data >= 4 && data[0] == MARK;) {
        int marker = data[1];
        if (has_no_length(marker)) {
            data += marker == MARK ? 1 : 2;
            continue;
        }
        const uint8_t *segment = data + 4;
        size_t length = read_16(data + 2);
        if (length < 2 || length > (size_t)(end - data) - 2)
            return;
        data += 2 + length;
        if (is_other_frame(marker))
            return leave_to_others(picture);
        if (marker == SOS)
            return start_scan(picture, segment, data);
        JpegFault fault = read_segment(picture, marker, segment, data);
        if (fault) {
            picture->fault = fault;
            return;
        }
    }
}

/* B.2.1: of a file whose frame is read here, the end of the picture must be there too. */
JpegSummary jpeg_check(const uint8_t *data, size_t size)
{
    Picture picture;
    jpeg_read_header(&picture, data, size);
    JpegFault fault = picture.fault;
    if (!fault && picture.is_sequential && !picture.has_end)
        fault = JPEG_CUT_OFF;
    return (JpegSummary){
        .fault = fault,
        .is_sequential = picture.is_sequential,
        .is_plain = picture.is_sequential && !picture.is_turned && picture.component_count != 4 &&
                    picture.scan_components == picture.component_count,
        .precision = picture.precision,
        .component_count = picture.component_count,
        .height = picture.height,
        .width = picture.width,
    };
}

/* Of files that are left to others, or damaged, there is no size; the decoder that gets them finds it. */
JpegResult jpeg_size(const uint8_t *data, size_t size, long *height, long *width)
{
    Picture picture;
    jpeg_read_header(&picture, data, size);
    *height = picture.height;
    *width = picture.width;
    return picture.fault || picture.is_other || picture.is_turned || !picture.has_end ? JPEG_OTHER : JPEG_DONE;
}
