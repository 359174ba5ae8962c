// pontoon doctor: is this machine fit, and what would make it fitter?
#include "drivers/cli/cli.h"

#include <jansson.h>
#include <stdio.h>

#include "drivers/bundle/settings.h"
#include "drivers/cli/doctor.h"

static const char *const verdicts[] = {
    [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_BAD] = "bad"};

static void print_rows(const struct doctor_report *report)
{
    for (uint32_t i = 0; i < report->row_count; i++) {
        const struct doctor_row *row = &report->rows[i];
        printf("%-4s  %-20s %s\n", verdicts[row->verdict], row->what, row->value);
        if (row->remedy[0] != '\0') {
            printf("      %-20s -> %s\n", "", row->remedy);
        }
    }
}

static int print_json(const struct cli_arguments *arguments, const struct doctor_report *report)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < report->row_count; i++) {
        const struct doctor_row *row = &report->rows[i];
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s}", "what", row->what, "verdict",
                                              verdicts[row->verdict], "value", row->value, "remedy",
                                              row->remedy));
    }
    int result = json_dumpf(rows, stdout, JSON_INDENT(2));
    json_decref(rows);
    if (result != 0) {
        return cli_fail(arguments, CLI_FAILED, "the report cannot be printed");
    }
    printf("\n");
    return CLI_OK;
}

static int load_config(const struct cli_arguments *arguments, struct pontoon_config *config)
{
    char reason[512];
    const char *path = cli_text(arguments, "config");
    pontoon_config_init(config);
    if (path == NULL) {
        return CLI_OK;
    }
    int result = cli_is_given(arguments, "id")
                     ? pontoon_config_load(config, path, (uint16_t)cli_number(arguments, "id"), 0,
                                           reason, sizeof(reason))
                     : settings_load_cluster(config, path, reason, sizeof(reason));
    return result == 0 ? CLI_OK : cli_fail(arguments, CLI_CONFIGURATION, "%s", reason);
}

static int doctor_run(const struct cli_arguments *arguments)
{
    static struct pontoon_config config;
    static struct doctor_report report;
    enum doctor_verdict worst = DOCTOR_OK;
    int result = load_config(arguments, &config);
    if (result != CLI_OK) {
        return result;
    }
    doctor_memory(&report, &config);
    doctor_cpu(&report, &config);
    doctor_nic(&report);
    doctor_disk(&report, &config);
    if (cli_is_given(arguments, "json")) {
        result = print_json(arguments, &report);
    } else {
        print_rows(&report);
    }
    for (uint32_t i = 0; i < report.row_count; i++) {
        worst = report.rows[i].verdict > worst ? report.rows[i].verdict : worst;
    }
    return worst == DOCTOR_BAD ? CLI_ENVIRONMENT : result;
}

static const struct cli_option options[] = {
    {.name = "config",
     .letter = 'c',
     .kind = CLI_TEXT,
     .argument = "FILE",
     .summary = "judge for this configuration (default: the settings' defaults)"},
    CLI_OPTION_ONE_ID("judge as this node of it: its directory is tried"),
    CLI_OPTION_JSON,
};

const struct cli_command command_doctor = {
    .name = "doctor",
    .summary =
        "Looks at hugepages, limits, capabilities, CPUs, NICs and the disk, and names remedies",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .details = "Each row is ok, warn (Pontoon runs, but slower or with fewer devices) or bad (a "
               "node will not\n"
               "start). The exit status is 4 when a row is bad. Writes for a second at most, to a "
               "file without a name.",
    .run = doctor_run,
};
