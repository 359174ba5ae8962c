#include "drivers/nbdkit/volume.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "engine/pontoon.h"

enum {
    PIECES = 256,           // in flight at once
    PIECE_BYTES = 64 << 10, // of reads and writes
    YIELDS_MAX = 4096,      // idle polls before the poller naps, while something is in flight
    NAP_NS = 50000,
    SLEEP_MS = 5,           // between polls, while nothing is in flight
    LOOK_UP_NS = 250000000, // a caller asks is_over() this often
};

// What a caller waits for; it lives on the caller's stack. The poller forgets it before it posts
// `done`.
struct request {
    enum volume_kind kind;
    uint64_t offset, bytes;
    uint8_t *data;
    char *reason;
    size_t reason_bytes;
    atomic_bool is_unwanted; // set by the caller: be done with it, soon
    sem_t done;
    int error;
    // the poller's
    struct request *next; // in the inbox; then by arrival, in `active`
    uint64_t cursor;      // bytes that pieces were made of
    uint32_t pieces;      // not answered yet
};

enum piece_state { PIECE_FREE, PIECE_WAITING, PIECE_OUT };

// A part of a request, small enough for one command or query.
struct piece {
    struct volume *volume;
    struct request *request; // NULL: its caller left; or an ATTACH
    enum piece_state state;
    enum volume_kind kind;
    bool is_check; // a READ that met a bad block asks which one
    uint64_t offset, bytes;
    uint64_t writer; // as which it was sent
};

// DETACHED: the next change attaches. FENCED: another server did, for good.
enum attachment { DETACHED, ATTACHING, ATTACHED, FENCED };

struct volume {
    struct volume_options options;
    struct block_info info;
    pthread_t thread;
    int wake_fd;
    // Pairing: a caller pushes to the inbox, then looks at is_asleep; the poller sets is_asleep,
    // then looks at the inbox. Both sequentially consistent: one of the two sees the other.
    _Atomic(struct request *) inbox;
    atomic_bool is_asleep;
    atomic_bool should_stop;
    atomic_bool has_unwanted;
    sem_t opened;
    int open_error;
    char *open_reason;
    size_t open_reason_bytes;
    // the poller's
    struct pontoon_client *client;
    enum attachment attachment;
    uint64_t writer, previous; // as whom we write, and whom that took over from
    struct request *active;    // by arrival
    struct piece pieces[PIECES];
    uint32_t pieces_used;
    uint32_t idle_polls;
    uint8_t command[BLOCK_COMMAND_HEAD_BYTES + PIECE_BYTES];
};

static bool is_change(enum volume_kind kind)
{
    return kind == VOLUME_WRITE || kind == VOLUME_ZERO;
}

static uint64_t draw_writer(void)
{
    uint64_t writer = 0;
    while (writer == 0 && getrandom(&writer, sizeof(writer), 0) != sizeof(writer)) {
    }
    return writer;
}

// -------------------------------------------------------------------------------------------------
// ends

static void say(struct request *request, int error, const char *what)
{
    if (request->error == 0) {
        request->error = error;
        snprintf(request->reason, request->reason_bytes, "%s", what);
    }
}

static void complete(struct volume *volume, struct request *request)
{
    struct request **at = &volume->active;
    while (*at != request) {
        at = &(*at)->next;
    }
    *at = request->next;
    sem_post(&request->done);
}

// All pieces are answered, and no more are to be made?
static void complete_if_over(struct volume *volume, struct request *request)
{
    if (request->pieces == 0 && (request->error != 0 || request->cursor == request->bytes)) {
        complete(volume, request);
    }
}

static void free_piece(struct piece *piece)
{
    piece->state = PIECE_FREE;
    piece->volume->pieces_used--;
}

static void finish_piece(struct piece *piece, int error, const char *what)
{
    struct request *request = piece->request;
    free_piece(piece);
    if (request == NULL) {
        return;
    }
    if (error != 0) {
        say(request, error, what);
    }
    request->pieces--;
    complete_if_over(piece->volume, request);
}

// It is to be sent again; without a caller, its data is gone, and nobody waits for it.
static void repeat_piece(struct piece *piece)
{
    if (piece->request == NULL) {
        free_piece(piece);
    } else {
        piece->state = PIECE_WAITING;
    }
}

// Whoever waits for the volume to be attached waits in vain: pieces that are to be sent again, and
// what was not begun.
static void fail_changes(struct volume *volume, int error, const char *what)
{
    struct request *next;
    for (uint32_t i = 0; i < PIECES; i++) {
        struct piece *piece = &volume->pieces[i];
        if (piece->state == PIECE_WAITING && is_change(piece->kind)) {
            finish_piece(piece, error, what);
        }
    }
    for (struct request *request = volume->active; request != NULL; request = next) {
        next = request->next;
        if (is_change(request->kind) || request->kind == VOLUME_ATTACH) {
            say(request, error, what);
            complete_if_over(volume, request);
        }
    }
}

static void on_attached(struct volume *volume, const struct pontoon_result *result)
{
    if (result->status == PONTOON_DONE && result->value == BLOCK_OK) {
        volume->attachment = ATTACHED;
        return;
    }
    if (result->status == PONTOON_DONE && result->value == BLOCK_FENCED) {
        volume->attachment = FENCED; // fail_if_fenced() tells those who wait
        return;
    }
    volume->attachment = DETACHED;
    if (result->status != PONTOON_EXPIRED) {
        fail_changes(volume, -EIO,
                     result->status == PONTOON_DONE ? block_command_result_name(result->value)
                                                    : "no answer in time");
    }
}

static void on_result(struct piece *piece, uint32_t value)
{
    struct volume *volume = piece->volume;
    switch ((enum block_result)value) {
    case BLOCK_OK:
        finish_piece(piece, 0, NULL);
        break;
    case BLOCK_FENCED:
        if (piece->writer != volume->writer) {
            repeat_piece(piece); // by ourselves, under another number
            break;
        }
        volume->attachment = FENCED;
        finish_piece(piece, -EROFS, block_command_result_name(value));
        break;
    case BLOCK_BEYOND:
        finish_piece(piece, -ENOSPC, block_command_result_name(value));
        break;
    case BLOCK_UNALIGNED:
        finish_piece(piece, -EINVAL, block_command_result_name(value));
        break;
    case BLOCK_MALFORMED:
    case BLOCK_NO_VOLUME:
    case BLOCK_DIFFERENT:
    case BLOCK_TOO_LARGE:
        finish_piece(piece, -EIO, block_command_result_name(value));
        break;
    }
}

// Nobody knows what becomes of it. From here on whatever is sent under this writer's number is
// fenced by the next.
static void on_unknown(struct piece *piece)
{
    struct volume *volume = piece->volume;
    if (is_change(piece->kind) && piece->writer == volume->writer &&
        volume->attachment == ATTACHED) {
        volume->attachment = DETACHED;
        volume->previous = volume->writer;
        volume->writer = draw_writer();
    }
    finish_piece(piece, -EIO, "no answer in time");
}

static void on_done(void *context, const struct pontoon_result *result)
{
    struct piece *piece = context;
    if (piece->kind == VOLUME_ATTACH) {
        free_piece(piece);
        on_attached(piece->volume, result);
        return;
    }
    switch (result->status) {
    case PONTOON_DONE:
        on_result(piece, result->value);
        break;
    case PONTOON_EXPIRED: // whatever is left of it is refused: it may be sent in another session
    case PONTOON_NOT_LEADER:
    case PONTOON_BUSY:
    case PONTOON_OUTSIDE_WINDOW:
        repeat_piece(piece);
        break;
    case PONTOON_INVALID:
        finish_piece(piece, -EIO, "refused by the cluster");
        break;
    case PONTOON_UNKNOWN:
    case PONTOON_FAILED:
        on_unknown(piece);
        break;
    }
}

static void on_bad_block(struct piece *piece, const void *answer, int32_t bytes)
{
    char what[VOLUME_REASON_BYTES];
    uint64_t block = BLOCK_NONE;
    if (bytes == sizeof(block)) {
        memcpy(&block, answer, sizeof(block));
    }
    if (block == BLOCK_NONE) { // it was mended meanwhile
        piece->is_check = false;
        repeat_piece(piece);
        return;
    }
    snprintf(what, sizeof(what),
             "block %" PRIu64 " (byte %" PRIu64 ") does not match its checksum on the leader",
             block, block * piece->volume->info.block_bytes);
    finish_piece(piece, -EIO, what);
}

// May an answer have this size?
static bool is_size_of(const struct piece *piece, uint32_t bytes)
{
    bool is_map = piece->kind == VOLUME_MAP;
    return is_map ? bytes % 4 == 0 && bytes <= sizeof(struct volume_map) : bytes == piece->bytes;
}

static void on_read(struct piece *piece, const void *answer, int32_t bytes)
{
    struct request *request = piece->request;
    if (bytes == -EBADMSG && !piece->is_check) {
        piece->is_check = true;
        repeat_piece(piece);
    } else if (piece->kind == VOLUME_INFO && bytes != BLOCK_INFO_BYTES) {
        finish_piece(piece, -EINVAL,
                     "the group has no volumes: its nodes run another app than block");
    } else if (bytes < 0) {
        finish_piece(piece, bytes == -EINVAL || bytes == -ERANGE ? -EINVAL : -EIO,
                     bytes == -ENOENT ? "no volume was created yet" : strerror(-bytes));
    } else if (piece->is_check) {
        on_bad_block(piece, answer, bytes);
    } else if (!is_size_of(piece, (uint32_t)bytes)) {
        finish_piece(piece, -EIO, "an answer of another size than asked for");
    } else {
        if (request != NULL) {
            memcpy(request->data + (piece->offset - request->offset), answer, (size_t)bytes);
        }
        finish_piece(piece, 0, NULL);
    }
}

static void on_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    struct piece *piece = context;
    if (status == PONTOON_UNKNOWN) {
        finish_piece(piece, -EIO, "no answer in time");
    } else if (status != PONTOON_DONE) {
        finish_piece(piece, -EIO, "refused by the cluster");
    } else {
        on_read(piece, answer, bytes);
    }
}

// -------------------------------------------------------------------------------------------------
// sending

static int send_query(struct piece *piece)
{
    static const enum block_query_kind kinds[] = {[VOLUME_READ] = BLOCK_QUERY_READ,
                                                  [VOLUME_INFO] = BLOCK_QUERY_INFO,
                                                  [VOLUME_MAP] = BLOCK_QUERY_MAP};
    struct volume *volume = piece->volume;
    struct block_query query = {.kind = piece->is_check ? BLOCK_QUERY_CHECK : kinds[piece->kind]};
    uint8_t text[BLOCK_QUERY_BYTES];
    if (piece->kind != VOLUME_INFO) {
        query.offset = piece->offset;
        query.bytes = piece->bytes;
    }
    uint32_t bytes = block_command_encode_query(&query, text, sizeof(text));
    return pontoon_client_read(volume->client, volume->options.group, text, bytes, on_answer,
                               piece);
}

// The one place where a command of this client is proposed; block_command_range() says what it
// touches.
static int send_command(struct piece *piece)
{
    static const enum block_operation operations[] = {
        [VOLUME_WRITE] = BLOCK_WRITE, [VOLUME_ZERO] = BLOCK_ZERO, [VOLUME_ATTACH] = BLOCK_ATTACH};
    struct volume *volume = piece->volume;
    struct block_command command = {.operation = operations[piece->kind], .writer = volume->writer};
    if (is_change(piece->kind)) {
        command.offset = piece->offset;
        command.bytes = piece->bytes;
        command.data = piece->request->data + (piece->offset - piece->request->offset);
    } else {
        command.previous = volume->previous;
    }
    piece->writer = volume->writer;
    uint32_t bytes = block_command_encode(&command, volume->command, sizeof(volume->command));
    return pontoon_client_propose(volume->client, volume->options.group, volume->command, bytes,
                                  on_done, piece);
}

// False: not now, poll first.
static bool send_piece(struct piece *piece)
{
    bool is_query = !is_change(piece->kind) && piece->kind != VOLUME_ATTACH;
    piece->state = PIECE_OUT;
    int error = is_query ? send_query(piece) : send_command(piece);
    if (error == -EAGAIN) {
        piece->state = PIECE_WAITING;
        return false;
    }
    if (error != 0) {
        finish_piece(piece, error, strerror(-error));
    }
    return true;
}

static struct piece *take_piece(struct volume *volume, enum volume_kind kind,
                                struct request *request)
{
    struct piece *piece = volume->pieces;
    while (piece->state != PIECE_FREE) {
        piece++;
    }
    *piece =
        (struct piece){.volume = volume, .request = request, .state = PIECE_WAITING, .kind = kind};
    volume->pieces_used++;
    return piece;
}

// True: the volume may be changed now.
static bool attach(struct volume *volume)
{
    if (volume->attachment == DETACHED && volume->pieces_used < PIECES) {
        struct piece *piece = take_piece(volume, VOLUME_ATTACH, NULL);
        volume->attachment = ATTACHING;
        if (!send_piece(piece)) {
            free_piece(piece);
            volume->attachment = DETACHED;
        }
    }
    return volume->attachment == ATTACHED;
}

static bool do_overlap(uint64_t offset, uint64_t bytes, const struct request *request)
{
    return offset < request->offset + request->bytes && request->offset < offset + bytes;
}

// A change waits for those it overlaps with: of requests that came before it, and of callers that
// left.
static bool is_held_back(const struct volume *volume, const struct request *request)
{
    for (const struct request *before = volume->active; before != request; before = before->next) {
        if (is_change(before->kind) && do_overlap(before->offset, before->bytes, request)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < PIECES; i++) {
        const struct piece *piece = &volume->pieces[i];
        if (piece->state == PIECE_OUT && piece->request == NULL && is_change(piece->kind) &&
            do_overlap(piece->offset, piece->bytes, request)) {
            return true;
        }
    }
    return false;
}

static bool may_begin(struct volume *volume, struct request *request)
{
    switch (request->kind) {
    case VOLUME_READ:
    case VOLUME_INFO:
    case VOLUME_MAP:
        return true;
    case VOLUME_ATTACH:
        return attach(volume);
    case VOLUME_WRITE:
    case VOLUME_ZERO:
        return attach(volume) && !is_held_back(volume, request);
    }
    return false;
}

static struct piece *cut_piece(struct volume *volume, struct request *request)
{
    uint64_t most = request->kind == VOLUME_ZERO  ? (uint64_t)BLOCK_ZERO_BYTES_MAX
                    : request->kind == VOLUME_MAP ? (uint64_t)BLOCK_MAP_BYTES_MAX
                                                  : (uint64_t)PIECE_BYTES;
    uint64_t left = request->bytes - request->cursor;
    struct piece *piece = take_piece(volume, request->kind, request);
    piece->offset = request->offset + request->cursor;
    piece->bytes = left < most ? left : most;
    request->cursor += piece->bytes;
    request->pieces++;
    return piece;
}

// False: the client takes no more now.
static bool send_request(struct volume *volume, struct request *request)
{
    bool goes_on = true;
    request->pieces++; // a piece that fails at once must not complete it under us
    while (goes_on && request->error == 0 && request->cursor < request->bytes &&
           volume->pieces_used < PIECES) {
        goes_on = send_piece(cut_piece(volume, request));
    }
    request->pieces--;
    complete_if_over(volume, request);
    return goes_on;
}

static bool send_waiting(struct volume *volume)
{
    bool goes_on = true;
    for (uint32_t i = 0; i < PIECES && goes_on; i++) {
        struct piece *piece = &volume->pieces[i];
        if (piece->state == PIECE_WAITING && (!is_change(piece->kind) || attach(volume))) {
            goes_on = send_piece(piece);
        }
    }
    return goes_on;
}

static void send_all(struct volume *volume)
{
    struct request *next;
    bool goes_on = send_waiting(volume);
    for (struct request *request = volume->active; request != NULL && goes_on; request = next) {
        next = request->next;
        if (request->error != 0 || request->cursor == request->bytes ||
            !may_begin(volume, request)) {
            continue;
        }
        if (request->kind == VOLUME_ATTACH) {
            complete(volume, request);
        } else {
            goes_on = send_request(volume, request);
        }
    }
}

// -------------------------------------------------------------------------------------------------
// the poller

static void take_inbox(struct volume *volume)
{
    struct request *request = atomic_exchange(&volume->inbox, NULL), *arrived = NULL;
    while (request != NULL) { // newest first
        struct request *older = request->next;
        request->next = arrived;
        arrived = request;
        request = older;
    }
    struct request **end = &volume->active;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = arrived;
}

// A caller leaves. What was sent stays out, without a request, until it is answered.
static void drop(struct volume *volume, struct request *request)
{
    for (uint32_t i = 0; i < PIECES; i++) {
        struct piece *piece = &volume->pieces[i];
        if (piece->state != PIECE_FREE && piece->request == request) {
            piece->request = NULL;
            if (piece->state == PIECE_WAITING) {
                free_piece(piece);
            }
        }
    }
    say(request, -ESHUTDOWN, "given up: the connection or the server ends");
    complete(volume, request);
}

static void drop_unwanted(struct volume *volume)
{
    struct request *next;
    if (!atomic_exchange(&volume->has_unwanted, false)) {
        return;
    }
    for (struct request *request = volume->active; request != NULL; request = next) {
        next = request->next;
        if (atomic_load(&request->is_unwanted)) {
            drop(volume, request);
        }
    }
}

static void fail_if_fenced(struct volume *volume)
{
    if (volume->attachment == FENCED) {
        fail_changes(volume, -EROFS, block_command_result_name(BLOCK_FENCED));
    }
}

static void sleep_until_asked(struct volume *volume)
{
    struct pollfd wake = {.fd = volume->wake_fd, .events = POLLIN};
    uint64_t count;
    atomic_store(&volume->is_asleep, true);
    if (atomic_load(&volume->inbox) == NULL && poll(&wake, 1, SLEEP_MS) > 0) {
        ssize_t got = read(volume->wake_fd, &count, sizeof(count));
        (void)got; // somebody woke us, once or more
    }
    atomic_store(&volume->is_asleep, false);
}

static void rest(struct volume *volume)
{
    if (volume->pieces_used == 0 && volume->active == NULL) {
        sleep_until_asked(volume);
    } else if (volume->idle_polls++ < YIELDS_MAX) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
}

static int open_client(struct volume *volume)
{
    const struct volume_options *options = &volume->options;
    const struct pontoon_client_options client = {.depth_max = PIECES,
                                                  .give_up_ns = options->hold_ns};
    struct pontoon_config *config = malloc(sizeof(*config));
    if (config == NULL) {
        snprintf(volume->open_reason, volume->open_reason_bytes, "no memory");
        return -ENOMEM;
    }
    int error = pontoon_config_load(config, options->config, 0, options->client,
                                    volume->open_reason, volume->open_reason_bytes);
    if (error == 0 && options->group >= config->groups) {
        snprintf(volume->open_reason, volume->open_reason_bytes,
                 "group %u: the configuration has %u groups", options->group, config->groups);
        error = -EINVAL;
    }
    if (error == 0) {
        error = pontoon_client_open(config, &client, &volume->client, volume->open_reason,
                                    volume->open_reason_bytes);
    }
    free(config);
    return error;
}

static void *run(void *context)
{
    struct volume *volume = context;
    volume->open_error = open_client(volume);
    int error = volume->open_error; // the opener may be gone after the post
    sem_post(&volume->opened);
    if (error != 0) {
        return NULL;
    }
    while (!atomic_load(&volume->should_stop)) {
        take_inbox(volume);
        drop_unwanted(volume);
        fail_if_fenced(volume);
        send_all(volume);
        if (pontoon_client_poll(volume->client)) {
            volume->idle_polls = 0;
        } else {
            rest(volume);
        }
    }
    pontoon_client_close(volume->client);
    return NULL;
}

// -------------------------------------------------------------------------------------------------
// callers

static void wake(struct volume *volume)
{
    const uint64_t one = 1;
    if (atomic_load(&volume->is_asleep)) {
        ssize_t put = write(volume->wake_fd, &one, sizeof(one));
        (void)put; // a full counter wakes as well
    }
}

static void push(struct volume *volume, struct request *request)
{
    request->next = atomic_load(&volume->inbox);
    while (!atomic_compare_exchange_weak(&volume->inbox, &request->next, request)) {
    }
    wake(volume);
}

static bool wait_a_little(sem_t *done)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_UP_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return sem_timedwait(done, &until) == 0;
}

static void await(struct volume *volume, struct request *request)
{
    while (!wait_a_little(&request->done)) {
        if (volume->options.is_over != NULL && volume->options.is_over()) {
            atomic_store(&request->is_unwanted, true);
            atomic_store(&volume->has_unwanted, true);
        }
    }
}

int volume_do(struct volume *volume, enum volume_kind kind, uint64_t offset, uint64_t bytes,
              void *data, char *reason, size_t reason_bytes)
{
    struct request request = {.kind = kind,
                              .offset = offset,
                              .bytes = bytes,
                              .data = data,
                              .reason = reason,
                              .reason_bytes = reason_bytes};
    if (kind == VOLUME_ATTACH) {
        request.bytes = 1; // no range, but something to wait for
    } else if (kind == VOLUME_INFO) {
        request.bytes = BLOCK_INFO_BYTES;
    }
    sem_init(&request.done, 0, 0);
    push(volume, &request);
    await(volume, &request);
    sem_destroy(&request.done);
    return request.error;
}

static int start_thread(struct volume *volume)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the server's
    int error = pthread_create(&volume->thread, NULL, run, volume);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static void stop_thread(struct volume *volume)
{
    atomic_store(&volume->should_stop, true);
    pthread_join(volume->thread, NULL);
}

static void destroy(struct volume *volume)
{
    sem_destroy(&volume->opened);
    close(volume->wake_fd);
    free(volume);
}

static int learn_geometry(struct volume *volume, char *reason, size_t reason_bytes)
{
    int error = volume_do(volume, VOLUME_INFO, 0, 0, &volume->info, reason, reason_bytes);
    if (error == 0 && volume->info.volume_bytes == 0) {
        snprintf(reason, reason_bytes, "there is no volume yet; make one: pontoon block create");
        error = -ENOENT;
    }
    return error;
}

int volume_open(const struct volume_options *options, struct volume **out, char *reason,
                size_t reason_bytes)
{
    struct volume *volume = calloc(1, sizeof(*volume));
    if (volume == NULL || (volume->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        free(volume);
        snprintf(reason, reason_bytes, "no memory or descriptors");
        return -ENOMEM;
    }
    volume->options = *options;
    volume->open_reason = reason;
    volume->open_reason_bytes = reason_bytes;
    volume->writer = draw_writer();
    sem_init(&volume->opened, 0, 0);
    int error = start_thread(volume);
    if (error != 0) {
        snprintf(reason, reason_bytes, "thread: %s", strerror(-error));
        destroy(volume);
        return error;
    }
    while (sem_wait(&volume->opened) != 0) {
    }
    error = volume->open_error;
    error = error != 0 ? error : learn_geometry(volume, reason, reason_bytes);
    if (error != 0) {
        stop_thread(volume);
        destroy(volume);
        return error;
    }
    volume->previous = volume->info.writer; // published by the first push of a request to attach
    *out = volume;
    return 0;
}

void volume_close(struct volume *volume)
{
    stop_thread(volume);
    destroy(volume);
}

const struct block_info *volume_info(const struct volume *volume)
{
    return &volume->info;
}
