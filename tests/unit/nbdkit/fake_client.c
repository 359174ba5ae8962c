#include "tests/unit/nbdkit/fake_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/app_block/app_block.h"
#include "drivers/app_block/block_checkpoint.h"
#include "engine/base/prng.h"
#include "engine/pontoon.h"
#include "tests/harness/harness.h"

enum { ASKED_MAX = 1024, LATE_MAX = 64, BYTES_MAX = 128 << 10 };

struct asked {
    pontoon_done *done;     // of a command
    pontoon_answer *answer; // of a query
    void *context;
    uint32_t bytes;
    uint8_t *data;
};

// The poller calls in, and the test looks on.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct app *app;
static struct asked asked[ASKED_MAX], late[LATE_MAX];
static uint32_t asked_count, late_count;
static uint32_t executed[BLOCK_ZERO + 1];
static struct prng prng;
static atomic_int mood;

struct pontoon_client {
    char unused;
};

static uint32_t execute(const void *payload, uint32_t bytes)
{
    static uint64_t index;
    uint32_t result = 0;
    const struct app_entry entry = {.index = ++index, .payload = payload, .bytes = bytes};
    executed[*(const uint8_t *)payload]++;
    app->ops->apply(app, &entry, 1, &result);
    return result;
}

uint32_t fake_apply(const struct block_command *command)
{
    uint8_t payload[BLOCK_COMMAND_HEAD_BYTES + BLOCK_BYTES_MAX];
    uint32_t bytes = block_command_encode(command, payload, sizeof(payload));
    CHECK(bytes > 0);
    pthread_mutex_lock(&lock);
    uint32_t result = execute(payload, bytes);
    pthread_mutex_unlock(&lock);
    return result;
}

void fake_open(uint64_t volume_bytes)
{
    char reason[200];
    const struct app_block_config config = {.capacity_bytes = 8 << 20, .is_durable = true};
    CHECK_EQUAL(app_block_open(&config, &app, reason, sizeof(reason)), 0);
    prng_init(&prng, 1);
    atomic_store(&mood, FAKE_SERVES);
    memset(executed, 0, sizeof(executed));
    if (volume_bytes > 0) {
        const struct block_command create = {
            .operation = BLOCK_CREATE, .block_bytes = 4096, .bytes = volume_bytes};
        CHECK_EQUAL(fake_apply(&create), BLOCK_OK);
    }
}

void fake_close(void)
{
    while (late_count > 0) {
        free(late[--late_count].data);
    }
    app->ops->close(app);
}

void fake_set_mood(enum fake_mood new_mood)
{
    atomic_store(&mood, (int)new_mood);
}

uint32_t fake_waiting(void)
{
    pthread_mutex_lock(&lock);
    uint32_t count = asked_count;
    pthread_mutex_unlock(&lock);
    return count;
}

void fake_deliver_late(void)
{
    pthread_mutex_lock(&lock);
    while (late_count > 0) {
        late_count--;
        execute(late[late_count].data, late[late_count].bytes);
        free(late[late_count].data);
    }
    pthread_mutex_unlock(&lock);
}

void fake_spoil(uint64_t offset)
{
    const struct block_checkpoint *block = (struct block_checkpoint *)app; // it begins with it
    pthread_mutex_lock(&lock);
    block->volume->space[offset] ^= 1;
    pthread_mutex_unlock(&lock);
}

uint32_t fake_executed(enum block_operation operation)
{
    pthread_mutex_lock(&lock);
    uint32_t count = executed[operation];
    pthread_mutex_unlock(&lock);
    return count;
}

// -------------------------------------------------------------------------------------------------
// pontoon.h

int pontoon_config_load(struct pontoon_config *config, const char *path, uint16_t node,
                        uint16_t client, char *reason, size_t reason_bytes)
{
    (void)node;
    (void)client;
    if (path[0] == '\0') {
        snprintf(reason, reason_bytes, "no such file");
        return -ENOENT;
    }
    config->groups = 1;
    return 0;
}

int pontoon_client_open(const struct pontoon_config *config,
                        const struct pontoon_client_options *options,
                        struct pontoon_client **client, char *reason, size_t reason_bytes)
{
    static struct pontoon_client only;
    (void)config;
    (void)options;
    (void)reason;
    (void)reason_bytes;
    *client = &only;
    return 0;
}

static int ask(struct asked what, const void *data)
{
    pthread_mutex_lock(&lock);
    bool is_refused = atomic_load(&mood) == FAKE_REFUSES && prng_below(&prng, 2) == 0;
    int error = is_refused || asked_count == ASKED_MAX ? -EAGAIN : 0;
    if (error == 0) {
        what.data = malloc(what.bytes);
        memcpy(what.data, data, what.bytes);
        asked[asked_count++] = what;
    }
    pthread_mutex_unlock(&lock);
    return error;
}

int pontoon_client_propose(struct pontoon_client *client, uint16_t group, const void *payload,
                           uint32_t bytes, pontoon_done *done, void *context)
{
    (void)client;
    CHECK_EQUAL(group, 0);
    CHECK(bytes >= BLOCK_COMMAND_HEAD_BYTES && bytes <= BYTES_MAX);
    return ask((struct asked){.done = done, .context = context, .bytes = bytes}, payload);
}

int pontoon_client_read(struct pontoon_client *client, uint16_t group, const void *query,
                        uint32_t bytes, pontoon_answer *answer, void *context)
{
    (void)client;
    CHECK_EQUAL(group, 0);
    return ask((struct asked){.answer = answer, .context = context, .bytes = bytes}, query);
}

static void end(struct asked *what, enum pontoon_status status)
{
    static uint8_t answer[BYTES_MAX];
    struct pontoon_result result = {.status = status};
    int32_t bytes = 0;
    bool is_done = status == PONTOON_DONE;
    bool is_expired_late = status == PONTOON_EXPIRED && prng_below(&prng, 2) == 0;
    pthread_mutex_lock(&lock);
    if (what->done != NULL && (is_done || is_expired_late)) {
        result.value = execute(what->data, what->bytes);
    } else if (what->answer != NULL && is_done) {
        bytes = app->ops->read(app, what->data, what->bytes, answer, sizeof(answer));
    }
    bool is_late = what->done != NULL && status == PONTOON_UNKNOWN && late_count < LATE_MAX;
    if (is_late) {
        late[late_count++] = *what;
    }
    pthread_mutex_unlock(&lock);
    if (what->done != NULL) {
        what->done(what->context, &result);
    } else {
        what->answer(what->context, status, answer, bytes);
    }
    if (!is_late) {
        free(what->data);
    }
}

static bool take_any(struct asked *what)
{
    pthread_mutex_lock(&lock);
    bool is_there = asked_count > 0;
    if (is_there) {
        uint32_t at = (uint32_t)prng_below(&prng, asked_count);
        *what = asked[at];
        asked[at] = asked[--asked_count];
    }
    pthread_mutex_unlock(&lock);
    return is_there;
}

bool pontoon_client_poll(struct pontoon_client *client)
{
    struct asked what;
    enum fake_mood now = (enum fake_mood)atomic_load(&mood);
    (void)client;
    if (now == FAKE_HOLDS || !take_any(&what)) {
        return false;
    }
    bool is_expired = now == FAKE_EXPIRES && what.done != NULL && prng_below(&prng, 2) == 0;
    end(&what, now == FAKE_LOSES ? PONTOON_UNKNOWN : is_expired ? PONTOON_EXPIRED : PONTOON_DONE);
    return true;
}

void pontoon_client_close(struct pontoon_client *client)
{
    struct asked what;
    (void)client;
    while (take_any(&what)) {
        end(&what, PONTOON_UNKNOWN);
    }
}
