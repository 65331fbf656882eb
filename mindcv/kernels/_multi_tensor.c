/* What a training step does to lists of tensors, each of them in one call: norms, sums, copies and the optimizers' updates.
 *
 * MindSpore calls a function with pointers to its inputs and then its outputs, for each the number of dimensions, the shape
 * and the name of the type. What a function changes are inputs too: parameters, which keep their memory. It returns 0, or
 * what MindSpore reports as an error.
 *
 * Tensors are worked on in chunks, by as many threads as there are processors. A sum is taken over each chunk and then over
 * the chunks in their order, and products are not contracted into sums, so results depend neither on the number of threads
 * nor on the processor.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Code for the processor at hand is chosen when the library is loaded, where the compiler can. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define FOR_PROCESSORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_PROCESSORS
#endif
#define API __attribute__((visibility("default")))

/* CHUNK: values of a tensor that are worked on at once; those of four tensors fit the second cache.
 * FEW_CHUNKS: fewer are not worth a thread. LANES: sums that are taken side by side. */
enum { CHUNK = 8192, FEW_CHUNKS = 16, MOST_THREADS = 16, LANES = 16, MOST_STATES = 4 };

enum { FINE = 0, WRONG_INPUTS = 1, WRONG_TYPE = 2, NO_MEMORY = 3 };

typedef enum { FLOAT32, FLOAT16, BFLOAT16, OTHER } Type;

/* What MindSpore calls a function with. */
typedef struct {
    int count;
    void **data;
    int *ndims;
    int64_t **shapes;
    const char **dtypes;
} Arguments;

static size_t size_of(const Arguments *a, int index)
{
    size_t size = 1;
    for (int i = 0; i < a->ndims[index]; i++)
        size *= (size_t)a->shapes[index][i];
    return size;
}

static Type type_of(const Arguments *a, int index)
{
    const char *name = a->dtypes[index];
    return !strcmp(name, "float32") ? FLOAT32 : !strcmp(name, "float16") ? FLOAT16 : !strcmp(name, "bfloat16") ? BFLOAT16 : OTHER;
}

/* Bytes of a value; 0: not known. */
static size_t width_of(const Arguments *a, int index)
{
    static const struct {
        const char *name;
        size_t width;
    } widths[] = {{"float32", 4}, {"float16", 2}, {"bfloat16", 2}, {"int32", 4}, {"int64", 8}, {"bool", 1}, {"float64", 8}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (!strcmp(a->dtypes[index], widths[i].name))
            return widths[i].width;
    return 0;
}

static int are_float32(const Arguments *a, int begin, int end)
{
    for (int i = begin; i < end; i++)
        if (type_of(a, i) != FLOAT32)
            return 0;
    return 1;
}

static int are_of_one_size(const Arguments *a, int one, int other, int count)
{
    for (int i = 0; i < count; i++)
        if (size_of(a, one + i) != size_of(a, other + i))
            return 0;
    return 1;
}

/* ---- Chunks and threads ---- */

typedef struct {
    int tensor;
    size_t begin, size;
} Chunk;

typedef struct {
    size_t count;
    Chunk *chunks;
    double *sums; /* two for each chunk */
} Chunks;

/* The chunks of `count` tensors from argument `first` on; NULL in `chunks` where there is no memory. */
static Chunks chunks_of(const Arguments *a, int first, int count)
{
    Chunks all = {0, NULL, NULL};
    size_t room = 1;
    for (int t = 0; t < count; t++)
        room += (size_of(a, first + t) + CHUNK - 1) / CHUNK;
    all.chunks = malloc(room * (sizeof *all.chunks + 2 * sizeof *all.sums));
    if (!all.chunks)
        return all;
    all.sums = (double *)(all.chunks + room);
    for (int t = 0; t < count; t++) {
        size_t size = size_of(a, first + t);
        for (size_t begin = 0; begin < size; begin += CHUNK)
            all.chunks[all.count++] = (Chunk){t, begin, size - begin < CHUNK ? size - begin : CHUNK};
    }
    return all;
}

typedef void (*Work)(void *context, const Chunk *chunk, double *sums);

typedef struct {
    Work work;
    void *context;
    const Chunks *all;
    size_t end;
    atomic_size_t next;
} Job;

static void *work_on(void *argument)
{
    Job *job = argument;
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (i >= job->end)
            return NULL;
        job->work(job->context, job->all->chunks + i, job->all->sums + 2 * i);
    }
}

static int count_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return count < MOST_THREADS ? count : MOST_THREADS;
}

/* Does the work for chunks from `begin` to `end`. Threads are started for each call: that takes some 20 microseconds, and
 * leaves nothing behind that a fork of the process would lose. */
static void run(const Chunks *all, size_t begin, size_t end, Work work, void *context)
{
    Job job = {.work = work, .context = context, .all = all, .end = end};
    atomic_init(&job.next, begin);
    pthread_t threads[MOST_THREADS];
    int wanted = end - begin > FEW_CHUNKS ? count_processors() - 1 : 0, started = 0;
    while (started < wanted && !pthread_create(threads + started, NULL, work_on, &job))
        started++;
    work_on(&job);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

static void run_all(const Chunks *all, Work work, void *context)
{
    run(all, 0, all->count, work, context);
}

static double total(const Chunks *all)
{
    double sum = 0;
    for (size_t i = 0; i < all->count; i++)
        sum += all->sums[2 * i];
    return sum;
}

/* ---- Loops over values ---- */

static float float_of_half(uint16_t half)
{
    union {
        uint32_t bits;
        float value;
    } out, magic = {.bits = 113u << 23};
    uint32_t exponent = (half & 0x7c00u) << 13;
    out.bits = (half & 0x7fffu) << 13;
    out.bits += (127u - 15u) << 23;
    if (exponent == 0x7c00u << 13) {
        out.bits += (128u - 16u) << 23; /* infinity and NaN */
    } else if (exponent == 0) {
        out.bits += 1u << 23; /* zero and subnormals */
        out.value -= magic.value;
    }
    out.bits |= (uint32_t)(half & 0x8000u) << 16;
    return out.value;
}

/* Values as floats: where they are, or in `room` when they are of another type. */
static const float *as_floats(const void *data, Type type, size_t begin, size_t size, float *room)
{
    if (type == FLOAT32)
        return (const float *)data + begin;
    const uint16_t *narrow = (const uint16_t *)data + begin;
    for (size_t i = 0; i < size; i++) {
        if (type == FLOAT16) {
            room[i] = float_of_half(narrow[i]);
        } else {
            uint32_t bits = (uint32_t)narrow[i] << 16;
            memcpy(room + i, &bits, sizeof bits);
        }
    }
    return room;
}

FOR_PROCESSORS
static double sum_of_squares(const float *x, size_t size)
{
    double lanes[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= size; i += LANES)
        for (int j = 0; j < LANES; j++)
            lanes[j] += (double)x[i + j] * (double)x[i + j];
    for (int j = 0; i < size; i++, j++)
        lanes[j] += (double)x[i] * (double)x[i];
    for (int j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

FOR_PROCESSORS
static void add_scaled(float *restrict sum, float factor, const float *restrict x, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum[i] += factor * x[i];
}

/* ---- norm(x...) -> the norm of all values together ---- */

typedef struct {
    const Arguments *a;
    int first, second, count;
    float factor;
} Lists;

static void square(void *context, const Chunk *chunk, double *sums)
{
    const Lists *lists = context;
    float room[CHUNK];
    int index = lists->first + chunk->tensor;
    sums[0] = sum_of_squares(as_floats(lists->a->data[index], type_of(lists->a, index), chunk->begin, chunk->size, room),
                             chunk->size);
}

static int norm_of(const Arguments *a, int first, int count, float *norm)
{
    Lists lists = {.a = a, .first = first, .count = count};
    for (int i = first; i < first + count; i++)
        if (type_of(a, i) == OTHER)
            return WRONG_TYPE;
    Chunks all = chunks_of(a, first, count);
    if (!all.chunks)
        return NO_MEMORY;
    run_all(&all, square, &lists);
    *norm = (float)sqrt(total(&all));
    free(all.chunks);
    return FINE;
}

API int norm(int count, void **data, int *ndims, int64_t **shapes, const char **dtypes, void *stream, void *extra)
{
    (void)stream, (void)extra;
    Arguments a = {count, data, ndims, shapes, dtypes};
    if (count < 2 || !are_float32(&a, count - 1, count))
        return WRONG_INPUTS;
    return norm_of(&a, 0, count - 1, data[count - 1]);
}

/* ---- accumulate(factor, sums..., x...) -> the norm of the sums: sum += factor * x ---- */

static void accumulate_chunk(void *context, const Chunk *chunk, double *sums)
{
    const Lists *lists = context;
    float room[CHUNK];
    int index = lists->second + chunk->tensor;
    float *sum = (float *)lists->a->data[lists->first + chunk->tensor] + chunk->begin;
    const float *x = as_floats(lists->a->data[index], type_of(lists->a, index), chunk->begin, chunk->size, room);
    add_scaled(sum, lists->factor, x, chunk->size);
    sums[0] = sum_of_squares(sum, chunk->size);
}

API int accumulate(int count, void **data, int *ndims, int64_t **shapes, const char **dtypes, void *stream, void *extra)
{
    (void)stream, (void)extra;
    Arguments a = {count, data, ndims, shapes, dtypes};
    int pairs = (count - 2) / 2;
    if (count < 4 || count % 2 || !are_float32(&a, 0, 1 + pairs) || !are_float32(&a, count - 1, count) ||
        !are_of_one_size(&a, 1, 1 + pairs, pairs))
        return WRONG_INPUTS;
    for (int i = 1 + pairs; i < count - 1; i++)
        if (type_of(&a, i) == OTHER)
            return WRONG_TYPE;
    Lists lists = {.a = &a, .first = 1, .second = 1 + pairs, .count = pairs, .factor = *(float *)data[0]};
    Chunks all = chunks_of(&a, 1, pairs);
    if (!all.chunks)
        return NO_MEMORY;
    run_all(&all, accumulate_chunk, &lists);
    *(float *)data[count - 1] = (float)sqrt(total(&all));
    free(all.chunks);
    return FINE;
}

/* ---- copy(is_wanted, targets..., sources...) -> is_wanted: target = source where is_wanted is not 0 ---- */

API int copy(int count, void **data, int *ndims, int64_t **shapes, const char **dtypes, void *stream, void *extra)
{
    (void)stream, (void)extra;
    Arguments a = {count, data, ndims, shapes, dtypes};
    int pairs = (count - 2) / 2;
    if (count < 4 || count % 2 || !are_float32(&a, 0, 1) || !are_float32(&a, count - 1, count) ||
        !are_of_one_size(&a, 1, 1 + pairs, pairs))
        return WRONG_INPUTS;
    float is_wanted = *(float *)data[0];
    *(float *)data[count - 1] = is_wanted;
    for (int i = 1; i <= pairs; i++) {
        if (strcmp(dtypes[i], dtypes[pairs + i]) || !width_of(&a, i))
            return WRONG_TYPE;
        if (is_wanted != 0)
            memcpy(data[i], data[pairs + i], size_of(&a, i) * width_of(&a, i));
    }
    return FINE;
}
