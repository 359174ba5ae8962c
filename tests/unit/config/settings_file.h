// Configurations from text, for the tests of this folder.
#ifndef PONTOON_TESTS_UNIT_CONFIG_SETTINGS_FILE_H
#define PONTOON_TESTS_UNIT_CONFIG_SETTINGS_FILE_H

#include "engine/pontoon.h"

// Where settings_file_load writes the text.
const char *settings_file_path(void);
// pontoon_config_load of a file with this text.
int settings_file_load(struct pontoon_config *config, const char *text, uint16_t node,
                       uint16_t client, char *reason, size_t reason_bytes);

#endif
