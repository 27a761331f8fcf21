/*
 * A shim in front of the C library for bench/faults: makes one file operation fail, or the clock jump. Preloaded with
 * LD_PRELOAD; configured by environment variables:
 *   APOLLO_FAULT_PREFIX   only paths that start with it count
 *   APOLLO_FAULT_OP       open, write, fsync, rename, mkdir or unlink
 *   APOLLO_FAULT_AT       which call of that kind fails, from 1; 0: none, all are counted
 *   APOLLO_FAULT_ERRNO    the errno; 0: a short write of half the bytes; -1: SIGKILL before the operation
 *   APOLLO_FAULT_LASTING  1: all later calls of that kind fail as well, as on a full disk
 *   APOLLO_FAULT_COUNT    a file that gets the number of calls when the process ends
 *   APOLLO_FAULT_CLOCK    seconds by which the wall clock jumps after one second
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *prefix, *operation;
static int target, failure, lasting;
static volatile int calls;

__attribute__((constructor)) static void setup(void) {
  prefix = getenv("APOLLO_FAULT_PREFIX");
  operation = getenv("APOLLO_FAULT_OP");
  const char *at = getenv("APOLLO_FAULT_AT"), *number = getenv("APOLLO_FAULT_ERRNO"), *all = getenv("APOLLO_FAULT_LASTING");
  target = at ? atoi(at) : 0;
  failure = number ? atoi(number) : 0;
  lasting = all && atoi(all);
}

__attribute__((destructor)) static void report(void) {
  const char *path = getenv("APOLLO_FAULT_COUNT");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%d\n", calls);
  fclose(file);
}

static int counted(const char *name, const char *path) {
  if (!operation || strcmp(operation, name) || !prefix || !path || strncmp(path, prefix, strlen(prefix))) return 0;
  int call = __sync_add_and_fetch(&calls, 1);
  int chosen = target > 0 && (call == target || (lasting && call > target));
  if (chosen && failure < 0) kill(getpid(), SIGKILL);
  return chosen;
}

static const char *path_of(int fd, char *buffer, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, buffer, size - 1);
  if (length < 0) return NULL;
  buffer[length] = 0;
  return buffer;
}

static int fd_counted(const char *name, int fd) {
  char buffer[4096];
  return operation && !strcmp(operation, name) && counted(name, path_of(fd, buffer, sizeof buffer));
}

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

#define OPEN(name)                                                        \
  int name(const char *path, int flags, ...) {                            \
    va_list list;                                                         \
    va_start(list, flags);                                                \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, mode_t) : 0; \
    va_end(list);                                                         \
    if (writes(flags) && counted("open", path)) {                         \
      errno = failure;                                                    \
      return -1;                                                          \
    }                                                                     \
    return REAL(int, name, const char *, int, ...)(path, flags, mode);    \
  }
OPEN(open)
OPEN(open64)

static ssize_t failed_write(size_t size, int *is_short) {
  *is_short = failure == 0 && size > 1;
  if (*is_short) return 0;
  errno = failure ? failure : ENOSPC;
  return -1;
}

ssize_t write(int fd, const void *data, size_t size) {
  int is_short = 0;
  if (fd > 2 && fd_counted("write", fd) && (failed_write(size, &is_short), !is_short)) return -1;
  return REAL(ssize_t, write, int, const void *, size_t)(fd, data, is_short ? size / 2 : size);
}

#define PWRITE(name)                                                                                   \
  ssize_t name(int fd, const void *data, size_t size, off_t place) {                                   \
    int is_short = 0;                                                                                  \
    if (fd_counted("write", fd) && (failed_write(size, &is_short), !is_short)) return -1;              \
    return REAL(ssize_t, name, int, const void *, size_t, off_t)(fd, data, is_short ? size / 2 : size, place); \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t writev(int fd, const struct iovec *list, int count) {
  int is_short = 0;
  if (fd > 2 && fd_counted("write", fd) && (failed_write(2, &is_short), !is_short)) return -1;
  return REAL(ssize_t, writev, int, const struct iovec *, int)(fd, list, is_short ? (count + 1) / 2 : count);
}

#define SYNC(name)                             \
  int name(int fd) {                           \
    if (fd_counted("fsync", fd)) {             \
      errno = failure ? failure : EIO;         \
      return -1;                               \
    }                                          \
    return REAL(int, name, int)(fd);           \
  }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
  if (counted("rename", to)) {
    errno = failure ? failure : EIO;
    return -1;
  }
  return REAL(int, rename, const char *, const char *)(from, to);
}

int mkdir(const char *path, mode_t mode) {
  if (counted("mkdir", path)) {
    errno = failure ? failure : EIO;
    return -1;
  }
  return REAL(int, mkdir, const char *, mode_t)(path, mode);
}

int unlink(const char *path) {
  if (counted("unlink", path)) {
    errno = failure ? failure : EIO;
    return -1;
  }
  return REAL(int, unlink, const char *)(path);
}

/* The wall clock jumps once, one second after the process first asked for it. */
static long jumped(long seconds) {
  static long first;
  const char *jump = getenv("APOLLO_FAULT_CLOCK");
  if (!jump) return seconds;
  if (first == 0) first = seconds;
  return seconds > first ? seconds + atol(jump) : seconds;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = REAL(int, clock_gettime, clockid_t, struct timespec *)(clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec = jumped(time->tv_sec);
  return result;
}

int gettimeofday(struct timeval *time, void *zone) {
  int result = REAL(int, gettimeofday, struct timeval *, void *)(time, zone);
  if (result == 0) time->tv_sec = jumped(time->tv_sec);
  return result;
}
