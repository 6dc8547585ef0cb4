/* A wall clock that is set, for one process: LD_PRELOAD this, and RELAY_CLOCK_STEP names a file of eight bytes that holds by how
 * many milliseconds the wall clock is ahead of the machine's. Whoever writes the file sets the clock. The monotonic clock is as
 * it is, and a wait until a time of the wall clock ends when that clock says so, as it does where the machine's own is set. */
#define _GNU_SOURCE
#include <errno.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL
/* How long a wait may sleep before it looks at the clock again. */
#define LOOK (100 * BILLION / 1000)

static const int64_t *ahead_ms;
static int (*machine_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    machine_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("RELAY_CLOCK_STEP");
    if (path == NULL) {
        return;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead_ms, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) {
        perror(path);
        _exit(97);
    }
    close(file);
    ahead_ms = mapped;
}

static int64_t ahead(void) {
    return ahead_ms == NULL ? 0 : __atomic_load_n(ahead_ms, __ATOMIC_RELAXED) * (BILLION / 1000);
}

static int64_t nanoseconds(const struct timespec *time) {
    return time->tv_sec * BILLION + time->tv_nsec;
}

static struct timespec timespec_of(int64_t time) {
    return (struct timespec){.tv_sec = time / BILLION, .tv_nsec = time % BILLION};
}

/* Allocators ask before anything is resolved. */
static int machine(clockid_t clock, struct timespec *time) {
    return machine_clock == NULL ? (int)syscall(SYS_clock_gettime, clock, time) : machine_clock(clock, time);
}

static int64_t now(clockid_t clock) {
    struct timespec time;
    machine(clock, &time);
    return nanoseconds(&time) + (clock == CLOCK_REALTIME ? ahead() : 0);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = machine(clock, time);
    if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        *time = timespec_of(nanoseconds(time) + ahead());
    }
    return failed;
}

int timespec_get(struct timespec *time, int base) {
    if (base != TIME_UTC) {
        return 0;
    }
    *time = timespec_of(now(CLOCK_REALTIME));
    return base;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    int64_t at = now(CLOCK_REALTIME);
    *time = (struct timeval){.tv_sec = at / BILLION, .tv_usec = at % BILLION / 1000};
    return 0;
}

time_t time(time_t *told) {
    time_t seconds = now(CLOCK_REALTIME) / BILLION;
    if (told != NULL) {
        *told = seconds;
    }
    return seconds;
}

/* librdkafka's queues wait like this; whoever measures by the monotonic clock (Rust does) waits in other ways. A look ends the wait
 * as if somebody had woken it for nothing, which POSIX allows: who waited on here would miss a signal that came between two looks,
 * and with a clock that went back a minute would sleep on a full queue for that minute. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    int64_t left = nanoseconds(until) - now(CLOCK_REALTIME);
    if (left <= 0) {
        return ETIMEDOUT;
    }
    struct timespec look = timespec_of(now(CLOCK_MONOTONIC) + (left < LOOK ? left : LOOK));
    int woken = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &look);
    if (woken != ETIMEDOUT) {
        return woken;
    }
    return nanoseconds(until) <= now(CLOCK_REALTIME) ? ETIMEDOUT : 0;
}
