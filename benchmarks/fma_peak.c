/* Most 32-bit floating-point operations a second that x86 cores can do: chains of fused multiply-adds in registers.
 *
 *     gcc -O3 -funroll-all-loops -march=native -pthread benchmarks/fma_peak.c -o /tmp/fma_peak && /tmp/fma_peak 2
 *
 * The argument is the number of threads; the best of five runs is printed.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LANES = 16, CHAINS = 12, MOST_THREADS = 256 };
static const long ROUNDS = 50000000;

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));

static void *run(void *sum)
{
    Vector chains[CHAINS], factor = (Vector){0} + 0.999f, term = (Vector){0} + 1e-3f;
    for (int i = 0; i < CHAINS; i++)
        chains[i] = (Vector){0} + (float)i; /* different ones, or the compiler makes them one */
    for (long round = 0; round < ROUNDS; round++)
        for (int i = 0; i < CHAINS; i++)
            chains[i] = chains[i] * factor + term;
    for (int i = 0; i < CHAINS; i++)
        *(float *)sum += chains[i][0]; /* so that nothing is left out */
    return NULL;
}

int main(int count, char **arguments)
{
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    if (threads < 1 || threads > MOST_THREADS)
        return fprintf(stderr, "the number of threads must be 1 to %d\n", MOST_THREADS), 2;
    double best = 0;
    for (int repeat = 0; repeat < 5; repeat++) {
        pthread_t workers[MOST_THREADS];
        float sums[MOST_THREADS] = {0};
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int i = 0; i < threads; i++)
            pthread_create(workers + i, NULL, run, sums + i);
        for (int i = 0; i < threads; i++)
            pthread_join(workers[i], NULL);
        clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
        double speed = 2.0 * LANES * CHAINS * (double)ROUNDS * threads / seconds;
        best = speed > best ? speed : best;
    }
    printf("%d threads: %.1f GFLOP/s\n", threads, best / 1e9);
    return 0;
}
