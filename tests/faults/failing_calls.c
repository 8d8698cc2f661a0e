/* Let calls of the C library fail, as those of a broken disk or a lost server do.

   Loaded with LD_PRELOAD. Each line of the file that $FAILING_CALLS names has a call, an error
   number and the beginning of a path: while it is there, that call fails on such paths. Each
   failure adds a byte to the file of the same name with ".count". */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) static __typeof__(name) *next; if (!next) next = dlsym(RTLD_NEXT, #name)

static int raw_open(const char *path, int flags) {
    return syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static int fails(const char *call, const char *path) {
    const char *rules = getenv("FAILING_CALLS");
    char text[4096], name[32], prefix[PATH_MAX], count[PATH_MAX];
    int saved = errno, number = 0, found = 0, file = rules ? raw_open(rules, O_RDONLY) : -1;
    if (file >= 0) {
        ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
        syscall(SYS_close, file);
        text[length > 0 ? length : 0] = 0;
        for (char *rest = text, *line; (line = strsep(&rest, "\n")) && !found;)
            found = sscanf(line, "%31s %d %4095s", name, &number, prefix) == 3
                && !strcmp(name, call) && !strncmp(path, prefix, strlen(prefix));
    }
    if (found) {
        snprintf(count, sizeof count, "%s.count", rules);
        if ((file = raw_open(count, O_WRONLY | O_CREAT | O_APPEND)) >= 0) {
            syscall(SYS_write, file, "x", 1);
            syscall(SYS_close, file);
        }
    }
    errno = found ? number : saved;
    return found;
}

static int fails_open(const char *call, int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    return fails(call, path);
}

/* The path that a name in an open directory has, or the file behind an entry in /proc. */
static const char *whole(int folder, const char *name, char *path) {
    char link[64];
    int is_entry = !strncmp(name, "/proc/self/fd/", 14);
    if (!is_entry && (folder == AT_FDCWD || name[0] == '/')) return name;
    if (is_entry) snprintf(link, sizeof link, "%.60s", name);
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    length = length > 0 ? length : 0;
    path[length] = 0;
    if (!is_entry) snprintf(path + length, PATH_MAX - length, "/%s", name);
    return path;
}

/* O_PATH only looks up a name, and a directory is opened through /proc to list it. */
static int fails_opening(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    if (flags & O_PATH || (flags & O_DIRECTORY && !strncmp(name, "/proc/self/fd/", 14))) return 0;
    return fails("open", whole(folder, name, path));
}

#define OPEN(name) int name(const char *path, int flags, ...) { \
    NEXT(name); va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
    return fails_opening(AT_FDCWD, path, flags) ? -1 : next(path, flags, mode); }
OPEN(open)
OPEN(open64)

#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { \
    NEXT(name); va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
    return fails_opening(folder, path, flags) ? -1 : next(folder, path, flags, mode); }
OPENAT(openat)
OPENAT(openat64)

#define READ(name, offset_t) ssize_t name(int file, void *into, size_t size, offset_t at) { \
    NEXT(name); if (fails_open("read", file) || (at >= 4096 && fails_open("page", file))) return -1; \
    return next(file, into, size, at); }
READ(pread, off_t)
READ(pread64, off64_t)

ssize_t read(int file, void *into, size_t size) {
    NEXT(read); return fails_open("read", file) ? -1 : next(file, into, size);
}

#define WRITE(name, offset_t) ssize_t name(int file, const void *from, size_t size, offset_t at) { \
    NEXT(name); return fails_open("write", file) ? -1 : next(file, from, size, at); }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)

ssize_t write(int file, const void *from, size_t size) {
    NEXT(write); return fails_open("write", file) ? -1 : next(file, from, size);
}

int fsync(int file) { NEXT(fsync); return fails_open("fsync", file) ? -1 : next(file); }

int fdatasync(int file) { NEXT(fdatasync); return fails_open("fsync", file) ? -1 : next(file); }

int link(const char *from, const char *to) {
    NEXT(link); return fails("link", from) ? -1 : next(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    NEXT(linkat); char path[PATH_MAX];
    if (fails("link", whole(from_folder, from, path))) return -1;
    return next(from_folder, from, to_folder, to, flags);
}

DIR *opendir(const char *path) {
    NEXT(opendir); return fails("list", path) ? NULL : next(path);
}

DIR *fdopendir(int folder) {
    NEXT(fdopendir); return fails_open("list", folder) ? NULL : next(folder);
}

#define LOOK(name, status) int name(const char *path, struct status *found) { \
    NEXT(name); return fails("look", path) ? -1 : next(path, found); }
LOOK(stat, stat)
LOOK(stat64, stat64)
LOOK(lstat, stat)
LOOK(lstat64, stat64)

#define LOOKAT(name, status) \
    int name(int folder, const char *path, struct status *found, int flags) { \
    NEXT(name); char whole_path[PATH_MAX]; \
    if (fails("look", whole(folder, path, whole_path))) return -1; \
    return next(folder, path, found, flags); }
LOOKAT(fstatat, stat)
LOOKAT(fstatat64, stat64)

int access(const char *path, int mode) {
    NEXT(access); return fails("look", path) ? -1 : next(path, mode);
}
