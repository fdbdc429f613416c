/* Preloaded: the wall clock jumps by the seconds in a shared file, at once and for whoever has it mapped.
 *
 * The monotonic clock is left alone, as a real machine's is. Times until which a thread waits are made true again, so
 * that a wait lasts as long as it was meant to; one that is under way when the clock jumps is not cut short. A time
 * before 2001 is none of the wall clock's: who waits by the monotonic clock passes through the same functions.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t none = 0;
static const volatile int64_t *jump = &none;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_cond)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_sem)(sem_t *, const struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("SEGUE_CLOCK_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *map = mmap(NULL, sizeof *jump, PROT_READ, MAP_SHARED, file, 0);
        if (map != MAP_FAILED)
            jump = map;
        close(file);
    }
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_sem = dlsym(RTLD_NEXT, "sem_timedwait");
    real_cond = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2"); /* x86: the older one is another thing */
    if (!real_cond)
        real_cond = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    /* Without it before our constructor ran: by the kernel. */
    int code = real_gettime ? real_gettime(which, now) : (int)syscall(SYS_clock_gettime, which, now);
    if (!code && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += *jump;
    return code;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec fine;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &fine))
        return -1;
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into)
{
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    if (into)
        *into = fine.tv_sec;
    return fine.tv_sec;
}

static struct timespec meant(const struct timespec *until)
{
    struct timespec real = *until;
    if (real.tv_sec > 1000000000)
        real.tv_sec -= *jump;
    return real;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until)
{
    struct timespec real = meant(until);
    return real_cond(cond, mutex, &real);
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict until)
{
    struct timespec real = meant(until);
    return real_sem(sem, &real);
}
