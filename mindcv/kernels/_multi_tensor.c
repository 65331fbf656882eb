/* What a training step does to lists of tensors, each of them in one call: norms, sums, copies and the optimizers'
 * updates.
 *
 * MindSpore calls a function with pointers to its inputs and then its outputs, for each the number of dimensions, the
 * shape and the name of the type. What a function changes are inputs too: parameters, which keep their memory. It
 * returns 0, or what MindSpore reports as an error.
 *
 * Tensors are worked on in chunks, by as many threads as there are processors. A sum is taken over each chunk and then
 * over the chunks in their order, and products are not contracted into sums, so results depend neither on the number of
 * threads nor on the processor.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Code for the processor at hand is chosen when the library is loaded, where the compiler can. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define FOR_PROCESSORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_PROCESSORS
#endif
#define API __attribute__((visibility("default")))

/* Changes with what the functions take, here and in mindcv/kernels/__init__.py, which uses no library of another
 * number. */
API extern const int interface;
const int interface = 4;

/* CHUNK: values of a tensor that are worked on at once; those of four tensors fit the second cache.
 * FEW: fewer values are not worth a thread. WHOLE: a parameter of so many values is LAMB's work for one thread. */
enum { CHUNK = 8192, FEW = 16 * CHUNK, WHOLE = 1 << 20, MOST_THREADS = 16, MOST_STATES = 4 };

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
    return !strcmp(name, "float32")    ? FLOAT32
           : !strcmp(name, "float16")  ? FLOAT16
           : !strcmp(name, "bfloat16") ? BFLOAT16
                                       : OTHER;
}

/* Bytes of a value; 0: not known. */
static size_t width_of(const Arguments *a, int index)
{
    static const struct {
        const char *name;
        size_t width;
    } widths[] = {{"float32", 4}, {"float16", 2}, {"bfloat16", 2}, {"int32", 4},
                  {"int64", 8},   {"bool", 1},    {"float64", 8}};
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
    size_t count, values;
    Chunk *chunks;
    double *sums, *other_sums; /* of each chunk */
    size_t *begins;            /* the first chunk of each tensor, and the end of the last one's */
} Chunks;

/* The chunks of `count` tensors from argument `first` on; NULL in `chunks` where there is no memory. */
static Chunks chunks_of(const Arguments *a, int first, int count)
{
    Chunks all = {0};
    size_t room = 1;
    for (int t = 0; t < count; t++)
        room += (size_of(a, first + t) + CHUNK - 1) / CHUNK;
    all.chunks = malloc(room * (sizeof(Chunk) + 2 * sizeof(double)) + ((size_t)count + 1) * sizeof(size_t));
    if (!all.chunks)
        return all;
    all.sums = (double *)(all.chunks + room);
    all.other_sums = all.sums + room;
    all.begins = (size_t *)(all.other_sums + room);
    for (int t = 0; t < count; t++) {
        size_t size = size_of(a, first + t);
        all.values += size;
        all.begins[t] = all.count;
        for (size_t begin = 0; begin < size; begin += CHUNK)
            all.chunks[all.count++] = (Chunk){t, begin, size - begin < CHUNK ? size - begin : CHUNK};
    }
    all.begins[count] = all.count;
    return all;
}

typedef void (*Work)(void *context, size_t item);

typedef struct {
    Work work;
    void *context;
    size_t items;
    atomic_size_t next;
} Job;

static void *work_on(void *argument)
{
    Job *job = argument;
    for (;;) {
        size_t item = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (item >= job->items)
            return NULL;
        job->work(job->context, item);
    }
}

static int count_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return count < MOST_THREADS ? count : MOST_THREADS;
}

/* Does the work for each of the items, which have so many values together. Threads are started for each call: that
 * takes some 20 microseconds, and leaves nothing behind that a fork of the process would lose. */
static void run(size_t items, size_t values, Work work, void *context)
{
    Job job = {.work = work, .context = context, .items = items};
    atomic_init(&job.next, 0);
    pthread_t threads[MOST_THREADS];
    int wanted = values > FEW ? count_processors() - 1 : 0, started = 0;
    while (started < wanted && !pthread_create(threads + started, NULL, work_on, &job))
        started++;
    work_on(&job);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

static double sum_of(const double *sums, size_t begin, size_t end)
{
    double sum = 0;
    for (size_t i = begin; i < end; i++)
        sum += sums[i];
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

/* Sums are taken side by side, in vectors of the same length on all processors. */
typedef float Floats __attribute__((vector_size(32)));
typedef double Doubles __attribute__((vector_size(64)));
enum { LANES = sizeof(Floats) / sizeof(float), VECTORS = 4 };

#define AS_DOUBLES(place)                                     \
    ({                                                        \
        Floats floats;                                        \
        memcpy(&floats, place, sizeof floats);                \
        __builtin_convertvector(floats, Doubles);             \
    })

FOR_PROCESSORS
static double sum_of_squares(const float *x, size_t size)
{
    Doubles a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + VECTORS * LANES <= size; i += VECTORS * LANES) {
        Doubles p = AS_DOUBLES(x + i), q = AS_DOUBLES(x + i + LANES);
        Doubles r = AS_DOUBLES(x + i + 2 * LANES), s = AS_DOUBLES(x + i + 3 * LANES);
        a += p * p;
        b += q * q;
        c += r * r;
        d += s * s;
    }
    a += b + c + d;
    double sum = 0;
    for (int j = 0; j < LANES; j++)
        sum += a[j];
    for (; i < size; i++)
        sum += (double)x[i] * (double)x[i];
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
    int first, second;
    float factor;
    Chunks all;
} Lists;

static void square(void *context, size_t item)
{
    const Lists *lists = context;
    const Chunk *chunk = lists->all.chunks + item;
    float room[CHUNK];
    int index = lists->first + chunk->tensor;
    const float *x = as_floats(lists->a->data[index], type_of(lists->a, index), chunk->begin, chunk->size, room);
    lists->all.sums[item] = sum_of_squares(x, chunk->size);
}

static int norm_of(const Arguments *a, int first, int count, float *norm)
{
    for (int i = first; i < first + count; i++)
        if (type_of(a, i) == OTHER)
            return WRONG_TYPE;
    Lists lists = {.a = a, .first = first, .all = chunks_of(a, first, count)};
    if (!lists.all.chunks)
        return NO_MEMORY;
    run(lists.all.count, lists.all.values, square, &lists);
    *norm = (float)sqrt(sum_of(lists.all.sums, 0, lists.all.count));
    free(lists.all.chunks);
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

static void accumulate_chunk(void *context, size_t item)
{
    const Lists *lists = context;
    const Chunk *chunk = lists->all.chunks + item;
    float room[CHUNK];
    int index = lists->second + chunk->tensor;
    float *sum = (float *)lists->a->data[lists->first + chunk->tensor] + chunk->begin;
    const float *x = as_floats(lists->a->data[index], type_of(lists->a, index), chunk->begin, chunk->size, room);
    add_scaled(sum, lists->factor, x, chunk->size);
    lists->all.sums[item] = sum_of_squares(sum, chunk->size);
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
    Lists lists = {
        .a = &a, .first = 1, .second = 1 + pairs, .factor = *(float *)data[0], .all = chunks_of(&a, 1, pairs)};
    if (!lists.all.chunks)
        return NO_MEMORY;
    run(lists.all.count, lists.all.values, accumulate_chunk, &lists);
    *(float *)data[count - 1] = (float)sqrt(sum_of(lists.all.sums, 0, lists.all.count));
    free(lists.all.chunks);
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
 * (changed), share of the parameters in their averages (0: those stay), gradients, parameters, states, sums to clear,
 * averages of the parameters, other averages, what those are averages of. mindcv/optim/multi_tensor.py says what is in
 * the first two.
 */

typedef enum { MOMENTUM, NESTEROV, ADAM, NESTEROV_ADAM, ADAMW, LAMB, NADAM, ADAN, LION, RMSPROP, ADAGRAD, KINDS } Kind;

/* States of a parameter, by kind. */
static const int states_of[KINDS] = {1, 1, 2, 2, 2, 2, 2, 4, 1, 2, 1};

/* Places in the layout; those of the parameters' groups and of whether they are decayed come behind. */
enum { AT_KIND, AT_PARAMETERS, AT_GROUPS, AT_CLEARED, AT_AVERAGED, AT_OTHERS, AT_GROUP_OF };
/* Places in the hyper-parameters; those of the kind come behind. */
enum { AT_SCALE, AT_OWN_LARGEST, AT_LARGEST, AT_FIRST, HYPERS = AT_FIRST + 4 };
/* Places of inputs; learning rates, one for each group, begin behind them, and the lists behind those. */
enum { LAYOUT, HYPER, STEP, DECAYS, DIVISOR, NORM, IS_WANTED, SCHEDULE, SHARE, RATES };

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

/* LAMB: the way to go with a rate of 1. `s.correction[0]` has the corrections of both moments. */
#define LAMB_DIRECTION(i) (s.correction[0] * m[i] / (sqrtf(v[i]) + s.epsilon) + s.decay * p[i])

FOR_PROCESSORS
static void lamb_moments(Scalars s, size_t size, const float *restrict g, const float *restrict p, float *restrict m,
                         float *restrict v, float *restrict direction)
{
    EACH(i) {
        MOVE_MOMENTS(g[i] * s.factor);
        direction[i] = LAMB_DIRECTION(i);
    }
}

/* The same way, which is found once more: to keep it would take more memory to write and read than that. */
FOR_PROCESSORS
static void lamb(Scalars s, float rate, size_t size, float *restrict p, const float *restrict m,
                 const float *restrict v)
{
    EACH(i)
        p[i] -= rate * LAMB_DIRECTION(i);
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
    Chunks all;       /* of the parameters; of the other averages in the end */
    int whole;        /* LAMB: the parameter that all threads work on */
    float whole_rate; /* its learning rate */
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
    if (u->is_averaged && u->is_wanted && u->share != 0)
        move_average(at(u, u->averages, chunk), u->share, at(u, u->first, chunk), chunk->size);
}

static void finish_chunk(void *context, size_t item)
{
    const Update *u = context;
    finish(u, u->all.chunks + item);
}

static const float *gradient_of(const Update *u, const Chunk *chunk, float *room)
{
    int index = u->gradients + chunk->tensor;
    return as_floats(u->a->data[index], type_of(u->a, index), chunk->begin, chunk->size, room);
}

static void update_chunk(void *context, size_t item)
{
    const Update *u = context;
    const Chunk *chunk = u->all.chunks + item;
    float room[CHUNK], *state[MOST_STATES], *p = at(u, u->first, chunk);
    const float *g = gradient_of(u, chunk, room);
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
    case LAMB: /* run_lamb */
    case KINDS: return;
    }
    finish(u, chunk);
}

/* LAMB's first half of a chunk, and the sums that its trust ratio is of. */
static void direct_chunk(const Update *u, size_t item)
{
    const Chunk *chunk = u->all.chunks + item;
    float room[CHUNK], direction[CHUNK], *p = at(u, u->first, chunk);
    lamb_moments(scalars_of(u, chunk->tensor), chunk->size, gradient_of(u, chunk, room), p, at(u, u->states, chunk),
                 at(u, u->states + u->parameters, chunk), direction);
    u->all.sums[item] = sum_of_squares(p, chunk->size);
    u->all.other_sums[item] = sum_of_squares(direction, chunk->size);
}

static void descend_chunk(const Update *u, size_t item, float rate)
{
    const Chunk *chunk = u->all.chunks + item;
    lamb(scalars_of(u, chunk->tensor), rate, chunk->size, at(u, u->first, chunk), at(u, u->states, chunk),
         at(u, u->states + u->parameters, chunk));
    finish(u, chunk);
}

/* The learning rate of a parameter times its trust ratio, which is 1 where a norm is 0. */
static float trusted_rate(const Update *u, int tensor)
{
    size_t begin = u->all.begins[tensor], end = u->all.begins[tensor + 1];
    double square = sum_of(u->all.sums, begin, end), direction_square = sum_of(u->all.other_sums, begin, end);
    double ratio = square > 0 && direction_square > 0 ? sqrt(square / direction_square) : 1;
    return (float)(scalars_of(u, tensor).rate * ratio);
}

static size_t values_of(const Update *u, int tensor)
{
    return size_of(u->a, u->first + tensor);
}

static void direct_part(void *context, size_t item)
{
    const Update *u = context;
    direct_chunk(u, u->all.begins[u->whole] + item);
}

/* Backwards: what the first half came to last is in the cache. */
static void descend_part(void *context, size_t item)
{
    const Update *u = context;
    descend_chunk(u, u->all.begins[u->whole + 1] - 1 - item, u->whole_rate);
}

static void update_whole(void *context, size_t item)
{
    const Update *u = context;
    int tensor = (int)item;
    if (values_of(u, tensor) > WHOLE)
        return;
    size_t begin = u->all.begins[tensor], end = u->all.begins[tensor + 1];
    for (size_t i = begin; i < end; i++)
        direct_chunk(u, i);
    float rate = trusted_rate(u, tensor);
    for (size_t i = end; i-- > begin;)
        descend_chunk(u, i, rate);
}

/* Large parameters one by one, by all threads; the others by one thread each, which finds their values in the cache
 * when it comes to the second half. */
static void run_lamb(Update *u)
{
    for (u->whole = 0; u->whole < u->parameters; u->whole++) {
        size_t values = values_of(u, u->whole), chunks = u->all.begins[u->whole + 1] - u->all.begins[u->whole];
        if (values <= WHOLE)
            continue;
        run(chunks, values, direct_part, u);
        u->whole_rate = trusted_rate(u, u->whole);
        run(chunks, values, descend_part, u);
    }
    run((size_t)u->parameters, u->all.values, update_whole, u);
}

static void average_chunk(void *context, size_t item)
{
    const Update *u = context;
    const Chunk *chunk = u->all.chunks + item;
    if (type_of(u->a, u->averaged + chunk->tensor) == FLOAT32)
        move_average(at(u, u->other_averages, chunk), u->share, at(u, u->averaged, chunk), chunk->size);
}

/* Averages of what is not updated: floats by chunks; whole numbers are copied. */
static int average_others(Update *u)
{
    free(u->all.chunks);
    u->all = chunks_of(u->a, u->averaged, u->others);
    if (!u->all.chunks)
        return NO_MEMORY;
    run(u->all.count, u->all.values, average_chunk, u);
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

static int apply(Update *u)
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
    u->share = *(float *)a->data[SHARE];
    *step += 1;
    if (u->kind == LAMB)
        run_lamb(u);
    else
        run(u->all.count, u->all.values, update_chunk, u);
    return u->others && u->share != 0 ? average_others(u) : FINE;
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
    u.all = chunks_of(&a, u.first, u.parameters);
    u.scalars = malloc((size_t)(2 * u.groups) * sizeof *u.scalars);
    if (!u.all.chunks || !u.scalars)
        wrong = NO_MEMORY;
    else if (u.is_wanted)
        wrong = apply(&u);
    else if (u.is_cleared)
        run(u.all.count, u.all.values, finish_chunk, &u);
    free(u.scalars);
    free(u.all.chunks);
    return wrong;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14; before, it is refused and nothing happens */
#endif

/* How much the heap grows at once while `populate` runs: each growth waits for the kernel's work on pages, up to 4
 * ms. */
enum { USUAL_GROWTH = 128 << 10, LARGE_GROWTH = 64 << 20 };

static void grow_heap_by(int bytes)
{
#ifdef __GLIBC__
    mallopt(M_TOP_PAD, bytes);
#else
    (void)bytes;
#endif
}

/* To be called before `populate`, by the thread that goes on meanwhile. */
API void prepare_populate(void)
{
    grow_heap_by(LARGE_GROWTH);
}

/* Gives ranges of memory their pages without changing what is in them, so that a thread that has nothing else to do
 * takes the page faults of the first step. In small pieces, between which other threads get memory of their own. */
API void populate(int count, const uintptr_t *starts, const size_t *sizes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), piece = 1 << 17;
    for (int i = 0; i < count; i++) {
        uintptr_t end = (starts[i] + sizes[i] + page - 1) & ~(page - 1);
        for (uintptr_t start = starts[i] & ~(page - 1); start < end; start += piece)
            if (madvise((void *)start, end - start < piece ? end - start : piece, MADV_POPULATE_WRITE) != 0)
                break;
    }
    grow_heap_by(USUAL_GROWTH);
}

/* ---- files of a folder, for the key of a compiled graph (mindcv/kernels/folders.py) */

typedef struct { char *data; size_t size, room; } Text;

/* Room for so many bytes at the end; NULL without memory. */
static char *grow(Text *text, size_t more)
{
    if (text->size + more > text->room) {
        size_t room = 2 * (text->size + more);
        char *data = realloc(text->data, room);
        if (!data)
            return NULL;
        text->data = data;
        text->room = room;
    }
    return text->data + text->size;
}

static int put(Text *text, const char *bytes, size_t size)
{
    char *end = grow(text, size);
    if (!end)
        return -1;
    memcpy(end, bytes, size);
    text->size += size;
    return 0;
}

static int put_contents(Text *text, int handle, size_t size)
{
    char *end = grow(text, size + 1);
    if (!end)
        return -1;
    size_t done = 0;
    for (ssize_t count; (count = read(handle, end + done, size + 1 - done)) != 0; done += (size_t)count)
        if (count < 0 || done + (size_t)count > size)
            return -1; /* it grew meanwhile */
    text->size += size;
    return done == size ? 0 : -1;
}

/* `from`: where the part of the path begins that names the file. */
static int put_file(Text *text, const char *path, size_t from, int reads)
{
    struct stat status;
    char line[64];
    int handle = reads ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (reads ? handle < 0 || fstat(handle, &status) : stat(path, &status)) {
        if (handle >= 0)
            close(handle);
        return -1;
    }
    long long size = status.st_size, time = (long long)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    int length =
        reads ? snprintf(line, sizeof line, " %lld\n", size) : snprintf(line, sizeof line, " %lld %lld\n", size, time);
    int failed = put(text, path + from, strlen(path + from)) || put(text, line, (size_t)length) ||
                 (reads && put_contents(text, handle, (size_t)size));
    if (handle >= 0)
        close(handle);
    return failed ? -1 : 0;
}

static int ends_with(const char *name, const char *endings)
{
    size_t length = strlen(name);
    for (size_t size; (size = strlen(endings)) > 0; endings += size + 1)
        if (length >= size && !memcmp(name + length - size, endings, size))
            return 1;
    return 0;
}

static int by_bytes(const struct dirent **one, const struct dirent **other)
{
    return strcmp((*one)->d_name, (*other)->d_name);
}

static int put_folder(Text *text, const char *folder, size_t from, const char *endings, int reads)
{
    struct dirent **entries;
    int failed = 0, count = scandir(folder, &entries, NULL, by_bytes);
    if (count < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char path[4096];
        int is_long = snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path;
        int is_folder = entries[i]->d_type == DT_DIR;
        struct stat status;
        if (entries[i]->d_type == DT_UNKNOWN && !lstat(path, &status))
            is_folder = S_ISDIR(status.st_mode);
        if (!failed && strcmp(name, ".") && strcmp(name, "..") && (is_folder || ends_with(name, endings)))
            failed = is_long ||
                     (is_folder ? put_folder(text, path, from, endings, reads) : put_file(text, path, from, reads));
        free(entries[i]);
    }
    free(entries);
    return failed ? -1 : 0;
}

/* Files of a folder and those below whose names end so (texts one behind the other, and an empty one): path and size of
 * each, and its contents or time. Returns the text, to be freed by `free_text`, and its size; NULL where something
 * cannot be read. */
API char *folder_text(const char *folder, const char *endings, int reads, size_t *size)
{
    Text text = {NULL, 0, 0};
    if (!grow(&text, 1 << 20) || put_folder(&text, folder, strlen(folder) + 1, endings, reads)) {
        free(text.data);
        return NULL;
    }
    *size = text.size;
    return text.data;
}

API void free_text(char *text)
{
    free(text);
}
