// A kv state machine, as its clients see it: commands and queries by name.
#ifndef PONTOON_TESTS_UNIT_APPS_KV_H
#define PONTOON_TESTS_UNIT_APPS_KV_H

#include "drivers/app_kv/kv_command.h"
#include "engine/driver_api/app.h"

enum { KV_MIB = 1 << 20, KV_KEYS = 400, KV_NOISE_BYTES = 2 * KV_MIB };

struct app *kv_open(uint64_t memory_bytes);

struct kv_bytes kv_text(const char *string);
// A key by its number: of many lengths, some long.
struct kv_bytes kv_key(uint32_t number, char key[KV_KEY_BYTES_MAX]);

// Part of a noise that is always the same.
struct kv_bytes kv_noise(uint32_t from, uint32_t bytes);

// malloc'ed.
uint8_t *kv_encode(const struct kv_command *command, uint32_t *bytes);

// Each is applied alone; result: the command's.
uint32_t kv_apply(struct app *app, const struct kv_command *command);
uint32_t kv_put(struct app *app, struct kv_bytes key, struct kv_bytes value);
uint32_t kv_delete(struct app *app, struct kv_bytes key);
uint32_t kv_swap(struct app *app, struct kv_bytes key, struct kv_bytes expected,
                 struct kv_bytes value);

int32_t kv_get(struct app *app, struct kv_bytes key, void *answer, uint32_t capacity);
void kv_check_value(struct app *app, struct kv_bytes key, struct kv_bytes value);
struct kv_statistics kv_statistics_of(struct app *app);

#endif
