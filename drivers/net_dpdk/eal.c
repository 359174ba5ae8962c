#include "drivers/net_dpdk/eal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

enum {
    ARGUMENTS_MAX = 24 + 2 * EAL_PCI_MAX + EAL_EXTRA_MAX,
    MEMORY_MIB_DEFAULT = 64,
    HUGEPAGE_MIB = 2,
    PAGES_LOCK_TRIES = 300, // of 10 ms
};

#define HUGEPAGES_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

static struct {
    bool started; // by us
    bool is_loud; // the user wants to hear EAL's log
    char line[EAL_LINE_BYTES];
    char mode[EAL_TEXT_BYTES];
    char last_error[EAL_TEXT_BYTES];
    char prefix[64];
    char texts[4][160]; // arguments made here; EAL keeps pointers into argv
    char *argv[ARGUMENTS_MAX];
    int argc;
} eal;

int eal_fail(struct eal_fault *fault, int error, const char *remedy, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->cause, sizeof(fault->cause), format, arguments);
    va_end(arguments);
    snprintf(fault->remedy, sizeof(fault->remedy), "%s", remedy);
    return error;
}

bool eal_is_up(void)
{
    return rte_lcore_count() > 0;
}

const char *eal_line(void)
{
    return eal.started ? eal.line : eal_is_up() ? "(adopted)" : "";
}

const char *eal_mode(void)
{
    return eal.started ? eal.mode : "EAL initialised by the embedding program, adopted as it is";
}

const char *eal_last_error(void)
{
    return eal.last_error;
}

const char *eal_runtime_directory(void)
{
    return eal_is_up() ? rte_eal_get_runtime_dir() : "";
}

static uint64_t number_in(const char *path, const char *label)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    char text[256];
    uint64_t number = 0;
    while (fgets(text, sizeof(text), file) != NULL) {
        size_t skip = strlen(label);
        if (strncmp(text, label, skip) == 0) {
            number = strtoull(text + skip, NULL, 10);
            break;
        }
    }
    fclose(file);
    return number;
}

// EAL writes its run-time files below RUNTIME_DIRECTORY, else below /var/run, which only root may.
static int choose_runtime_directory(struct eal_fault *fault)
{
    if (getenv("RUNTIME_DIRECTORY") != NULL || (geteuid() == 0 && access("/var/run", W_OK) == 0)) {
        return 0;
    }
    const char *base = getenv("XDG_RUNTIME_DIR");
    char path[128];
    if (base != NULL && access(base, W_OK) == 0) {
        snprintf(path, sizeof(path), "%s", base);
    } else {
        snprintf(path, sizeof(path), "/tmp/pontoon-%u", (unsigned)getuid());
        struct stat status;
        if ((mkdir(path, 0700) != 0 && errno != EEXIST) || lstat(path, &status) != 0 ||
            !S_ISDIR(status.st_mode) || status.st_uid != geteuid()) {
            return eal_fail(fault, -EACCES, "set RUNTIME_DIRECTORY to a directory of your own",
                            "no directory for EAL's run-time files: %s is not ours", path);
        }
    }
    return setenv("RUNTIME_DIRECTORY", path, 1) == 0 ? 0 : -errno;
}

// EAL's log, line by line: kept for the report instead of printed.
static ssize_t log_write(void *cookie, const char *text, size_t bytes)
{
    (void)cookie;
    static const char *const marks[] = {"rror", "ail", "annot", "nvalid", "denied", "not enough"};
    size_t line = bytes;
    while (line > 0 && isspace((unsigned char)text[line - 1])) {
        line--;
    }
    if (line >= sizeof(eal.last_error)) {
        line = sizeof(eal.last_error) - 1;
    }
    char copy[sizeof(eal.last_error)];
    memcpy(copy, text, line);
    copy[line] = '\0';
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (strstr(copy, marks[i]) != NULL) {
            memcpy(eal.last_error, copy, line + 1);
            break;
        }
    }
    return (ssize_t)bytes;
}

static bool wants_log(const struct eal_options *options)
{
    for (int i = 0; i < options->extra_count; i++) {
        if (strncmp(options->extra[i], "--log-level", 11) == 0) {
            return true; // whoever asks for EAL's log gets it where EAL puts it
        }
    }
    return false;
}

static void capture_log(void)
{
    FILE *log = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_write});
    if (log != NULL) {
        setvbuf(log, NULL, _IOLBF, 512);
        rte_openlog_stream(log);
    }
}

static void add(const char *argument)
{
    eal.argv[eal.argc++] = (char *)(uintptr_t)argument;
}

static void add_pair(const char *option, const char *value)
{
    add(option);
    add(value);
}

// "0@(0,1,5)": lcore 0 may run on every CPU that the process may use.
static void floating_lcore(char *text, size_t size)
{
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof(allowed), &allowed);
    size_t at = (size_t)snprintf(text, size, "0@(");
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && at + 8 < size; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            at +=
                (size_t)snprintf(text + at, size - at, "%s%u", text[at - 1] == '(' ? "" : ",", cpu);
        }
    }
    snprintf(text + at, size - at, ")");
}

// rte_eal_init cannot be tried a second time in a process: pages that it was promised must be
// there. The kernel's own file is locked, for it is the same one for every user and namespace.
int eal_pages_lock(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    int fd = open(HUGEPAGES_FREE, O_RDONLY | O_CLOEXEC);
    for (int tries = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && tries < PAGES_LOCK_TRIES;
         tries++) {
        nanosleep(&pause, NULL);
    }
    return fd;
}

void eal_pages_unlock(int lock)
{
    if (lock >= 0) {
        close(lock);
    }
}

static int choose_memory(const struct eal_options *options, uint32_t memory_mib,
                         struct eal_fault *fault)
{
    uint64_t free_mib = number_in(HUGEPAGES_FREE, "") * HUGEPAGE_MIB;
    uint32_t ordinary_mib = options->ordinary_mib > memory_mib ? options->ordinary_mib : memory_mib;
    uint32_t pages = (memory_mib + HUGEPAGE_MIB - 1) / HUGEPAGE_MIB;
    if (free_mib >= memory_mib && !options->hugepages_forbidden) {
        add("--in-memory");
        snprintf(eal.texts[1], sizeof(eal.texts[1]), "%u", memory_mib);
        snprintf(eal.mode, sizeof(eal.mode),
                 "hugepages: %u MiB of %llu MiB free 2 MiB pages, held in memory only", memory_mib,
                 (unsigned long long)free_mib);
        return 0;
    }
    uint64_t available_mib = number_in("/proc/meminfo", "MemAvailable:") / 1024;
    if (available_mib != 0 && available_mib < ordinary_mib) {
        return eal_fail(fault, -ENOMEM, "lower the number of buffers, or free memory",
                        "%u MiB of memory are needed and %llu MiB are available", ordinary_mib,
                        (unsigned long long)available_mib);
    }
    add("--no-huge");
    snprintf(eal.texts[1], sizeof(eal.texts[1]), "%u", ordinary_mib);
    add("--no-shconf");
    snprintf(eal.mode, sizeof(eal.mode),
             "ordinary pages: %u MiB (%s); costs address translation time, mend with: hugeadm "
             "--pool-pages-min 2MB:%u",
             ordinary_mib,
             options->hugepages_forbidden ? "hugepages switched off" : "not enough hugepages free",
             pages);
    return 0;
}

static int build_line(const struct eal_options *options, const char *const *pci, uint32_t pci_count,
                      struct eal_fault *fault)
{
    uint32_t memory_mib = options->memory_mib == 0 ? MEMORY_MIB_DEFAULT : options->memory_mib;
    if (options->extra_count > EAL_EXTRA_MAX || pci_count > EAL_PCI_MAX) {
        return eal_fail(fault, -E2BIG, "leave some out", "more than %d EAL arguments",
                        EAL_EXTRA_MAX);
    }
    eal.argc = 0;
    add("pontoon");
    if (options->file_prefix != NULL) {
        snprintf(eal.prefix, sizeof(eal.prefix), "%s", options->file_prefix);
    } else {
        snprintf(eal.prefix, sizeof(eal.prefix), "pontoon-%d", (int)getpid());
    }
    floating_lcore(eal.texts[0], sizeof(eal.texts[0]));
    if (options->lcores != NULL) {
        snprintf(eal.texts[0], sizeof(eal.texts[0]), "%s", options->lcores);
    }
    add_pair("--lcores", eal.texts[0]);
    add_pair("--file-prefix", eal.prefix);
    add_pair("-m", eal.texts[1]);
    int result = choose_memory(options, memory_mib, fault);
    if (result != 0) {
        return result;
    }
    if (pci_count == 0) {
        add("--no-pci");
    }
    for (uint32_t i = 0; i < pci_count; i++) {
        add_pair("-a", pci[i]);
    }
    for (int i = 0; i < options->extra_count; i++) {
        add(options->extra[i]);
    }
    size_t at = 0;
    for (int i = 0; i < eal.argc && at < sizeof(eal.line); i++) {
        at += (size_t)snprintf(eal.line + at, sizeof(eal.line) - at, "%s%s", i == 0 ? "" : " ",
                               eal.argv[i]);
    }
    return 0;
}

// Points `fd` at /dev/null. Result: a copy of what it was, -1: left alone.
static int mute(int fd)
{
    int saved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (saved >= 0 && null >= 0) {
        dup2(null, fd);
    }
    if (null >= 0) {
        close(null);
    }
    return saved;
}

static void unmute(int fd, int saved)
{
    if (saved >= 0) {
        dup2(saved, fd);
        close(saved);
    }
}

void eal_hush(struct eal_hush *hush)
{
    fflush(stdout);
    hush->out = eal.is_loud ? -1 : mute(STDOUT_FILENO);
    hush->err = eal.is_loud ? -1 : mute(STDERR_FILENO);
}

void eal_unhush(struct eal_hush *hush)
{
    fflush(stdout);
    unmute(STDOUT_FILENO, hush->out);
    unmute(STDERR_FILENO, hush->err);
}

// EAL prints its usage on stdout when an argument is wrong, and some complaints on stderr past its
// own log. We say what is wrong ourselves, in one line; who asked for EAL's log hears it all.
static int init_quietly(void)
{
    int saved_optind = optind;
    struct eal_hush hush;
    char *argv[ARGUMENTS_MAX + 1] = {NULL};
    memcpy(argv, eal.argv, (size_t)eal.argc * sizeof(argv[0])); // EAL reorders its copy
    eal_hush(&hush);
    int result = rte_eal_init(eal.argc, argv);
    int error = result < 0 ? rte_errno : 0;
    eal_unhush(&hush);
    optind = saved_optind;
    return result < 0 ? -(error == 0 ? EINVAL : error) : 0;
}

static const char *remedy_of(int error, bool has_user_arguments)
{
    if (has_user_arguments && (error == -EINVAL || error == -ENOEXEC)) {
        return "check the EAL arguments given after --";
    }
    switch (-error) {
    case EACCES:
    case EPERM:
        return "run as root, or drop what needs privileges (PCI devices)";
    case ENOMEM:
        return "lower the number of buffers, or reserve hugepages";
    case EALREADY:
        return "EAL starts once in a process: start a new one";
    default:
        return "run again with -- --log-level 8 to see EAL's own log";
    }
}

static void remove_runtime_directory(const char *directory)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/dpdk_telemetry.v2", directory);
    unlink(path);
    rmdir(directory); // only when nothing else is left in it
}

// Removes what processes left that were killed: directories pontoon-PID whose process is gone.
static void sweep(void)
{
    const char *base = getenv("RUNTIME_DIRECTORY");
    char path[200];
    snprintf(path, sizeof(path), "%s/dpdk", base == NULL ? "/var/run" : base);
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        int pid;
        char rest;
        if (sscanf(entry->d_name, "pontoon-%d%c", &pid, &rest) == 1 && pid > 0 &&
            kill(pid, 0) != 0 && errno == ESRCH) {
            char stale[260];
            snprintf(stale, sizeof(stale), "%.190s/pontoon-%d", path, pid);
            remove_runtime_directory(stale);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
}

int eal_start(const struct eal_options *options, const char *const *pci, uint32_t pci_count,
              struct eal_fault *fault)
{
    static const struct eal_options defaults;
    memset(fault, 0, sizeof(*fault));
    if (eal_is_up()) {
        return 0;
    }
    if (options == NULL) {
        options = &defaults;
    }
    int result = choose_runtime_directory(fault);
    if (result != 0) {
        return result;
    }
    sweep();
    int lock = eal_pages_lock();
    result = build_line(options, pci, pci_count, fault);
    if (result != 0) {
        eal_pages_unlock(lock);
        return result;
    }
    eal.is_loud = wants_log(options);
    if (!eal.is_loud) {
        capture_log();
    }
    result = init_quietly();
    eal_pages_unlock(lock);
    if (result != 0) {
        return eal_fail(fault, result, remedy_of(result, options->extra_count > 0),
                        "EAL did not start: %s (%s)", strerror(-result),
                        eal.last_error[0] == '\0' ? "no reason given" : eal.last_error);
    }
    eal.started = true;
    return 0;
}

void eal_stop(void)
{
    if (!eal.started) {
        return;
    }
    char directory[256];
    snprintf(directory, sizeof(directory), "%s", rte_eal_get_runtime_dir());
    rte_eal_cleanup();
    eal.started = false;
    if (directory[0] != '\0') {
        remove_runtime_directory(directory);
    }
}
