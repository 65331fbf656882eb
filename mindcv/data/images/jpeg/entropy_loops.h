/* Reads blocks of coefficients, or passes them: T.81 F.2.2. In the sets of loops (loops_set.h). */

/* F.2.2.1, EXTEND: a coefficient, not 0, in `bits`. Negative ones have all of their bits turned over. */
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

/* F.2.2.5, NEXTBIT, for many at once: has at least 56 bits ready. */
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

/* F.2.2.1: reads the difference of a DC coefficient to the one before. */
INLINE int read_dc(BitReader *reader, const HuffmanTable *table, int16_t *predicted)
{
    Meaning seen = table->seen[reader->bits >> (64 - LOOK_BITS)];
    if (UNLIKELY(!seen)) {
        seen = jpeg_find_meaning(table, reader->bits);
        if (!seen)
            return -1;
    }
    *predicted = (int16_t)(*predicted + value_or_zero(seen, reader->bits));
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

/* F.2.2.2: reads one coefficient, or two, with the zeros in front, and returns the place of the next one. */
INLINE size_t read_ac(BitReader *reader, const HuffmanTable *table, size_t k, int16_t *block)
{
    Meaning seen = table->seen[reader->bits >> (64 - LOOK_BITS)];
    if (UNLIKELY(!seen)) {
        seen = jpeg_find_meaning(table, reader->bits);
        if (!seen)
            return DAMAGED;
        k += part(seen, PASSED);
        block[jpeg_zigzag[k - 1]] = value_or_zero(seen, reader->bits);
        drop(reader, seen);
        return k;
    }
    /* Without a second one both are put into the same place, and the first one stays. */
    const uint8_t *zigzag = jpeg_zigzag + (k - 1);
    block[zigzag[part(seen, PASSED)]] = value_at(reader->bits, seen >> SECOND_PLACE, seen >> SECOND_SHIFT);
    block[zigzag[part(seen, FIRST_PASSED)]] = value_at(reader->bits, seen >> FIRST_PLACE, seen >> FIRST_SHIFT);
    return take(reader, k, seen);
}

/* The same for coefficients that nobody wants. */
INLINE size_t pass_ac(BitReader *reader, const HuffmanTable *table, size_t k)
{
    Meaning seen = table->seen[reader->bits >> (64 - LOOK_BITS)];
    if (UNLIKELY(!seen)) {
        seen = jpeg_find_meaning(table, reader->bits);
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

/* Reads what is left of a block from its k-th coefficient on, and returns where it has ended. */
INLINE size_t read_rest(BitReader *reader, const HuffmanTable *table, size_t k, int16_t *block)
{
    while (LIKELY(k < AREA)) {
        fill(reader);
        k = read_ac(reader, table, k, block);
        if (k >= AREA)
            break;
        k = read_ac(reader, table, k, block);
    }
    return k;
}

/* The kind of a block by where it has ended, -1 when it is damaged. */
INLINE int kind_of(size_t k)
{
    if (UNLIKELY(!has_ended(k)))
        return -1;
    if (k == AREA || k > CORNER_COEFFICIENTS + 1 + END_OF_BLOCK)
        return WHOLE;
    return k == 2 + END_OF_BLOCK ? FLAT : CORNERED;
}

/* Reads a block whose coefficients are 0 yet: its kind, -1 when it is damaged. */
INLINE int read_block(BitReader *reader, const Component *component, int16_t *predicted, int16_t *block)
{
    fill(reader);
    if (UNLIKELY(read_dc(reader, component->dc, predicted)))
        return -1;
    block[0] = *predicted;
    size_t k = read_ac(reader, component->ac, 1, block);
    return kind_of(read_rest(reader, component->ac, k, block));
}

/* Reads a block of each of two streams; kinds[1] is the second one's. While a look waits for the one before, the other
 * stream goes on. */
INLINE void read_block_pair(BitReader *one, BitReader *other, const Component *component, int16_t *predicted[2],
                            int16_t *blocks[2], int kinds[2])
{
    const HuffmanTable *table = component->ac;
    fill(one);
    fill(other);
    kinds[0] = kinds[1] = -1;
    if (UNLIKELY(read_dc(one, component->dc, predicted[0]) || read_dc(other, component->dc, predicted[1])))
        return;
    blocks[0][0] = *predicted[0];
    blocks[1][0] = *predicted[1];
    size_t k = read_ac(one, table, 1, blocks[0]), other_k = read_ac(other, table, 1, blocks[1]);
    while (LIKELY(k < AREA && other_k < AREA)) {
        fill(one);
        fill(other);
        k = read_ac(one, table, k, blocks[0]);
        other_k = read_ac(other, table, other_k, blocks[1]);
        if (k >= AREA || other_k >= AREA)
            break;
        k = read_ac(one, table, k, blocks[0]);
        other_k = read_ac(other, table, other_k, blocks[1]);
    }
    kinds[0] = kind_of(read_rest(one, table, k, blocks[0]));
    kinds[1] = kind_of(read_rest(other, table, other_k, blocks[1]));
}

/* Passes a block and keeps only its DC coefficient; -1 when it is damaged. */
INLINE int pass_block(BitReader *reader, const Component *component, int16_t *predicted)
{
    const HuffmanTable *table = component->ac;
    fill(reader);
    if (UNLIKELY(read_dc(reader, component->dc, predicted)))
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
INLINE int read_blocks(Stream *stream, const Component *components, int component_count, Block *blocks, int *kinds)
{
    BitReader reader = stream->reader; /* in registers */
    for (int c = 0; c < component_count; c++)
        for (int i = components[c].down * components[c].across; i > 0; i--) {
            *kinds = read_block(&reader, components + c, stream->predicted + c, blocks++->values);
            if (UNLIKELY(*kinds++ < 0))
                return -1;
        }
    stream->reader = reader;
    return 0;
}

/* The same of two streams at once, which have nothing to do with each other. */
INLINE int read_block_pairs(Stream *streams, const Component *components, int component_count,
                            Block blocks[2][MOST_BLOCKS], int kinds[2][MOST_BLOCKS])
{
    BitReader one = streams[0].reader, other = streams[1].reader;
    for (int c = 0, count = 0; c < component_count; c++)
        for (int i = components[c].down * components[c].across; i > 0; i--, count++) {
            int16_t *predicted[2] = {streams[0].predicted + c, streams[1].predicted + c};
            int16_t *values[2] = {blocks[0][count].values, blocks[1][count].values};
            int both[2];
            read_block_pair(&one, &other, components + c, predicted, values, both);
            if (UNLIKELY((both[0] | both[1]) < 0))
                return -1;
            kinds[0][count] = both[0];
            kinds[1][count] = both[1];
        }
    streams[0].reader = one;
    streams[1].reader = other;
    return 0;
}

INLINE int pass_blocks(Stream *stream, const Component *components, int component_count)
{
    BitReader reader = stream->reader;
    for (int c = 0; c < component_count; c++)
        for (int i = components[c].down * components[c].across; i > 0; i--)
            if (UNLIKELY(pass_block(&reader, components + c, stream->predicted + c)))
                return -1;
    stream->reader = reader;
    return 0;
}
