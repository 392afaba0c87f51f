/* Records what a process does to the files below one folder: preloaded into it (LD_PRELOAD).

Every operation that has succeeded is appended to a log: one line, then its bytes. `disk.py` reads it. Operations and their
records are in the same order, except that a sync is recorded when it begins and when it has ended: writes meanwhile
may or may not be part of it. RECORDED_FOLDER is absolute and real; RECORD_LOG is outside of it. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MOST_FILES 4096

static char root[PATH_MAX];
static size_t root_length;
static int log_file = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { char is_tracked, is_folder, is_mapped; ino_t inode; char name[256]; } files[MOST_FILES];

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("RECORDED_FOLDER"), *log = getenv("RECORD_LOG");
    if (!folder || !log) return;
    root_length = strlen(strcpy(root, folder));
    log_file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void record(const void *data, size_t size, const char *format, ...) {
    char head[2 * PATH_MAX + 100];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int length = snprintf(head, sizeof head, "%lld ", now.tv_sec * 1000000000LL + now.tv_nsec);
    va_list values;
    va_start(values, format);
    length += vsnprintf(head + length, sizeof head - length, format, values);
    va_end(values);
    length += snprintf(head + length, sizeof head - length, "\t%zu\n", size);
    struct iovec parts[2] = {{head, length}, {(void *)data, size}};
    syscall(SYS_writev, log_file, parts, size ? 2 : 1);
}

/* Write the name of a path relative to the folder; return whether it is in it. The folder itself is "". */
static int name_of(int folder, const char *path, char *name) {
    char full[PATH_MAX], parent[PATH_MAX], real_parent[PATH_MAX];
    if (log_file < 0 || !path) return 0;
    if (path[0] == '/') snprintf(full, sizeof full, "%s", path);
    else {
        char base[PATH_MAX];
        if (folder == AT_FDCWD) { if (!getcwd(base, sizeof base)) return 0; }
        else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length < 0) return 0;
            base[length] = 0;
        }
        if (snprintf(full, sizeof full, "%s/%s", base, path) >= (int)sizeof full) return 0;
    }
    size_t length = strlen(full);
    while (length > 1 && full[length - 1] == '/') full[--length] = 0;
    char *last = strrchr(full, '/');
    snprintf(parent, sizeof parent, "%.*s", (int)(last == full ? 1 : last - full), full);
    if (!realpath(parent, real_parent)) return 0;
    char whole[2 * PATH_MAX];
    snprintf(whole, sizeof whole, "%s/%s", strcmp(real_parent, "/") ? real_parent : "", last + 1);
    if (strncmp(whole, root, root_length)) return 0;
    if (!whole[root_length]) { name[0] = 0; return 1; }
    if (whole[root_length] != '/') return 0;
    snprintf(name, 256, "%s", whole + root_length + 1);
    return 1;
}

static int is_tracked(int file) { return file >= 0 && file < MOST_FILES && files[file].is_tracked; }

static void snapshot(int file) {
    struct stat found;
    if (fstat(file, &found) || found.st_size > 1 << 26) return;
    char *content = malloc(found.st_size + 1);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int reader = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
    if (reader >= 0) {
        ssize_t size = pread(reader, content, found.st_size, 0);
        if (size >= 0) record(content, size, "whole\t%lu", (unsigned long)found.st_ino);
        syscall(SYS_close, reader);
    }
    free(content);
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char name[256];
    int there = name_of(folder, path, name);
    if (!there) return syscall(SYS_openat, folder, path, flags | O_LARGEFILE, mode);
    pthread_mutex_lock(&lock);
    struct stat before, found;
    int was_there = !fstatat(folder, path, &before, 0);
    int file = syscall(SYS_openat, folder, path, flags | O_LARGEFILE, mode), problem = errno;
    if (file >= 0 && file < MOST_FILES && !fstat(file, &found)) {
        files[file].is_tracked = 1;
        files[file].is_folder = S_ISDIR(found.st_mode);
        files[file].is_mapped = 0;
        files[file].inode = found.st_ino;
        strcpy(files[file].name, name);
        if (!files[file].is_folder && !was_there) record(0, 0, "create\t%lu\t%s", (unsigned long)found.st_ino, name);
        else if (flags & O_TRUNC) record(0, 0, "size\t%lu\t0", (unsigned long)found.st_ino);
    }
    pthread_mutex_unlock(&lock);
    errno = problem;
    return file;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int file) {
    if (is_tracked(file)) files[file].is_tracked = 0;
    return syscall(SYS_close, file);
}

/* Writes: the place is where the file's position was, or is at the end if it only appends. */
static ssize_t written(int file, const struct iovec *parts, int count, off_t at, int has_place) {
    if (!is_tracked(file))
        return has_place ? syscall(SYS_pwritev, file, parts, count, at, 0) : syscall(SYS_writev, file, parts, count);
    pthread_mutex_lock(&lock);
    ssize_t size = has_place ? syscall(SYS_pwritev, file, parts, count, at, 0) : syscall(SYS_writev, file, parts, count);
    int problem = errno;
    if (size > 0) {
        if (!has_place) at = lseek(file, 0, SEEK_CUR) - size;
        char *data = malloc(size);
        size_t done = 0;
        for (int part = 0; part < count && done < (size_t)size; part++) {
            size_t some = parts[part].iov_len < size - done ? parts[part].iov_len : size - done;
            memcpy(data + done, parts[part].iov_base, some);
            done += some;
        }
        record(data, size, "write\t%lu\t%lld", (unsigned long)files[file].inode, (long long)at);
        free(data);
    }
    pthread_mutex_unlock(&lock);
    errno = problem;
    return size;
}

ssize_t write(int file, const void *data, size_t size) {
    if (!is_tracked(file)) return syscall(SYS_write, file, data, size);
    struct iovec part = {(void *)data, size};
    return written(file, &part, 1, 0, 0);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    struct iovec part = {(void *)data, size};
    return written(file, &part, 1, at, 1);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) { return pwrite(file, data, size, at); }
ssize_t writev(int file, const struct iovec *parts, int count) {
    if (!is_tracked(file)) return syscall(SYS_writev, file, parts, count);
    return written(file, parts, count, 0, 0);
}
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) { return written(file, parts, count, at, 1); }
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) { return written(file, parts, count, at, 1); }

/* What is rare is recorded by reading the whole file after it. */
#define THEN_WHOLE(file, call) \
    if (!is_tracked(file)) return call; \
    pthread_mutex_lock(&lock); \
    __typeof__(call) result = call; \
    int problem = errno; \
    snapshot(file); \
    pthread_mutex_unlock(&lock); \
    errno = problem; \
    return result

ssize_t sendfile(int to, int from, off_t *at, size_t size) { THEN_WHOLE(to, syscall(SYS_sendfile, to, from, at, size)); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) { THEN_WHOLE(to, syscall(SYS_sendfile, to, from, at, size)); }
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags) {
    THEN_WHOLE(to, syscall(SYS_copy_file_range, from, at, to, there, size, flags));
}
int fallocate(int file, int mode, off_t at, off_t size) { THEN_WHOLE(file, (int)syscall(SYS_fallocate, file, mode, at, size)); }
int fallocate64(int file, int mode, off64_t at, off64_t size) { return fallocate(file, mode, at, size); }
int posix_fallocate(int file, off_t at, off_t size) {
    THEN_WHOLE(file, syscall(SYS_fallocate, file, 0, at, size) ? errno : 0);
}
int posix_fallocate64(int file, off64_t at, off64_t size) { return posix_fallocate(file, at, size); }

int ftruncate(int file, off_t size) {
    if (!is_tracked(file)) return syscall(SYS_ftruncate, file, size);
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_ftruncate, file, size), problem = errno;
    if (!result) record(0, 0, "size\t%lu\t%lld", (unsigned long)files[file].inode, (long long)size);
    pthread_mutex_unlock(&lock);
    errno = problem;
    return result;
}
int ftruncate64(int file, off64_t size) { return ftruncate(file, size); }

/* A page that is mapped is changed without a call: its file is read whenever it is synced. */
void *mmap64(void *at, size_t size, int protection, int flags, int file, off64_t place) {
    if (is_tracked(file) && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
        pthread_mutex_lock(&lock);
        files[file].is_mapped = 1;
        record(0, 0, "map\t%lu", (unsigned long)files[file].inode);
        pthread_mutex_unlock(&lock);
    }
    return (void *)syscall(SYS_mmap, at, size, protection, flags, file, place);
}
void *mmap(void *at, size_t size, int protection, int flags, int file, off_t place) {
    return mmap64(at, size, protection, flags, file, place);
}

static int synced(int file, long call) {
    if (!is_tracked(file)) return syscall(call, file);
    pthread_mutex_lock(&lock);
    unsigned long inode = files[file].inode;
    int is_folder = files[file].is_folder;
    static unsigned long last;
    unsigned long number = ++last;
    if (files[file].is_mapped) snapshot(file);
    if (is_folder) record(0, 0, "begin\t%d-%lu\tfolder\t%s", getpid(), number, files[file].name);
    else record(0, 0, "begin\t%d-%lu\tfile\t%lu", getpid(), number, inode);
    pthread_mutex_unlock(&lock);
    int result = syscall(call, file), problem = errno;
    pthread_mutex_lock(&lock);
    if (!result) record(0, 0, "end\t%d-%lu", getpid(), number);
    pthread_mutex_unlock(&lock);
    errno = problem;
    return result;
}
int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

#define NAMED(call, ...) \
    if (!there) return call; \
    pthread_mutex_lock(&lock); \
    int result = call, problem = errno; \
    if (!result) record(0, 0, __VA_ARGS__); \
    pthread_mutex_unlock(&lock); \
    errno = problem; \
    return result

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    char name[256], other[256];
    int there = name_of(from, old, name) & name_of(to, new, other);
    NAMED(syscall(SYS_renameat2, from, old, to, new, flags), "rename\t%s\t%s", name, other);
}
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    char name[256], other[256];
    int there = name_of(from, old, name) & name_of(to, new, other);
    NAMED(syscall(SYS_linkat, from, old, to, new, flags), "link\t%s\t%s", name, other);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
int unlinkat(int folder, const char *path, int flags) {
    char name[256];
    int there = name_of(folder, path, name);
    NAMED(syscall(SYS_unlinkat, folder, path, flags), "unlink\t%s", name);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int folder, const char *path, mode_t mode) {
    char name[256];
    int there = name_of(folder, path, name);
    NAMED(syscall(SYS_mkdirat, folder, path, mode), "mkdir\t%s", name);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
