#include "tests/unit/config/settings_file.h"

#include <stdio.h>

#include "tests/harness/harness.h"

const char *settings_file_path(void)
{
    static char path[300];
    snprintf(path, sizeof(path), "%s/cluster.yaml", test_directory());
    return path;
}

int settings_file_load(struct pontoon_config *config, const char *text, uint16_t node,
                       uint16_t client, char *reason, size_t reason_bytes)
{
    FILE *stream = fopen(settings_file_path(), "w");
    CHECK(stream != NULL);
    CHECK(fputs(text, stream) >= 0);
    CHECK(fclose(stream) == 0);
    return pontoon_config_load(config, settings_file_path(), node, client, reason, reason_bytes);
}
