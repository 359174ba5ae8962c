// What `pontoon doctor` reports: rows of (what, verdict, value, remedy), one file a subject.
#ifndef PONTOON_DRIVERS_CLI_DOCTOR_H
#define PONTOON_DRIVERS_CLI_DOCTOR_H

#include "engine/pontoon.h"

enum {
    DOCTOR_ROWS_MAX = 64,
    DOCTOR_WHAT_BYTES = 32,
    DOCTOR_VALUE_BYTES = 160,
    DOCTOR_REMEDY_BYTES = 240
};

enum doctor_verdict {
    DOCTOR_OK,
    DOCTOR_WARN, // Pontoon runs, but slower or with fewer devices
    DOCTOR_BAD,  // a node will not start
};

struct doctor_row {
    char what[DOCTOR_WHAT_BYTES];
    enum doctor_verdict verdict;
    char value[DOCTOR_VALUE_BYTES];
    char remedy[DOCTOR_REMEDY_BYTES]; // empty when OK
};

struct doctor_report {
    struct doctor_row rows[DOCTOR_ROWS_MAX];
    uint32_t row_count;
};

// Adds a row; value by format. Rows beyond the last are dropped. remedy NULL: none.
void doctor_add(struct doctor_report *report, enum doctor_verdict verdict, const char *what,
                const char *remedy, const char *format, ...) __attribute__((format(printf, 5, 6)));

// Reads a small file (sysfs, proc) without its final newline. False: it cannot be read.
bool doctor_read_text(const char *path, char *text, size_t bytes);

// Each adds the rows of its subject. A configuration without nodes stands for the demonstration's
// three nodes and client.
//
//     memory  hugepages, locked memory, capabilities        nic   network devices, their drivers
//     cpu     CPUs against pollers, isolation, clock        disk  io_uring, O_DIRECT, flush time
void doctor_memory(struct doctor_report *report, const struct pontoon_config *config);
void doctor_nic(struct doctor_report *report);
void doctor_cpu(struct doctor_report *report, const struct pontoon_config *config);
void doctor_disk(struct doctor_report *report, const struct pontoon_config *config);

#endif
