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
INLINE int read_dc(BitReader *reader, Component *component)
{
    Meaning seen = component->dc->seen[reader->bits >> (64 - LOOK_BITS)];
    if (UNLIKELY(!seen)) {
        seen = jpeg_find_meaning(component->dc, reader->bits);
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

/* Reads a block whose coefficients are 0 yet: its kind, -1 when it is damaged. */
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
    if (k == AREA || k > CORNER_COEFFICIENTS + 1 + END_OF_BLOCK)
        return WHOLE;
    return k == 2 + END_OF_BLOCK ? FLAT : CORNERED;
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
INLINE int read_blocks(BitReader *shared, Component *components, int component_count, Block *blocks, int *kinds)
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

INLINE int pass_blocks(BitReader *shared, Component *components, int component_count)
{
    BitReader reader = *shared;
    for (int c = 0; c < component_count; c++)
        for (int i = components[c].down * components[c].across; i > 0; i--)
            if (UNLIKELY(pass_block(&reader, components + c)))
                return -1;
    *shared = reader;
    return 0;
}
