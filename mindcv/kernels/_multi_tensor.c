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

/* ---- update(...) -> 1 where parameters were updated, 0 where they were not wanted to be ----
 *
 * Inputs: layout, hyper-parameters, step (changed), learning rates, weight decays, divisor, norm, is_wanted, schedule
 * (changed), updates of the average (changed), gradients, parameters, states, sums to clear, averages of the parameters,
 * other averages, what those are averages of. mindcv/optim/multi_tensor.py says what is in the first two.
 */

typedef enum { MOMENTUM, NESTEROV, ADAM, NESTEROV_ADAM, ADAMW, LAMB, NADAM, ADAN, LION, RMSPROP, ADAGRAD, KINDS } Kind;

/* States of a parameter, by kind. */
static const int states_of[KINDS] = {1, 1, 2, 2, 2, 2, 2, 4, 1, 2, 1};

/* Places in the layout; those of the parameters' groups and of whether they are decayed come behind. */
enum { AT_KIND, AT_PARAMETERS, AT_GROUPS, AT_CLEARED, AT_AVERAGED, AT_OTHERS, AT_GROUP_OF };
/* Places in the hyper-parameters; those of the kind come behind. */
enum { AT_SCALE, AT_OWN_LARGEST, AT_LARGEST, AT_AVERAGE_DECAY, AT_FIRST, HYPERS = AT_FIRST + 4 };
/* Places of inputs; learning rates, one for each group, begin behind them, and the lists behind those. */
enum { LAYOUT, HYPER, STEP, DECAYS, DIVISOR, NORM, IS_WANTED, SCHEDULE, AVERAGE_UPDATES, RATES };

/* The decay of the average rises to its value, as upstream's: d * (1 - exp(-updates / 2000)). */
static const float AVERAGE_WARMUP = 2000.0f;

/* What is the same for all values of a parameter. */
typedef struct {
    float factor;     /* of gradients */
    float rate;       /* the learning rate */
    float decay;      /* the weight decay; 0 where there is none */
    float shrinkage;  /* rate * decay */
    float momentum, epsilon;
    float beta[3], rest[3]; /* rest: 1 - beta */
    float correction[3];    /* 1 - beta^step */
    float part[2];          /* NAdam: of the moment and of the gradient */
    float later;            /* Adan: 0 in the first step, then 1 */
} Scalars;

#define EACH(i) for (size_t i = 0; i < size; i++)
#define L2_GRADIENT(i) (g[i] * s.factor + s.decay * p[i])
/* Moments as MindSpore's Adam moves them. */
#define MOVE_MOMENTS(gradient)                    \
    float d = gradient;                           \
    m[i] += (d - m[i]) * s.rest[0];               \
    v[i] += (d * d - v[i]) * s.rest[1]

FOR_PROCESSORS
static void momentum(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict m)
{
    EACH(i) {
        m[i] = m[i] * s.momentum + L2_GRADIENT(i);
        p[i] -= s.rate * m[i];
    }
}

FOR_PROCESSORS
static void nesterov(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict m)
{
    float ahead = s.rate * s.momentum;
    EACH(i) {
        float d = L2_GRADIENT(i);
        m[i] = m[i] * s.momentum + d;
        p[i] = p[i] - ahead * m[i] - s.rate * d;
    }
}

/* `s.rate` has the corrections of both moments. */
FOR_PROCESSORS
static void adam(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict m,
                 float *restrict v)
{
    EACH(i) {
        MOVE_MOMENTS(L2_GRADIENT(i));
        p[i] -= s.rate * m[i] / (sqrtf(v[i]) + s.epsilon);
    }
}

FOR_PROCESSORS
static void nesterov_adam(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict m,
                          float *restrict v)
{
    EACH(i) {
        MOVE_MOMENTS(L2_GRADIENT(i));
        p[i] -= s.rate * (m[i] * s.beta[0] + d * s.rest[0]) / (sqrtf(v[i]) + s.epsilon);
    }
}

FOR_PROCESSORS
static void adamw(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict m,
                  float *restrict v)
{
    EACH(i) {
        MOVE_MOMENTS(g[i] * s.factor);
        p[i] = p[i] - s.shrinkage * p[i] - s.rate * m[i] / (sqrtf(v[i]) + s.epsilon);
    }
}

FOR_PROCESSORS
static void nadam(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict m,
                  float *restrict v)
{
    EACH(i) {
        float d = g[i] * s.factor;
        m[i] = s.beta[0] * m[i] + s.rest[0] * d;
        v[i] = s.beta[1] * v[i] + s.rest[1] * (d * d);
        float direction = (s.part[0] * m[i] + s.part[1] * d) / (sqrtf(v[i] / s.correction[1]) + s.epsilon);
        p[i] = p[i] - s.shrinkage * p[i] - s.rate * direction;
    }
}

FOR_PROCESSORS
static void adan(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict m,
                 float *restrict v, float *restrict n, float *restrict previous)
{
    EACH(i) {
        float d = g[i] * s.factor;
        float difference = s.later * (d - previous[i]);
        float ahead = d + s.beta[1] * difference;
        m[i] = s.beta[0] * m[i] + s.rest[0] * d;
        v[i] = s.beta[1] * v[i] + s.rest[1] * difference;
        n[i] = s.beta[2] * n[i] + s.rest[2] * (ahead * ahead);
        previous[i] = d;
        float direction = (m[i] / s.correction[0] + s.beta[1] * v[i] / s.correction[1]) /
                          (sqrtf(n[i] / s.correction[2]) + s.epsilon);
        p[i] = (p[i] - s.rate * direction) / (1.0f + s.shrinkage);
    }
}

FOR_PROCESSORS
static void lion(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict m)
{
    EACH(i) {
        float d = g[i] * s.factor;
        float direction = s.beta[0] * m[i] + s.rest[0] * d;
        float sign = direction > 0 ? 1.0f : direction < 0 ? -1.0f : direction; /* NaN stays */
        m[i] = s.beta[1] * m[i] + s.rest[1] * d;
        p[i] = p[i] - s.shrinkage * p[i] - s.rate * sign;
    }
}

FOR_PROCESSORS
static void rmsprop(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict square,
                    float *restrict m)
{
    EACH(i) {
        float d = L2_GRADIENT(i);
        square[i] += (d * d - square[i]) * s.rest[0];
        m[i] = m[i] * s.momentum + s.rate * d / sqrtf(square[i] + s.epsilon);
        p[i] -= m[i];
    }
}

FOR_PROCESSORS
static void adagrad(Scalars s, size_t size, const float *restrict g, float *restrict p, float *restrict square)
{
    EACH(i) {
        float d = L2_GRADIENT(i);
        square[i] += d * d;
        p[i] -= s.rate * (d / (sqrtf(square[i]) + s.epsilon));
    }
}

/* Both moments, and the way that Adam would go with a rate of 1; `s.later` has the corrections of both moments. */
FOR_PROCESSORS
static void lamb_moments(Scalars s, size_t size, const float *restrict g, float *restrict m, float *restrict v)
{
    EACH(i) {
        MOVE_MOMENTS(g[i] * s.factor);
    }
}

FOR_PROCESSORS
static void lamb_direction(Scalars s, size_t size, const float *restrict p, const float *restrict m,
                           const float *restrict v, float *restrict direction)
{
    EACH(i)
        direction[i] = s.correction[0] * m[i] / (sqrtf(v[i]) + s.epsilon) + s.decay * p[i];
}

FOR_PROCESSORS
static void move_average(float *restrict average, float share, const float *restrict x, size_t size)
{
    EACH(i)
        average[i] -= share * (average[i] - x[i]);
}

typedef struct {
    const Arguments *a;
    Kind kind;
    int parameters, groups, is_cleared, is_averaged, others;
    int gradients, first, states, cleared, averages, other_averages, averaged; /* where lists begin */
    const int64_t *group_of, *is_decayed;
    int is_wanted;
    float share;      /* of a parameter in its average */
    Scalars *scalars; /* of each group, without decay and with it */
    double *trusts;   /* LAMB: rate times ratio, of each parameter */
} Update;

static float *at(const Update *u, int list, const Chunk *chunk)
{
    return (float *)u->a->data[list + chunk->tensor] + chunk->begin;
}

static Scalars scalars_of(const Update *u, int tensor)
{
    return u->scalars[2 * u->group_of[tensor] + u->is_decayed[tensor]];
}

/* What comes behind the update of a chunk. */
static void finish(const Update *u, const Chunk *chunk)
{
    if (u->is_cleared)
        memset(at(u, u->cleared, chunk), 0, chunk->size * sizeof(float));
    if (u->is_averaged && u->is_wanted)
        move_average(at(u, u->averages, chunk), u->share, at(u, u->first, chunk), chunk->size);
}

static void clear_chunk(void *context, const Chunk *chunk, double *sums)
{
    (void)sums;
    finish(context, chunk);
}

static void update_chunk(void *context, const Chunk *chunk, double *sums)
{
    const Update *u = context;
    float room[CHUNK], *state[MOST_STATES], *p = at(u, u->first, chunk);
    int index = u->gradients + chunk->tensor;
    const float *g = as_floats(u->a->data[index], type_of(u->a, index), chunk->begin, chunk->size, room);
    Scalars s = scalars_of(u, chunk->tensor);
    size_t size = chunk->size;
    for (int i = 0; i < states_of[u->kind]; i++)
        state[i] = at(u, u->states + i * u->parameters, chunk);
    switch (u->kind) {
    case MOMENTUM: momentum(s, size, g, p, state[0]); break;
    case NESTEROV: nesterov(s, size, g, p, state[0]); break;
    case ADAM: adam(s, size, g, p, state[0], state[1]); break;
    case NESTEROV_ADAM: nesterov_adam(s, size, g, p, state[0], state[1]); break;
    case ADAMW: adamw(s, size, g, p, state[0], state[1]); break;
    case NADAM: nadam(s, size, g, p, state[0], state[1]); break;
    case ADAN: adan(s, size, g, p, state[0], state[1], state[2], state[3]); break;
    case LION: lion(s, size, g, p, state[0]); break;
    case RMSPROP: rmsprop(s, size, g, p, state[0], state[1]); break;
    case ADAGRAD: adagrad(s, size, g, p, state[0]); break;
    case LAMB:
        lamb_moments(s, size, g, state[0], state[1]);
        lamb_direction(s, size, p, state[0], state[1], room);
        sums[0] = sum_of_squares(p, size);
        sums[1] = sum_of_squares(room, size);
        return;
    case KINDS: return;
    }
    finish(u, chunk);
}

/* LAMB's second half, which needs the norms of whole parameters. */
static void trust_chunk(void *context, const Chunk *chunk, double *sums)
{
    (void)sums;
    const Update *u = context;
    float room[CHUNK], *p = at(u, u->first, chunk);
    lamb_direction(scalars_of(u, chunk->tensor), chunk->size, p, at(u, u->states, chunk),
                   at(u, u->states + u->parameters, chunk), room);
    add_scaled(p, (float)-u->trusts[chunk->tensor], room, chunk->size);
    finish(u, chunk);
}

/* Parameters are taken in batches of about a million values, so that the second half finds them in the cache. */
static int run_lamb(Update *u, const Chunks *all)
{
    u->trusts = malloc((size_t)u->parameters * sizeof *u->trusts + 1);
    if (!u->trusts)
        return NO_MEMORY;
    for (size_t begin = 0, end; begin < all->count; begin = end) {
        for (end = begin; end < all->count;) {
            int tensor = all->chunks[end].tensor;
            while (end < all->count && all->chunks[end].tensor == tensor)
                end++;
            if ((end - begin) * CHUNK >= 1 << 20)
                break;
        }
        run(all, begin, end, update_chunk, u);
        for (size_t i = begin; i < end;) {
            int tensor = all->chunks[i].tensor;
            double parameter = 0, direction = 0;
            for (; i < end && all->chunks[i].tensor == tensor; i++) {
                parameter += all->sums[2 * i];
                direction += all->sums[2 * i + 1];
            }
            double ratio = parameter > 0 && direction > 0 ? sqrt(parameter / direction) : 1;
            u->trusts[tensor] = scalars_of(u, tensor).rate * ratio;
        }
        run(all, begin, end, trust_chunk, u);
    }
    free(u->trusts);
    return FINE;
}

static void average_chunk(void *context, const Chunk *chunk, double *sums)
{
    (void)sums;
    const Update *u = context;
    if (type_of(u->a, u->averaged + chunk->tensor) == FLOAT32)
        move_average(at(u, u->other_averages, chunk), u->share, at(u, u->averaged, chunk), chunk->size);
}

/* Averages of what is not updated: floats by chunks; whole numbers are copied. */
static int average_others(Update *u)
{
    Chunks all = chunks_of(u->a, u->averaged, u->others);
    if (!all.chunks)
        return NO_MEMORY;
    run_all(&all, average_chunk, u);
    free(all.chunks);
    for (int i = 0; i < u->others; i++)
        if (type_of(u->a, u->averaged + i) != FLOAT32)
            memcpy(u->a->data[u->other_averages + i], u->a->data[u->averaged + i],
                   size_of(u->a, u->averaged + i) * width_of(u->a, u->averaged + i));
    return FINE;
}

/* 1 - beta^step, with all digits in the first steps too. */
static double correction(double beta, double step)
{
    return -expm1(step * log(beta > 1e-30 ? beta : 1e-30));
}

static void set_betas(Scalars *s, const double *betas, int count, double step)
{
    for (int i = 0; i < count; i++) {
        s->beta[i] = (float)betas[i];
        s->rest[i] = (float)(1.0 - betas[i]);
        s->correction[i] = (float)correction(betas[i], step);
    }
}

static double nadam_mu(const double *hyper, double step)
{
    return hyper[0] * (1.0 - 0.5 * pow(0.96, step * hyper[3]));
}

/* What a step has for all groups, and their rates: `s` has the factor, and the group's rate and decay. */
static void set_scalars(Scalars *s, Kind kind, const double *hyper, double step, float product)
{
    s->shrinkage = s->rate * s->decay;
    switch (kind) {
    case MOMENTUM:
    case NESTEROV: s->momentum = (float)hyper[0]; break;
    case ADAM:
    case NESTEROV_ADAM:
    case ADAMW:
    case LAMB: {
        /* As MindSpore's Adam: betas are float32, and what is left of 1 follows from that. */
        double betas[2] = {(float)hyper[0], (float)hyper[1]};
        set_betas(s, betas, 2, step);
        double root = sqrt(correction(betas[1], step)), first = correction(betas[0], step);
        s->epsilon = (float)hyper[2];
        if (kind == ADAMW || kind == LAMB)
            s->epsilon = (float)(hyper[2] * root);
        if (kind == LAMB)
            s->correction[0] = (float)(root / first);
        else
            s->rate = (float)(s->rate * root / first);
        break;
    }
    case NADAM: {
        set_betas(s, hyper, 2, step);
        double mu = nadam_mu(hyper, step), next = nadam_mu(hyper, step + 1);
        s->epsilon = (float)hyper[2];
        s->part[0] = (float)(next / (1.0 - product * next));
        s->part[1] = (float)((1.0 - mu) / (1.0 - product));
        break;
    }
    case ADAN:
        set_betas(s, hyper, 3, step);
        s->epsilon = (float)hyper[3];
        s->later = step > 1;
        break;
    case LION: set_betas(s, hyper, 2, step); break;
    case RMSPROP:
        set_betas(s, hyper, 1, step);
        s->rest[0] = 1.0f - s->beta[0];
        s->momentum = (float)hyper[1];
        s->epsilon = (float)hyper[2];
        break;
    case ADAGRAD: s->epsilon = (float)hyper[0]; break;
    case KINDS: break;
    }
}

/* Where lists begin, and whether all inputs are what they should be. */
static int lay_out(Update *u)
{
    const Arguments *a = u->a;
    if (a->count < RATES + 2 || strcmp(a->dtypes[LAYOUT], "int64") || size_of(a, LAYOUT) < AT_GROUP_OF ||
        strcmp(a->dtypes[HYPER], "float64") || size_of(a, HYPER) != HYPERS || strcmp(a->dtypes[STEP], "int32") ||
        !are_float32(a, DECAYS, RATES) || !are_float32(a, a->count - 1, a->count))
        return WRONG_INPUTS;
    const int64_t *layout = a->data[LAYOUT];
    u->kind = (Kind)layout[AT_KIND];
    u->parameters = (int)layout[AT_PARAMETERS];
    u->groups = (int)layout[AT_GROUPS];
    u->is_cleared = (int)layout[AT_CLEARED];
    u->is_averaged = (int)layout[AT_AVERAGED];
    u->others = (int)layout[AT_OTHERS];
    if (layout[AT_KIND] < 0 || layout[AT_KIND] >= KINDS || u->parameters < 1 || u->groups < 1 || u->others < 0 ||
        u->is_cleared >> 1 || u->is_averaged >> 1 ||
        size_of(a, LAYOUT) != (size_t)(AT_GROUP_OF + 2 * layout[AT_PARAMETERS]))
        return WRONG_INPUTS;
    int n = u->parameters;
    u->group_of = layout + AT_GROUP_OF;
    u->is_decayed = u->group_of + n;
    u->gradients = RATES + u->groups;
    u->first = u->gradients + n;
    u->states = u->first + n;
    u->cleared = u->states + states_of[u->kind] * n;
    u->averages = u->cleared + u->is_cleared * n;
    u->other_averages = u->averages + u->is_averaged * n;
    u->averaged = u->other_averages + u->others;
    if (u->averaged + u->others + 1 != a->count || size_of(a, DECAYS) != (size_t)u->groups)
        return WRONG_INPUTS;
    for (int i = 0; i < n; i++)
        if (u->group_of[i] < 0 || u->group_of[i] >= u->groups || u->is_decayed[i] < 0 || u->is_decayed[i] > 1)
            return WRONG_INPUTS;
    for (int list = u->gradients; list < u->other_averages; list += n)
        if (!are_of_one_size(a, u->first, list, n))
            return WRONG_INPUTS;
    if (!are_of_one_size(a, u->other_averages, u->averaged, u->others))
        return WRONG_INPUTS;
    for (int i = u->gradients; i < u->first; i++)
        if (type_of(a, i) == OTHER)
            return WRONG_TYPE;
    if (!are_float32(a, RATES, u->gradients) || !are_float32(a, u->first, u->other_averages))
        return WRONG_TYPE;
    for (int i = 0; i < u->others; i++)
        if (strcmp(a->dtypes[u->other_averages + i], a->dtypes[u->averaged + i]) || !width_of(a, u->averaged + i))
            return WRONG_TYPE;
    return FINE;
}

/* By what gradients are multiplied: they are scaled, and clipped when their norm is larger than it may be. */
static int find_factor(const Update *u, const double *hyper, float *factor)
{
    const Arguments *a = u->a;
    float divisor = *(float *)a->data[DIVISOR], largest = (float)hyper[AT_LARGEST];
    *factor = 1.0f / divisor;
    float norm = *(float *)a->data[NORM] * *factor;
    if (largest > 0 && norm > largest)
        *factor *= largest / norm;
    *factor *= (float)(1.0 / hyper[AT_SCALE]);
    if (hyper[AT_OWN_LARGEST] > 0) {
        int wrong = norm_of(a, u->gradients, u->parameters, &norm);
        if (wrong)
            return wrong;
        norm *= *factor;
        if (norm > (float)hyper[AT_OWN_LARGEST])
            *factor *= (float)hyper[AT_OWN_LARGEST] / norm;
    }
    return FINE;
}

static int apply(Update *u, const Chunks *all)
{
    const Arguments *a = u->a;
    const double *hyper = a->data[HYPER];
    int32_t *step = a->data[STEP];
    double number = *step + 1.0;
    float factor, *schedule = a->data[SCHEDULE];
    int wrong = find_factor(u, hyper, &factor);
    if (wrong)
        return wrong;
    if (u->kind == NADAM)
        *schedule *= (float)nadam_mu(hyper + AT_FIRST, number);
    for (int group = 0; group < u->groups; group++) {
        int64_t last = (int64_t)size_of(a, RATES + group) - 1;
        float rate = ((float *)a->data[RATES + group])[*step < last ? *step : last];
        for (int is_decayed = 0; is_decayed < 2; is_decayed++) {
            float decay = is_decayed ? ((float *)a->data[DECAYS])[group] : 0;
            u->scalars[2 * group + is_decayed] = (Scalars){.factor = factor, .rate = rate, .decay = decay};
            set_scalars(u->scalars + 2 * group + is_decayed, u->kind, hyper + AT_FIRST, number, *schedule);
        }
    }
    if (u->is_averaged || u->others) {
        float *updates = a->data[AVERAGE_UPDATES];
        *updates += 1;
        u->share = 1.0f - (float)hyper[AT_AVERAGE_DECAY] * (1.0f - expf(-*updates / AVERAGE_WARMUP));
    }
    *step += 1;
    if (u->kind == LAMB)
        wrong = run_lamb(u, all);
    else
        run_all(all, update_chunk, u);
    return wrong || !u->others ? wrong : average_others(u);
}

API int update(int count, void **data, int *ndims, int64_t **shapes, const char **dtypes, void *stream, void *extra)
{
    (void)stream, (void)extra;
    Arguments a = {count, data, ndims, shapes, dtypes};
    Update u = {.a = &a};
    int wrong = lay_out(&u);
    if (wrong)
        return wrong;
    u.is_wanted = *(float *)data[IS_WANTED] != 0;
    *(float *)data[count - 1] = (float)u.is_wanted;
    Chunks all = chunks_of(&a, u.first, u.parameters);
    u.scalars = malloc((size_t)(2 * u.groups) * sizeof *u.scalars + 1);
    if (!all.chunks || !u.scalars)
        wrong = NO_MEMORY;
    else if (u.is_wanted)
        wrong = apply(&u, &all);
    else if (u.is_cleared)
        run_all(&all, clear_chunk, &u);
    free(u.scalars);
    free(all.chunks);
    return wrong;
}
