// Rows of the report, and reading of small system files.
#include "drivers/cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void doctor_add(struct doctor_report *report, enum doctor_verdict verdict, const char *what,
                const char *remedy, const char *format, ...)
{
    va_list rest;
    if (report->row_count == DOCTOR_ROWS_MAX) {
        return;
    }
    struct doctor_row *row = &report->rows[report->row_count++];
    row->verdict = verdict;
    snprintf(row->what, sizeof(row->what), "%s", what);
    snprintf(row->remedy, sizeof(row->remedy), "%s", remedy != NULL ? remedy : "");
    va_start(rest, format);
    vsnprintf(row->value, sizeof(row->value), format, rest);
    va_end(rest);
}

bool doctor_read_text(const char *path, char *text, size_t bytes)
{
    FILE *stream = fopen(path, "r");
    if (stream == NULL) {
        return false;
    }
    size_t got = fread(text, 1, bytes - 1, stream);
    fclose(stream);
    text[got] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return true;
}
