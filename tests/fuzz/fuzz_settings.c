// Any bytes as a configuration file: taken, and then every setting is in its range; or refused with
// one printable line that names the file and where in it, or what, is wrong.
#include <ctype.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/bundle/settings.h"
#include "tests/fuzz/fuzz.h"

static char path[32];
static int file = -1;

static void write_file(const uint8_t *data, size_t size)
{
    if (file < 0) {
        file = memfd_create("settings", 0);
        REQUIRE(file >= 0, "no memory file");
        snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    }
    REQUIRE(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size, "write");
}

// "PATH:LINE: what" or "PATH: what".
static void check_reason(const char *reason)
{
    size_t prefix = strlen(path);
    REQUIRE(strlen(reason) < SETTINGS_LINE_BYTES, "%zu bytes", strlen(reason));
    REQUIRE(strncmp(reason, path, prefix) == 0 && reason[prefix] == ':', "%s", reason);
    const char *at = reason + prefix + 1;
    if (isdigit((unsigned char)*at)) {
        REQUIRE(strtoul(at, NULL, 10) > 0, "%s", reason);
        at += strspn(at, "0123456789");
        REQUIRE(*at == ':', "%s", reason);
        at++;
    }
    REQUIRE(at[0] == ' ' && at[1] != '\0' && at[1] != ' ', "%s", reason);
    for (; *at != '\0'; at++) {
        REQUIRE(!iscntrl((unsigned char)*at), "character %u in %s", (unsigned char)*at, reason);
    }
}

static void check_ranges(const struct pontoon_config *config)
{
    char line[SETTINGS_LINE_BYTES];
    const struct settings_reason reason = {.text = line, .bytes = sizeof(line)};
    for (size_t at = 0; at < settings_top_knobs.count; at++) {
        const struct settings_knob *knob = &settings_top_knobs.knobs[at];
        if (settings_knob_is_config(knob)) {
            REQUIRE(settings_knob_check(knob, config, &reason, 0) == 0, "%s", line);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pontoon_config config;
    char reason[SETTINGS_LINE_BYTES] = "";
    write_file(data, size);
    // As `pontoon config check` reads it, and as node 1 does.
    for (uint16_t node = 0; node < 2; node++) {
        int error = node == 0 ? settings_load_cluster(&config, path, reason, sizeof(reason))
                              : pontoon_config_load(&config, path, node, 0, reason, sizeof(reason));
        REQUIRE(error == 0 || error == -EINVAL, "%d: %s", error, reason);
        if (error == 0) {
            check_ranges(&config);
        } else {
            check_reason(reason);
        }
    }
    return 0;
}
